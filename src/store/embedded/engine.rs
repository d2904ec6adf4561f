//! The engine: its parts, how it is opened, and how it is closed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::cache::Cache;
use super::checkpoints;
use super::deaths::Deaths;
use super::dedup::Dedup;
use super::gate::Gate;
use super::headroom::{Headroom, Needs};
use super::index::{self, Index, IndexFault};
use super::indexer::{self, Indexer, IndexerParts, Progress};
use super::journal::Journal;
use super::keeper::{Keeper, KeeperBell};
use super::lane::Lanes;
use super::lock::FolderLock;
use super::readers::Readers;
use super::record::Position;
use super::rejections::Ledger;
use super::requests::Requests;
use super::retention::Sweeper;
use super::segment::HEADER_BYTES;
use super::segments::Segments;
use super::starved::load_tail;
use super::writer::{Writer, WriterParts};
use super::{Config, OpenError, loader};
use crate::domain::{Clock, IdMint, Seq};
use crate::store::StoreError;

/// Up to so many open deliveries are loaded before the engine takes events; more of them while it does.
const LOADED_AT_ONCE_MAX: i64 = 50_000;

/// The embedded engine: a journal that is the truth, an index that answers questions, queues in memory.
#[derive(Debug)]
pub struct Embedded {
    pub(super) clock: Clock,
    /// Marks are kept this long.
    pub(super) dedup_window_max: Duration,
    pub(super) mint: IdMint,
    hash_key: [u8; 16],
    pub(super) last_seq: Arc<AtomicU64>,
    pub(super) journal: Arc<Journal>,
    pub(super) segments: Arc<Segments>,
    pub(super) gate: Arc<Gate>,
    pub(super) dedup: Arc<Dedup>,
    pub(super) deaths: Arc<Deaths>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) cache: Cache,
    pub(super) progress: Arc<Progress>,
    pub(super) readers: Arc<Readers>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) bell: Arc<KeeperBell>,
    pub(super) sweeper: tokio::sync::Mutex<Sweeper>,
    /// One change of old deliveries at a time.
    pub(super) edits: tokio::sync::Mutex<()>,
    pub(super) requests: Requests,
    pub(super) loaded: watch::Receiver<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<FolderLock>>,
}

/// The index at the end of the journal, and what was loaded from it.
struct Indexed {
    indexer: Indexer,
    end: Position,
    last_seq: Seq,
    /// How many open deliveries are still to be loaded, where they are too many to wait for.
    in_background: Option<i64>,
}

// === impl Embedded ===

impl Embedded {
    /// Opens the store, or makes it; afterwards it takes events at once.
    ///
    /// Blocks while it reads what the index does not hold yet (normally less than a second's worth; all of
    /// the journal where the index was lost or damaged).
    ///
    /// # Errors
    /// [`OpenError`], whose sentences are for people.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let lock = FolderLock::take(&config.path)?;
        let opened = Segments::open(config.path.join("journal"), config.bytes_max, config.new_keys)?;
        let segments = Arc::new(opened.segments);
        let headroom = Headroom::of(&config.path, config.bytes_max);
        let gate = Arc::new(Gate::default());
        gate.damaged_records.fetch_add(opened.damaged_files, Ordering::Relaxed);
        let dedup = Arc::new(Dedup::new(config.metrics.dedup_tail.clone()));
        let deaths = Arc::new(Deaths::default());
        let lanes = Arc::new(Lanes::new(config.clock.clone()));
        let parts = IndexerParts {
            path: config.path.join("index.db"),
            segments: Arc::clone(&segments),
            gate: Arc::clone(&gate),
            dedup: Arc::clone(&dedup),
            deaths: Arc::clone(&deaths),
            metrics: config.metrics.clone(),
            headroom,
        };
        let Indexed { indexer, end, last_seq, in_background } = bring_up(&config, &parts, &lanes)?;
        let rejections_bytes_max = config.rejections_bytes_max.min(headroom.rejections_bytes_max);
        let (ledger, last_rejection) =
            Ledger::open(config.path.join("rejections.db"), rejections_bytes_max, config.metrics.clone());
        let last_seq = last_seq.max(last_rejection);
        let keys = segments.keys();
        let progress = Arc::new(Progress::new(indexer.index.meta.position));
        let (loaded_sender, loaded) = watch::channel(in_background.is_none());
        let engine = Self {
            clock: config.clock.clone(),
            dedup_window_max: config.dedup_window_max,
            mint: IdMint::new(keys.mint),
            hash_key: keys.hash,
            last_seq: Arc::new(AtomicU64::new(last_seq.0)),
            journal: Arc::new(Journal::new(end)),
            readers: Arc::new(Readers::new(parts.path.clone(), Arc::clone(&progress))),
            segments,
            gate,
            dedup,
            deaths,
            lanes,
            cache: Cache::default(),
            progress,
            ledger: Arc::new(ledger),
            bell: Arc::new(KeeperBell::default()),
            sweeper: tokio::sync::Mutex::new(Sweeper::default()),
            edits: tokio::sync::Mutex::new(()),
            requests: Requests::default(),
            loaded,
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        engine.start_threads(&config, indexer, end, headroom)?;
        engine.start_loading(loaded_sender, last_seq, in_background)?;
        Ok(engine)
    }

    /// The store's own key for hashing what sources deduplicate by: the same for as long as the store lives.
    #[must_use]
    pub fn hash_key(&self) -> [u8; 16] {
        self.hash_key
    }

    /// The mint of this store's ids.
    #[must_use]
    pub fn mint(&self) -> &IdMint {
        &self.mint
    }

    fn start_threads(
        &self,
        config: &Config,
        mut indexer: Indexer,
        end: Position,
        headroom: Headroom,
    ) -> Result<(), OpenError> {
        let journal_folder = self.segments.folder().to_path_buf();
        let needs = Needs {
            headroom,
            segments: Arc::clone(&self.segments),
            journal: Arc::clone(&self.journal),
            progress: Arc::clone(&self.progress),
            lanes: Arc::clone(&self.lanes),
        };
        let writer = WriterParts {
            journal: Arc::clone(&self.journal),
            segments: Arc::clone(&self.segments),
            gate: Arc::clone(&self.gate),
            dedup: Arc::clone(&self.dedup),
            progress: Arc::clone(&self.progress),
            keeper: Arc::clone(&self.bell),
            needs: needs.clone(),
            clock: self.clock.clone(),
            metrics: config.metrics.clone(),
            durability: config.durability,
        };
        let writer = Writer::new(writer, end).map_err(OpenError::folder("write", journal_folder))?;
        let mut keeper = Keeper {
            folder: config.path.clone(),
            bell: Arc::clone(&self.bell),
            segments: Arc::clone(&self.segments),
            gate: Arc::clone(&self.gate),
            ledger: Arc::clone(&self.ledger),
            metrics: config.metrics.clone(),
            bytes_max: config.bytes_max,
            disk_free_min: config.disk_free_min,
            needs,
            journal: Arc::clone(&self.journal),
            began_at: end,
            seen_at: end,
        };
        // Before the first event: the bounds hold from the start.
        keeper.look();
        let (journal, progress) = (Arc::clone(&self.journal), Arc::clone(&self.progress));
        let readers = Arc::clone(&self.readers);
        let (bell, checkpointer) = checkpoints::beside(&indexer.path);
        if headroom.is_whole() {
            indexer.index.call(bell).map_err(|error| index_error(indexer.path.clone(), &error.into()))?;
        }
        self.start("store-writer", move || writer.run())?;
        self.start("store-indexer", move || indexer.run(&journal, &progress, &readers))?;
        self.start("store-keeper", move || keeper.run())?;
        // Joined after the indexer, with which its bell goes.
        self.start("store-checkpoint", move || checkpointer.run())
    }

    fn start_loading(
        &self,
        loaded: watch::Sender<bool>,
        last: Seq,
        in_background: Option<i64>,
    ) -> Result<(), OpenError> {
        if in_background.is_none() {
            self.lanes.loaded();
        }
        let (readers, lanes, dedup) = (Arc::clone(&self.readers), Arc::clone(&self.lanes), Arc::clone(&self.dedup));
        let (gate, progress, clock) = (Arc::clone(&self.gate), Arc::clone(&self.progress), self.clock.clone());
        self.start("store-loader", move || {
            if let Some(open) = in_background {
                let background =
                    loader::Background { readers: Arc::clone(&readers), lanes, progress, clock, last, open };
                match background.load() {
                    Ok(loader::Ended::Whole) => background.lanes.loaded(),
                    Ok(loader::Ended::Early) => return,
                    Err(fault) => {
                        return gate.fail(format!(
                            "the open deliveries could not be read: {fault}; check the disk, then restart: \
                             an index that is damaged is built anew from the journal"
                        ));
                    }
                }
            }
            loaded.send_replace(true);
            match loader::build_filters(&readers, &dedup) {
                Ok(()) => dedup.built(),
                // Without filters every new id is looked up: slower, not wrong.
                Err(error) => tracing::warn!(%error, "the filters of the dedup table could not be built"),
            }
        })
    }

    fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let started = std::thread::Builder::new().name(name.into()).spawn(work);
        let thread = started.map_err(OpenError::folder("start a thread for", self.segments.folder()))?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// The next seq.
    pub(super) fn next_seq(&self) -> Seq {
        let now = self.clock.now();
        let next = |last| Some(Seq(last).next(now).0);
        let last = self.last_seq.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).unwrap_or_else(|last| last);
        Seq(last).next(now)
    }

    /// Everything that was written or settled so far is in the index, as far as it can be; false where the index is behind
    /// what is durable.
    pub(super) async fn flush_index(&self) -> bool {
        // What finds no space now was acknowledged to nobody, or is an outcome.
        drop(self.journal.flush().await);
        self.progress.catch_up(self.journal.durable()).await
    }

    /// Waits until every delivery of before the start is in its lane.
    pub(super) async fn wait_loaded(&self) -> Result<(), StoreError> {
        let mut loaded = self.loaded.clone();
        let outcome = loaded.wait_for(|loaded| *loaded).await;
        outcome
            .map(drop)
            .map_err(|error| StoreError::Engine(format!("the open deliveries could not be read: {error}").into()))
    }

    /// Writes and syncs everything, then stops.
    pub(super) async fn close_whole(&self) -> Result<(), StoreError> {
        self.gate.close();
        let flushed = self.journal.flush().await;
        self.journal.close(false);
        self.bell.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let progress = Arc::clone(&self.progress);
        // The last connection to go folds the WAL into the index: that must be the one that may write.
        self.readers.clear();
        let joined = tokio::task::spawn_blocking(move || join(threads, &progress, false)).await;
        self.readers.clear();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        let kept = flushed.unwrap_or_else(|_| Ok(Default::default()));
        kept.map_err(|error| StoreError::Engine(error.to_string().into()))?;
        joined.map_err(|error| StoreError::Engine(error.to_string().into()))
    }

    /// Stops the threads; `abandon`: without writing what waits.
    pub(super) fn stop(&self, abandon: bool) {
        self.gate.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        self.journal.close(abandon);
        self.bell.close();
        self.readers.clear();
        join(threads, &self.progress, abandon);
        self.readers.clear();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Dropped without being closed: what waits is still written, but nobody is told whether it could be.
impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop(false);
    }
}

/// Waits for the threads; the writer first: what it syncs last is indexed then.
fn join(threads: Vec<JoinHandle<()>>, progress: &Progress, abandon: bool) {
    for thread in threads {
        if thread.thread().name() == Some("store-indexer") {
            progress.close(abandon);
        }
        if thread.join().is_err() {
            tracing::error!("a thread of the store has panicked");
        }
    }
}

/// Opens the index and brings it up to the end of the journal; a damaged one is built anew.
fn bring_up(config: &Config, parts: &IndexerParts, lanes: &Lanes) -> Result<Indexed, OpenError> {
    match try_bring_up(config, parts, lanes) {
        Ok(indexed) => return Ok(indexed),
        Err(fault) if fault.is_environment() => return Err(index_error(config.path.clone(), &fault)),
        Err(fault @ IndexFault::OtherVersion(_)) => {
            tracing::info!(%fault, "the index is built anew from the journal");
            index::remove(&parts.path).map_err(OpenError::folder("remove", &parts.path))?;
        }
        // SQLite has many words for a file that it cannot make sense of.
        Err(fault) => {
            tracing::error!(%fault, "the index is damaged and is built anew from the journal");
            index::set_aside(&parts.path).map_err(OpenError::folder("set aside", &parts.path))?;
        }
    }
    lanes.clear();
    parts.gate.damaged_records.store(0, Ordering::Relaxed);
    try_bring_up(config, parts, lanes).map_err(|fault| index_error(config.path.clone(), &fault))
}

fn try_bring_up(config: &Config, parts: &IndexerParts, lanes: &Lanes) -> Result<Indexed, IndexFault> {
    let start = indexer::start_of(&parts.segments);
    let index = Index::open(&parts.path, parts.segments.keys(), start, parts.headroom.wal_pages)?;
    let position = index.meta.position;
    // An index that knows more than the journal holds would answer for what is gone.
    let known = parts.segments.get(position.segment).and_then(|segment| segment.bytes());
    if !known.is_ok_and(|bytes| position.offset <= bytes.max(HEADER_BYTES)) {
        return Err(IndexFault::Damaged("it reaches further than the journal".into()));
    }
    index.verify_open()?;
    for number in parts.segments.numbers().into_iter().filter(|number| *number >= position.segment) {
        // What a killed process left with the kernel is made durable before anything is built on it.
        parts.segments.get(number)?.sync()?;
    }
    let mut indexer = Indexer::new(index, parts.clone());
    let (end, mut tail) = indexer.catch_up_at_start()?;
    let meta = &indexer.index.meta;
    let last_seq = tail.as_ref().map_or(meta.last_seq, |tail| tail.last_seq.max(meta.last_seq));
    if meta.open > LOADED_AT_ONCE_MAX && tail.is_none() {
        let in_background = Some(meta.open);
        return Ok(Indexed { indexer, end, last_seq, in_background });
    }
    let mut cursor = loader::Cursor::START;
    let connection = &indexer.index.connection;
    loader::load_open(connection, lanes, &mut cursor, meta.last_seq, tail.as_ref(), &config.clock)?;
    if i64::try_from(cursor.loaded) != Ok(meta.open) {
        return Err(IndexFault::Damaged("an open delivery has no event".into()));
    }
    if let Some(tail) = &mut tail {
        load_tail(tail, lanes, &parts.dedup, &parts.deaths, &config.clock);
    }
    Ok(Indexed { indexer, end, last_seq, in_background: None })
}

fn index_error(path: PathBuf, fault: &IndexFault) -> OpenError {
    let hint = if fault.is_no_space() { ": free space on the disk" } else { "" };
    OpenError::Index { path, reason: format!("{fault}{hint}").into() }
}
