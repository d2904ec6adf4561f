//! The engine: its parts, and how it is opened.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::cache::Cache;
use super::config::{Config, OpenError};
use super::courier;
use super::errand::{Bounds, Errand};
use super::jobs::{AdmitJob, Taken, millis};
use super::key::Bases;
use super::lane::Lanes;
use super::ledger::Ledger;
use super::link::{Link, State};
use super::links::Links;
use super::outbox::Outbox;
use super::pauses::Pauses;
use super::sequence::Sequence;
use super::webhooks::Hooks;
use super::{replies, script};
use crate::domain::{Clock, IdMint, Seq};
use crate::store::{LaneState, StoreKeys};
use crate::telemetry::StoreMetrics;

/// Between two looks for what other gateways admitted, or left.
const PEEK: Duration = Duration::from_millis(100);

/// A claim that was made for a worker who does not come for it is given back after this.
const UNFETCHED_MAX: Duration = Duration::from_millis(100);

/// Marks are kept a little longer than their window, so that only the window says when a copy is new.
const MARKS_MARGIN: Duration = Duration::from_secs(60);

/// The Redis engine: a server, or several, that any number of gateways share.
#[derive(Debug)]
pub struct Redis {
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: Mutex<JoinSet<()>>,
    pub(super) config: Config,
    keys: StoreKeys,
}

/// What verbs and tasks share.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) mint: IdMint,
    pub(super) bases: Bases,
    pub(super) links: Links,
    pub(super) sequence: Sequence,
    pub(super) lanes: Lanes,
    pub(super) cache: Cache,
    pub(super) ledger: Ledger,
    pub(super) bounds: Bounds,
    pub(super) hooks: Hooks,
    pub(super) pauses: Pauses,
    pub(super) metrics: StoreMetrics,
    /// Keys the hashes by which senders' ids are found.
    pub(super) lookup_key: [u8; 16],
    /// A mark that an admission may wait for was committed or released.
    pub(super) mark_freed: Notify,
    /// Marks that are claimed here.
    pub(super) marks: Mutex<HashSet<([u8; 16], Seq)>>,
    /// How many replicas must have an event before it is acknowledged.
    pub(super) replicas_min: u64,
    pub(super) is_closed: AtomicBool,
    pub(super) damaged: AtomicU64,
    /// The queues as they were last seen.
    pub(super) lanes_seen: Mutex<Vec<LaneState>>,
    outboxes: Vec<Outbox>,
    /// Tells this gateway's leases from all others'.
    lease_prefix: u32,
    leases: AtomicU64,
    turn: AtomicU64,
    known_targets: Mutex<HashSet<(usize, Arc<str>)>>,
}

// === impl Redis ===

impl Redis {
    /// Opens the store at the server, or makes it; waits for a server that is just starting.
    ///
    /// # Errors
    /// [`OpenError`], whose sentences are for people.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let bases = if config.cluster { Bases::spread } else { Bases::new }(&config.key_prefix, config.shards);
        let (links, identity) = Links::open(&config, &bases).await?;
        let shared = Arc::new(Shared {
            clock: config.clock.clone(),
            mint: IdMint::new(identity.keys.mint),
            links,
            sequence: Sequence::new(identity.start),
            lanes: Lanes::new(bases.count(), config.clock.clone()),
            hooks: Hooks::default(),
            pauses: Pauses::default(),
            cache: Cache::default(),
            ledger: Ledger::new(config.metrics.clone()),
            bounds: Bounds {
                marks_kept: millis(config.dedup_window_max + MARKS_MARGIN),
                ledger_bytes_max: config.rejections_bytes_max,
            },
            metrics: config.metrics.clone(),
            lookup_key: identity.keys.hash,
            mark_freed: Notify::new(),
            marks: Mutex::default(),
            replicas_min: config.replicas_min.into(),
            is_closed: AtomicBool::new(false),
            damaged: AtomicU64::new(0),
            lanes_seen: Mutex::default(),
            outboxes: (0..bases.count()).map(|_| Outbox::default()).collect(),
            lease_prefix: fastrand::u32(1..),
            leases: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            known_targets: Mutex::default(),
            bases,
        });
        let mut tasks = JoinSet::new();
        shared.links.supervise(&mut tasks);
        for link in shared.links.iter() {
            tasks.spawn(watch(Arc::clone(&shared), Arc::clone(link)));
        }
        for shard in 0..shared.bases.count() {
            tasks.spawn(courier::run(Arc::clone(&shared), shard));
        }
        tasks.spawn(peek(Arc::clone(&shared)));
        tasks.spawn(super::ledger::run(Arc::clone(&shared)));
        Ok(Self { shared, tasks: Mutex::new(tasks), config, keys: identity.keys })
    }

    /// The store's own key for hashing what sources deduplicate by: the same for as long as the store lives.
    #[must_use]
    pub fn hash_key(&self) -> [u8; 16] {
        self.keys.hash
    }

    /// The mint of this store's ids.
    #[must_use]
    pub fn mint(&self) -> &IdMint {
        &self.shared.mint
    }

    pub(super) fn store_keys(&self) -> StoreKeys {
        self.keys
    }

    pub(super) fn tasks(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn outbox(&self, shard: usize) -> &Outbox {
        self.outboxes.get(shard).unwrap_or_else(|| unreachable!("a shard is below their count"))
    }

    pub(super) fn outboxes(&self) -> impl Iterator<Item = &Outbox> {
        self.outboxes.iter()
    }

    /// The shard of a mark: a copy must meet the first one's.
    pub(super) fn shard_of_mark(&self, mark: &[u8; 16]) -> usize {
        let [first, ..] = mark;
        usize::from(*first) % self.outboxes.len().max(1)
    }

    /// The shards in turn, for what may go anywhere; those that can be used before the others.
    pub(super) fn next_shard(&self) -> usize {
        let count = self.outboxes.len().max(1);
        let first = self.turn.fetch_add(1, Ordering::Relaxed) as usize % count;
        if self.links.is_one() {
            return first;
        }
        let mut in_turn = (first..first + count).map(|shard| shard % count);
        in_turn.find(|shard| self.links.of(*shard).is_up()).unwrap_or(first)
    }

    pub(super) fn run(&self, seq: Seq, errand: Errand) {
        self.outbox(self.bases.shard_of(seq)).run(errand);
    }

    /// A lease that no other claim has.
    pub(super) fn next_lease(&self) -> u64 {
        u64::from(self.lease_prefix) << 32 | self.leases.fetch_add(1, Ordering::Relaxed) & u64::from(u32::MAX)
    }

    /// How every lease of this gateway begins.
    pub(super) fn lease_prefix(&self) -> String {
        format!("{:08x}", self.lease_prefix)
    }

    /// Claims that nobody took are as if they had not been made.
    pub(super) fn give_back(&self, target: &Arc<str>, taken: Vec<Taken>) {
        for one in taken {
            let Taken { key, due_at, lease, .. } = one;
            self.run(key.seq, Errand::Release { key, target: Arc::clone(target), lease, due_at });
        }
    }

    /// Claims that nobody came for are as if they had not been made.
    fn give_back_unfetched(&self) {
        let before = self.clock.now().minus(UNFETCHED_MAX);
        for lane in self.lanes.all() {
            self.give_back(&lane.name, lane.standing.take_older_than(before));
        }
    }

    /// Targets of these events that the shard has perhaps not heard of.
    pub(super) fn new_targets(&self, shard: usize, jobs: &[AdmitJob]) -> Vec<Arc<str>> {
        let known = self.known_targets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news: Vec<Arc<str>> = Vec::new();
        for planned in jobs.iter().flat_map(|job| &job.planned) {
            if !news.contains(&planned.target) && !known.contains(&(shard, Arc::clone(&planned.target))) {
                news.push(Arc::clone(&planned.target));
            }
        }
        news
    }

    pub(super) fn targets_known(&self, shard: usize, news: &[Arc<str>]) {
        if !news.is_empty() {
            let mut known = self.known_targets.lock().unwrap_or_else(PoisonError::into_inner);
            known.extend(news.iter().map(|target| (shard, Arc::clone(target))));
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("link", self.links.of(0)).finish_non_exhaustive()
    }
}

/// When a connection is back, nothing that was known counts any more.
async fn watch(shared: Arc<Shared>, link: Arc<Link>) {
    let mut state = link.watch();
    while state.changed().await.is_ok() {
        let is_up = matches!(&*state.borrow_and_update(), State::Up(_));
        if is_up {
            shared.known_targets.lock().unwrap_or_else(PoisonError::into_inner).clear();
            shared.lanes.look_at_all();
            shared.outboxes().for_each(Outbox::ring);
        }
    }
}

/// Looks for what other gateways admitted, for retries that they scheduled and for leases that they left.
async fn peek(shared: Arc<Shared>) {
    let mut ticks = interval(PEEK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.give_back_unfetched();
        // Webhooks first: whoever hears of a delivery should know its webhook.
        shared.look_for_changed_webhooks().await;
        shared.look_for_changed_pauses().await;
        shared.look_for_webhooks().await;
        let lanes = shared.lanes.watched();
        if lanes.is_empty() {
            continue;
        }
        for (shard, base) in shared.bases.iter().enumerate() {
            let link = shared.links.of(shard);
            if !link.is_up() {
                continue;
            }
            let mut call = script::PEEK.on(base);
            call.number(lanes.len() as u64);
            for lane in &lanes {
                call.bytes(&*lane.name).number(lane.is_ordered().into());
            }
            let looks: Vec<u64> = lanes.iter().map(|lane| lane.looks(shard)).collect();
            let Ok(answers) = link.all([call.done()]).await else { continue };
            let Some(Ok(value)) = answers.into_iter().next() else { continue };
            for ((lane, looks), next) in lanes.iter().zip(looks).zip(replies::array(&value).unwrap_or_default()) {
                if let Some(at) = replies::next_time(next) {
                    lane.wake_unless_newer(shard, at, looks);
                }
            }
        }
    }
}
