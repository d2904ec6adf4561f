//! Claims that stand: workers of this gateway that wait for a lane's next deliveries, and those that came for them.
//!
//! An event that is admitted while a worker waits for its delivery is claimed in the same step, which saves the server a script
//! and the event a round trip. Only a lane that somebody waits for has such claims, and only as many as it lacked when it was last
//! asked; what nobody fetches in a moment is given back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::jobs::{Taken, millis};
use crate::domain::Timestamp;

/// Workers that are counted at the most.
const LACKING_MAX: u64 = 512;

/// A lane's.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Who waits until something is due.
    waiting: AtomicUsize,
    /// Deliveries that were asked for and not there.
    lacking: AtomicU64,
    /// The lease that was asked for, in milliseconds.
    lease: AtomicU64,
    /// Claimed and not fetched yet, each with when it came.
    ready: Mutex<VecDeque<(Taken, Timestamp)>>,
}

/// Somebody waits; until it is dropped.
pub(super) struct Waits<'a>(&'a AtomicUsize);

/// Claims that go out with admissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) most: u64,
    pub(super) lease: Duration,
}

// === impl Standing ===

impl Standing {
    /// Somebody waits from now on.
    pub(super) fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waits(&self.waiting)
    }

    /// So many were asked for and so many fewer were there.
    pub(super) fn lacked(&self, most: usize, missing: usize, lease: Duration) {
        self.lease.store(millis(lease), Ordering::Release);
        let (most, missing) = (most as u64, missing as u64);
        if most > 1 {
            // The pump asks for all who are free, workers for themselves.
            self.lacking.store(missing.min(LACKING_MAX), Ordering::Release);
        } else {
            self.give(missing);
        }
    }

    /// What an admission may claim; whatever it does not is given again with [`give`](Self::give).
    pub(super) fn offer(&self) -> Option<Offer> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let most = self.lacking.swap(0, Ordering::AcqRel);
        let lease = Duration::from_millis(self.lease.load(Ordering::Acquire));
        (most > 0).then_some(Offer { most, lease })
    }

    /// So many are lacking again.
    pub(super) fn give(&self, count: u64) {
        let lacking = self.lacking.fetch_add(count, Ordering::AcqRel);
        if lacking + count > LACKING_MAX {
            self.lacking.store(LACKING_MAX, Ordering::Release);
        }
    }

    /// These came.
    pub(super) fn put(&self, taken: impl IntoIterator<Item = Taken>, now: Timestamp) {
        self.ready().extend(taken.into_iter().map(|one| (one, now)));
    }

    /// At most so many of those that came, oldest first.
    pub(super) fn take(&self, most: usize) -> Vec<Taken> {
        let mut ready = self.ready();
        let count = most.min(ready.len());
        ready.drain(..count).map(|(one, _)| one).collect()
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.ready().is_empty()
    }

    /// Those that came before then: nobody is as free as was thought.
    pub(super) fn take_older_than(&self, then: Timestamp) -> Vec<Taken> {
        let mut ready = self.ready();
        let count = ready.partition_point(|(_, came)| *came < then);
        if count > 0 {
            self.lacking.store(0, Ordering::Release);
        }
        ready.drain(..count).map(|(one, _)| one).collect()
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<(Taken, Timestamp)>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::key::Key;
    use crate::domain::Seq;

    const LEASE: Duration = Duration::from_secs(20);

    fn taken(number: u64) -> Taken {
        let key = Key { seq: Seq(number), ordinal: 0 };
        Taken { key, attempts: 0, due_at: Timestamp(1), expires_at: None, lease: 7 }
    }

    #[test]
    fn only_what_somebody_waits_for_is_offered_and_once() {
        let standing = Standing::default();
        standing.lacked(8, 5, LEASE);
        assert_eq!(standing.offer(), None, "nobody waits");
        let waits = standing.wait();
        assert_eq!(standing.offer(), Some(Offer { most: 5, lease: LEASE }));
        assert_eq!(standing.offer(), None, "they are on their way");
        standing.give(2);
        standing.lacked(1, 1, LEASE);
        assert_eq!(standing.offer(), Some(Offer { most: 3, lease: LEASE }), "two came back, and a worker sat down");
        standing.lacked(4, 4, LEASE);
        drop(waits);
        assert_eq!(standing.offer(), None);
    }

    #[test]
    fn what_came_is_fetched_in_its_order_and_what_stays_is_given_back() {
        let standing = Standing::default();
        standing.put([taken(1), taken(2)], Timestamp(100));
        standing.put([taken(3)], Timestamp(101));
        assert_eq!(standing.take(1), [taken(1)]);
        standing.give(4);
        let _waits = standing.wait();
        assert_eq!(standing.take_older_than(Timestamp(100)), []);
        assert_eq!(standing.take_older_than(Timestamp(101)), [taken(2)]);
        assert!(standing.is_ready());
        assert_eq!(standing.take(5), [taken(3)]);
        assert!(!standing.is_ready());
        assert_eq!(standing.offer(), None, "nobody was as free as was thought");
    }
}
