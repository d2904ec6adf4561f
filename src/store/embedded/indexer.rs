//! The thread that brings the index up to what the journal has synced; the same code serves a start, where
//! the gap is only larger.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::deaths::Deaths;
use super::decode;
use super::dedup::Dedup;
use super::fold::Fold;
use super::gate::Gate;
use super::headroom::Headroom;
use super::index::{self, Index, IndexFault};
use super::journal::Journal;
use super::readers::Readers;
use super::record::{Position, Record};
use super::scan::{Found, Scanner};
use super::segment;
use super::segments::Segments;
use super::starved::Starved;
use super::write_fold::write_fold;
use crate::telemetry::StoreMetrics;

/// So long a transaction waits for more, and for results of what it holds.
const FOLD_WAIT: Duration = Duration::from_millis(200);
/// More unindexed bytes than this do not wait.
const FOLD_BYTES: u64 = 16 * 1024 * 1024;
/// A transaction that found no space is tried again after this.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// Who waits for an index that is being built anew looks this often.
const LIFE_LOOK: Duration = Duration::from_millis(10);

/// How far the index is, and who waits for it.
#[derive(Debug)]
pub(super) struct Progress {
    indexed: AtomicU64,
    segment_bytes: u64,
    signal: Mutex<Signal>,
    wake: Condvar,
    changed: Notify,
    /// How often the index was built anew since the start.
    lives: AtomicU64,
    /// While it is built anew, it is whole again from here on.
    whole_from: AtomicU64,
}

#[derive(Default)]
struct Signal {
    grown: bool,
    /// Somebody waits.
    wanted: bool,
    closing: bool,
    abandoned: bool,
    damaged: Option<String>,
    /// The last transaction failed: nobody should wait for the next.
    troubled: bool,
    jobs: Vec<Job>,
}

/// Work on the writing connection, between two transactions of the indexer.
pub(super) type Job = Box<dyn FnOnce(&mut Index) + Send>;

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signal")
    }
}

impl std::fmt::Debug for Indexer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Indexer")
    }
}

/// The thread's own.
pub(super) struct Indexer {
    pub(super) index: Index,
    pub(super) path: PathBuf,
    pub(super) segments: Arc<Segments>,
    pub(super) gate: Arc<Gate>,
    pub(super) dedup: Arc<Dedup>,
    pub(super) deaths: Arc<Deaths>,
    pub(super) metrics: StoreMetrics,
    pub(super) headroom: Headroom,
    pub(super) scanner: Scanner,
    /// What was stepped over and may have been durable: from where to where.
    pub(super) damage: Vec<(Position, Position)>,
    proved_durable: Position,
    /// There is no index: it could not even be begun.
    is_lost: bool,
    pub(super) starved: Starved,
}

/// What the indexer shares with the rest of the engine.
#[derive(Clone, Debug)]
pub(super) struct IndexerParts {
    pub(super) path: PathBuf,
    pub(super) segments: Arc<Segments>,
    pub(super) gate: Arc<Gate>,
    pub(super) dedup: Arc<Dedup>,
    pub(super) deaths: Arc<Deaths>,
    pub(super) metrics: StoreMetrics,
    pub(super) headroom: Headroom,
}

// === impl Progress ===

impl Progress {
    /// Of an index that reaches `indexed`.
    pub(super) fn new(indexed: Position) -> Self {
        Self {
            indexed: AtomicU64::new(pack(indexed)),
            segment_bytes: 64 * 1024 * 1024,
            signal: Mutex::default(),
            wake: Condvar::new(),
            changed: Notify::new(),
            lives: AtomicU64::new(0),
            whole_from: AtomicU64::new(0),
        }
    }

    /// The journal was synced further.
    pub(super) fn journal_grew(&self) {
        let mut signal = self.lock();
        let first = !std::mem::replace(&mut signal.grown, true);
        drop(signal);
        if first {
            self.wake.notify_one();
        }
    }

    /// Waits until the index reaches `to`; false where it cannot now.
    pub(super) async fn catch_up(&self, to: Position) -> bool {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.indexed() >= to {
                return true;
            }
            {
                let mut signal = self.lock();
                if signal.troubled || signal.closing {
                    return false;
                }
                signal.wanted = true;
            }
            self.wake.notify_one();
            changed.await;
        }
    }

    /// Runs `work` on the writing connection.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Index) -> R + Send + 'static,
    ) -> Option<R> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        {
            let mut signal = self.lock();
            if signal.closing {
                return None;
            }
            signal.jobs.push(Box::new(move |index| drop(sender.send(work(index)))));
        }
        self.wake.notify_one();
        receiver.await.ok()
    }

    /// Somebody found the index damaged: it is built anew.
    pub(super) fn report_damage(&self, what: String) {
        self.lock().damaged.get_or_insert(what);
        self.wake.notify_one();
    }

    /// Lets the thread end: after the last transaction, or at once.
    pub(super) fn close(&self, abandon: bool) {
        let mut signal = self.lock();
        signal.closing = true;
        signal.abandoned = abandon;
        drop(signal);
        self.wake.notify_one();
        self.changed.notify_waiters();
    }

    /// The journal is indexed up to here.
    pub(super) fn indexed(&self) -> Position {
        unpack(self.indexed.load(Ordering::Acquire))
    }

    /// How often the index was built anew.
    pub(super) fn lives(&self) -> u64 {
        self.lives.load(Ordering::Acquire)
    }

    /// Waits while the index is built anew; false where it cannot be.
    pub(super) async fn whole(&self) -> bool {
        self.catch_up(unpack(self.whole_from.load(Ordering::Acquire))).await
    }

    /// Blocks until the index of life `life` or a later one is whole and answers which it is; `None` where the
    /// engine closes before.
    ///
    /// However long it takes: what stands in the way (a full disk) is shown, and passes.
    pub(super) fn wait_whole(&self, life: u64) -> Option<u64> {
        loop {
            let its_life = self.lives();
            if its_life >= life && self.indexed() >= unpack(self.whole_from.load(Ordering::Acquire)) {
                return Some(its_life);
            }
            if self.lock().closing {
                return None;
            }
            std::thread::sleep(LIFE_LOOK);
        }
    }

    /// The index starts anew and is whole when it reaches `to`.
    fn begin_life(&self, position: Position, to: Position) {
        self.whole_from.store(pack(to), Ordering::Release);
        self.indexed.store(pack(position), Ordering::Release);
        self.lives.fetch_add(1, Ordering::AcqRel);
    }

    /// About how many bytes of the journal before `end` are not indexed.
    pub(super) fn lag_bytes(&self, end: Position) -> u64 {
        let indexed = self.indexed();
        let segments = u64::from(end.segment.saturating_sub(indexed.segment));
        (segments * self.segment_bytes + u64::from(end.offset)).saturating_sub(u64::from(indexed.offset))
    }

    fn reached(&self, position: Position) {
        self.indexed.store(pack(position), Ordering::Release);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Indexer ===

impl Indexer {
    pub(super) fn new(index: Index, parts: IndexerParts) -> Self {
        let scanner = Scanner::new(Arc::clone(&parts.segments), index.meta.position);
        let IndexerParts { path, segments, gate, dedup, deaths, metrics, headroom } = parts;
        let proved_durable = Position::default();
        deaths.indexed(&[], index.meta.dead);
        Self {
            index,
            path,
            segments,
            gate,
            dedup,
            deaths,
            metrics,
            headroom,
            scanner,
            damage: Vec::new(),
            proved_durable,
            is_lost: false,
            starved: Starved::default(),
        }
    }

    /// Indexes everything that is there and answers where the journal ends, and what there was no space for.
    pub(super) fn catch_up_at_start(&mut self) -> Result<(Position, Option<Fold>), IndexFault> {
        let tail = self.index_all()?;
        let proved = self.proved_durable;
        for (from, to) in std::mem::take(&mut self.damage) {
            if from < proved {
                self.count_damage(from);
            } else {
                self.say_torn(from, if to.segment == from.segment { to.offset } else { from.offset });
            }
        }
        let end = self.scanner.position();
        let segment = self.segments.get(end.segment)?;
        let torn_to = segment.data_end(end.offset)?;
        self.say_torn(end, torn_to);
        // Or the next start would find the rest of it behind what is written until then.
        segment.wipe(end.offset, torn_to)?;
        if tail.is_some() {
            self.start_over();
        }
        Ok((end, tail))
    }

    /// What was read but not written is read again.
    pub(super) fn start_over(&mut self) {
        self.scanner = Scanner::new(Arc::clone(&self.segments), self.index.meta.position);
        self.damage.clear();
    }

    /// Says so where something lies between the two that nobody was told to be durable, and that is not used.
    fn say_torn(&self, from: Position, to: u32) {
        let bytes = to.saturating_sub(from.offset);
        if bytes > 0 {
            let file = segment::path_of(self.segments.folder(), from.segment);
            tracing::warn!(
                file = %file.display(),
                offset = from.offset,
                bytes,
                "a write that was torn is cut off: it was not synced when the process or the machine died"
            );
        }
    }

    /// One transaction up to `limit`; false where nothing was left.
    pub(super) fn step(&mut self, limit: Option<Position>) -> Result<bool, IndexFault> {
        let mut fold = Fold::default();
        let ended = self.read(&mut fold, limit, self.headroom.fold_records())?;
        let position = self.scanner.position();
        if position != self.index.meta.position {
            write_fold(&mut self.index, &mut fold, position)?;
            self.dedup.stored(&fold.marks);
            self.deaths.indexed(&fold.died, self.index.meta.dead);
            self.index.events += i64::from(fold.admitted) + i64::from(fold.moved);
            if limit.is_some() {
                self.metrics.index_lag.dec_by(fold.admitted.into());
            }
        }
        Ok(!ended)
    }

    /// Reads until the fold has `most` records; whether there are no more.
    pub(super) fn read(&mut self, fold: &mut Fold, limit: Option<Position>, most: usize) -> Result<bool, IndexFault> {
        while fold.records < most {
            match self.scanner.next(limit)? {
                Found::Record { place, payload } => match decode::record(&payload) {
                    Some(record) => {
                        if let Record::Batch { durable } = &record {
                            self.proved_durable = self.proved_durable.max(*durable);
                        }
                        fold.add(&self.index, place, record)?;
                    }
                    None => self.damage.push((place.start(), place.end())),
                },
                Found::Damage { from, to } => self.damage.push((from, to)),
                Found::End => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Works until it is told to end.
    pub(super) fn run(mut self, journal: &Journal, progress: &Progress, readers: &Readers) {
        progress.reached(self.index.meta.position);
        let mut trouble = self.starved.from_the_start.then(Instant::now);
        progress.lock().troubled = trouble.is_some();
        loop {
            let Some(jobs) = self.wait(journal, progress, trouble) else { return };
            for job in jobs.work {
                job(&mut self.index);
            }
            let lost = self.is_lost.then(|| "it could not be begun".into());
            let damaged = jobs.damaged.or(lost).map(IndexFault::Damaged);
            let outcome = damaged.map_or_else(|| self.advance(journal.durable(), progress), Err);
            trouble = outcome.err().map(|fault| {
                self.handle(&fault, journal, progress, readers);
                Instant::now()
            });
            progress.lock().troubled = trouble.is_some();
            if trouble.is_some() {
                progress.changed.notify_waiters();
            } else {
                self.gate.set_index_trouble(None);
                self.starved = Starved::default();
            }
            if jobs.closing {
                return;
            }
        }
    }

    fn advance(&mut self, limit: Position, progress: &Progress) -> Result<(), IndexFault> {
        while self.step(Some(limit))? {
            progress.reached(self.index.meta.position);
        }
        progress.reached(self.index.meta.position);
        for (from, _) in std::mem::take(&mut self.damage) {
            self.count_damage(from);
        }
        Ok(())
    }

    fn count_damage(&self, from: Position) {
        self.gate.damaged_records.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            segment = from.segment,
            offset = from.offset,
            "a stored record is damaged and was stepped over"
        );
    }

    fn handle(&mut self, fault: &IndexFault, journal: &Journal, progress: &Progress, readers: &Readers) {
        let anew: Option<fn(&Path) -> io::Result<()>> = if let IndexFault::Damaged(reason) = fault {
            tracing::error!(reason, "the index is built anew from the journal");
            Some(index::set_aside)
        } else if fault.is_no_space() {
            self.make_room().then_some(index::remove as _)
        } else {
            tracing::error!(error = %fault, "the index cannot be written");
            None
        };
        if let Some(clear_away) = anew {
            // Before the file is gone: whoever looks then finds that the index lags.
            self.metrics.index_lag.inc_by(std::mem::take(&mut self.index.events));
            let rebuilt = self.build_anew(readers, clear_away);
            self.is_lost = rebuilt.is_err();
            match rebuilt {
                Ok(()) => progress.begin_life(self.index.meta.position, journal.durable()),
                // It is tried again.
                Err(error) => tracing::error!(%error, "the index cannot be built"),
            }
        }
        self.gate.set_index_trouble(Some(format!(
            "the index cannot be written ({fault}): events are kept and delivered, lists are old; check the disk"
        )));
        self.start_over();
    }

    /// Waits for something to index that is worth a transaction, or for a job; `None`: end at once.
    fn wait(&self, journal: &Journal, progress: &Progress, trouble: Option<Instant>) -> Option<Jobs> {
        let mut signal = progress.lock();
        let mut grown_at = None;
        loop {
            if signal.closing && signal.abandoned {
                return None;
            }
            let retry_in = trouble.map(|at| RETRY_WAIT.saturating_sub(at.elapsed())).filter(|left| !left.is_zero());
            let due = !signal.jobs.is_empty() || signal.damaged.is_some() || signal.closing;
            if due || (retry_in.is_none() && (trouble.is_some() || signal.wanted)) {
                break;
            }
            if signal.grown && grown_at.is_none() {
                grown_at = Some(Instant::now());
            }
            let fold_in = grown_at.map(|at: Instant| FOLD_WAIT.saturating_sub(at.elapsed()));
            let large = progress.lag_bytes(journal.durable()) > FOLD_BYTES;
            if retry_in.is_none() && (large || fold_in.is_some_and(|left| left.is_zero())) && signal.grown {
                break;
            }
            let pause = match (retry_in, fold_in) {
                (Some(retry), _) => Some(retry),
                // A quarter at a time, so that a burst is noticed while it waits.
                (None, Some(fold)) => Some(fold.min(FOLD_WAIT / 4)),
                (None, None) => None,
            };
            signal = match pause {
                Some(pause) => progress.wake.wait_timeout(signal, pause).unwrap_or_else(PoisonError::into_inner).0,
                None => progress.wake.wait(signal).unwrap_or_else(PoisonError::into_inner),
            };
        }
        signal.grown = false;
        signal.wanted = false;
        let work = std::mem::take(&mut signal.jobs);
        Some(Jobs { work, damaged: signal.damaged.take(), closing: signal.closing })
    }
}

/// What the thread was woken for.
struct Jobs {
    work: Vec<Job>,
    damaged: Option<String>,
    closing: bool,
}

fn pack(position: Position) -> u64 {
    u64::from(position.segment) << 32 | u64::from(position.offset)
}

fn unpack(packed: u64) -> Position {
    Position { segment: (packed >> 32) as u32, offset: packed as u32 }
}

/// Where indexing starts when there is no index.
pub(super) fn start_of(segments: &Segments) -> Position {
    Position { segment: segments.numbers().first().copied().unwrap_or(1), offset: segment::HEADER_BYTES }
}
