//! Whether an event is a copy: the tail in memory, then a Bloom filter, then (on a hit) the table.
//!
//! A mark is "committing" from the moment its admission begins; copies that come meanwhile wait for the
//! outcome. It stays in the tail until the index holds it. Nothing is called a duplicate before the first
//! copy is durable. The mark of an event that is passed on is "claimed" under a lease until it is committed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use super::bloom::Bloom;
use super::key::MixState;
use super::record::Mark;
use crate::domain::{Seq, Timestamp};
use crate::store::AdmitError;

/// Marks are stored and forgotten by slices of this length.
const BUCKET_MILLIS: u64 = 6 * 3600 * 1000;
const SHARDS: usize = 16;

/// What became of the first copy.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It is durable.
    Committed(Seq),
    /// It was refused.
    Failed(AdmitError),
    /// Its caller went away before it was tried: the next one is the first now.
    Abandoned,
}

/// What an admission finds.
#[derive(Debug)]
pub(super) enum Begin {
    /// Nobody came before (in the tail): the mark is now ours.
    First,
    /// The first copy is durable.
    Duplicate(Seq),
    /// The first copy is under way.
    Wait(oneshot::Receiver<Verdict>),
}

/// What a claim for an event that is passed on finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// Nobody came before (in the tail): the mark is now ours.
    First,
    /// The first copy was taken.
    Duplicate(Seq),
    /// The first copy is under way.
    InFlight,
}

/// All marks that may still count.
#[derive(Debug)]
pub(super) struct Dedup {
    shards: [Mutex<Shard>; SHARDS],
    /// Marks that are in memory only.
    tail_marks: Gauge,
    /// Filters of the table's buckets, by bucket.
    buckets: RwLock<BTreeMap<u64, Arc<Bucket>>>,
    /// Buckets that were stored before the start and have no whole filter yet.
    unbuilt: AtomicBool,
}

type Shard = HashMap<[u8; 16], Tail, MixState>;

#[derive(Debug)]
enum Tail {
    Committing(Vec<oneshot::Sender<Verdict>>),
    /// An event that is passed on; `seq` tells whose claim it is.
    Claimed {
        seq: Seq,
        until: Timestamp,
        waiters: Vec<oneshot::Sender<Verdict>>,
    },
    Committed(Seq),
}

#[derive(Debug, Default)]
struct Bucket {
    filter: RwLock<Bloom>,
}

/// The bucket of marks that were made in this millisecond.
pub(super) fn bucket_of(time: Timestamp) -> u64 {
    time.0 / BUCKET_MILLIS
}

// === impl Dedup ===

impl Dedup {
    /// No mark yet; `tail_marks` shows how many are in memory only.
    pub(super) fn new(tail_marks: Gauge) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            tail_marks,
            buckets: RwLock::default(),
            unbuilt: AtomicBool::new(true),
        }
    }

    /// Takes the mark, or says who has it.
    pub(super) fn begin(&self, key: [u8; 16], window: Duration, now: Timestamp) -> Begin {
        let mut shard = self.shard(&key);
        match shard.get_mut(&key) {
            Some(Tail::Committed(seq)) if now.since(seq.time()) < window => Begin::Duplicate(*seq),
            Some(Tail::Committing(waiters)) => Begin::Wait(wait(waiters)),
            Some(Tail::Claimed { until, waiters, .. }) if now < *until => Begin::Wait(wait(waiters)),
            _ => {
                self.take_over(shard, key, Tail::Committing(Vec::new()));
                Begin::First
            }
        }
    }

    /// Takes the mark for an event that is passed on, until `until`, or says who has it.
    pub(super) fn claim(&self, key: [u8; 16], window: Duration, seq: Seq, now: Timestamp, until: Timestamp) -> Begun {
        let shard = self.shard(&key);
        match shard.get(&key) {
            Some(Tail::Committed(first)) if now.since(first.time()) < window => Begun::Duplicate(*first),
            Some(Tail::Committing(_)) => Begun::InFlight,
            Some(Tail::Claimed { until, .. }) if now < *until => Begun::InFlight,
            _ => {
                self.take_over(shard, key, Tail::Claimed { seq, until, waiters: Vec::new() });
                Begun::First
            }
        }
    }

    /// Gives a claim up, where it is still this one.
    pub(super) fn unclaim(&self, key: &[u8; 16], claimed: Seq, verdict: &Verdict) {
        let mut shard = self.shard(key);
        if matches!(shard.get(key), Some(Tail::Claimed { seq, .. }) if *seq == claimed) {
            let previous = shard.remove(key);
            drop(shard);
            self.tail_marks.dec();
            tell(previous, verdict);
        }
    }

    fn take_over(&self, mut shard: MutexGuard<'_, Shard>, key: [u8; 16], tail: Tail) {
        let previous = shard.insert(key, tail);
        drop(shard);
        if previous.is_none() {
            self.tail_marks.inc();
        }
        // Only a claim whose lease ended has waiters here.
        tell(previous, &Verdict::Abandoned);
    }

    /// Whether the table has to be asked: false means that it certainly holds no mark within the window.
    pub(super) fn may_be_stored(&self, key: &[u8; 16], window: Duration, now: Timestamp) -> bool {
        if self.unbuilt.load(Ordering::Acquire) {
            return true;
        }
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        let from = bucket_of(now.minus(window));
        buckets.range(from..).any(|(_, bucket)| bucket.read().may_contain(key))
    }

    /// The first copy is durable.
    pub(super) fn commit(&self, key: &[u8; 16], seq: Seq) {
        let previous = self.shard(key).insert(*key, Tail::Committed(seq));
        if previous.is_none() {
            self.tail_marks.inc();
        }
        tell(previous, &Verdict::Committed(seq));
    }

    /// The mark is given up: refused, abandoned, or found in the table.
    pub(super) fn release(&self, key: &[u8; 16], verdict: &Verdict) {
        let mut shard = self.shard(key);
        if matches!(shard.get(key), Some(Tail::Committing(_))) {
            let previous = shard.remove(key);
            drop(shard);
            self.tail_marks.dec();
            tell(previous, verdict);
        }
    }

    /// The table holds these marks now: they enter the filters and leave the tail.
    pub(super) fn stored(&self, marks: &[Mark]) {
        for mark in marks {
            self.bucket(bucket_of(mark.seq.time())).write().insert(&mark.key);
        }
        for mark in marks {
            let mut shard = self.shard(&mark.key);
            if matches!(shard.get(&mark.key), Some(Tail::Committed(seq)) if *seq == mark.seq) {
                shard.remove(&mark.key);
                self.tail_marks.dec();
            }
        }
    }

    /// A key that the table held at the start.
    pub(super) fn found_stored(&self, bucket: u64, keys: &[[u8; 16]]) {
        let bucket = self.bucket(bucket);
        let mut filter = bucket.write();
        keys.iter().for_each(|key| filter.insert(key));
    }

    /// Every bucket of the table has its filter.
    pub(super) fn built(&self) {
        self.unbuilt.store(false, Ordering::Release);
    }

    /// Forgets the filters of buckets below `bucket`.
    pub(super) fn forget_below(&self, bucket: u64) {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        *buckets = buckets.split_off(&bucket);
    }

    fn bucket(&self, number: u64) -> Arc<Bucket> {
        if let Some(bucket) = self.buckets.read().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return Arc::clone(bucket);
        }
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        match buckets.entry(number) {
            Entry::Occupied(bucket) => Arc::clone(bucket.get()),
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::default())),
        }
    }

    #[allow(clippy::indexing_slicing, reason = "a remainder of the array's length is within it")]
    fn shard(&self, key: &[u8; 16]) -> MutexGuard<'_, Shard> {
        self.shards[usize::from(key[15]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Bloom> {
        self.filter.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Bloom> {
        self.filter.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait(waiters: &mut Vec<oneshot::Sender<Verdict>>) -> oneshot::Receiver<Verdict> {
    let (sender, receiver) = oneshot::channel();
    waiters.push(sender);
    receiver
}

fn tell(tail: Option<Tail>, verdict: &Verdict) {
    if let Some(Tail::Committing(waiters) | Tail::Claimed { waiters, .. }) = tail {
        for waiter in waiters {
            // A waiter that went away needs no answer.
            drop(waiter.send(verdict.clone()));
        }
    }
}
