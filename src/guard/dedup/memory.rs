//! Marks in memory: bounded, for one process, gone with it.
//!
//! At `marks_max` the oldest permanent mark is forgotten for a new one: a later copy of that event passes for
//! new, nothing is lost. Claims in flight are never forgotten; where they alone fill the table, the next
//! sender is told to come again.

use std::collections::{HashMap, VecDeque};
use std::future::{Ready, ready};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::marks::{Claim, Marks};
use crate::domain::{Clock, Timestamp};

/// A bounded table of marks.
#[derive(Debug)]
pub struct MemoryMarks {
    marks_max: usize,
    window: Duration,
    clock: Clock,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    marks: HashMap<[u8; 16], Mark>,
    /// Permanent marks, oldest first: when they run out.
    permanent: VecDeque<([u8; 16], Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    InFlight,
    Permanent,
}

// === impl MemoryMarks ===

impl MemoryMarks {
    /// A table of at most `marks_max` marks (about 64 bytes each) that last for `window`.
    #[must_use]
    pub fn new(marks_max: usize, window: Duration, clock: Clock) -> Self {
        Self { marks_max: marks_max.max(1), window, clock, table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks for MemoryMarks {
    type Claiming = Ready<Claim>;
    type Settling = Ready<()>;

    fn claim(&self, key: [u8; 16]) -> Ready<Claim> {
        let now = self.clock.now();
        let mut table = self.table();
        while table.permanent.front().is_some_and(|(_, until)| *until <= now) {
            table.forget_oldest();
        }
        let claim = match table.marks.get(&key) {
            Some(Mark::InFlight) => Claim::InFlight,
            Some(Mark::Permanent) => Claim::Copy,
            None => {
                if table.marks.len() >= self.marks_max && !table.forget_oldest() {
                    Claim::Unavailable
                } else {
                    table.marks.insert(key, Mark::InFlight);
                    Claim::First
                }
            }
        };
        ready(claim)
    }

    fn settle(&self, key: [u8; 16], was_kept: bool) -> Ready<()> {
        let until = self.clock.now().plus(self.window);
        let mut table = self.table();
        if table.marks.get(&key) == Some(&Mark::InFlight) {
            if was_kept {
                table.marks.insert(key, Mark::Permanent);
                table.permanent.push_back((key, until));
            } else {
                table.marks.remove(&key);
            }
        }
        ready(())
    }

    fn abandon(&self, key: [u8; 16]) {
        drop(self.settle(key, false));
    }
}

// === impl Table ===

impl Table {
    /// Forgets the oldest permanent mark; false where there is none.
    fn forget_oldest(&mut self) -> bool {
        let oldest = self.permanent.pop_front();
        oldest.is_some_and(|(key, _)| self.marks.remove(&key).is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("memory does not wait"),
        }
    }

    #[track_caller]
    fn check(marks: &MemoryMarks, key: u8, expected: Claim) {
        assert_eq!(now(marks.claim([key; 16])), expected, "{key}");
    }

    fn keep(marks: &MemoryMarks, key: u8) {
        check(marks, key, Claim::First);
        now(marks.settle([key; 16], true));
    }

    #[test]
    fn a_mark_is_claimed_then_permanent_or_released() {
        let marks = MemoryMarks::new(8, Duration::from_secs(60), Clock::manual(Timestamp(0)));
        check(&marks, 1, Claim::First);
        check(&marks, 1, Claim::InFlight);
        now(marks.settle([1; 16], false));
        check(&marks, 1, Claim::First);
        marks.abandon([1; 16]);
        keep(&marks, 1);
        check(&marks, 1, Claim::Copy);
        marks.abandon([1; 16]);
        check(&marks, 1, Claim::Copy);
    }

    #[test]
    fn a_mark_lasts_for_its_window() {
        let clock = Clock::manual(Timestamp(0));
        let marks = MemoryMarks::new(8, Duration::from_secs(60), clock.clone());
        keep(&marks, 1);
        clock.advance(Duration::from_millis(59_999));
        check(&marks, 1, Claim::Copy);
        clock.advance(Duration::from_millis(1));
        check(&marks, 1, Claim::First);
    }

    #[test]
    fn the_table_is_bounded() {
        let marks = MemoryMarks::new(2, Duration::from_secs(60), Clock::manual(Timestamp(0)));
        keep(&marks, 1);
        keep(&marks, 2);
        check(&marks, 3, Claim::First);
        check(&marks, 2, Claim::Copy);
        check(&marks, 1, Claim::First);
        // Two in flight, none permanent: nothing can be forgotten.
        check(&marks, 4, Claim::Unavailable);
        check(&marks, 3, Claim::InFlight);
    }
}
