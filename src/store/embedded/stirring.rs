//! Which of many webhooks has something due: idle ones cost an entry here at most, and nobody waits for each.
//!
//! A lane is either *resting*, and then this says when it has something due, or whoever was told so looks at it
//! until it is given back. Alarms are never taken out early: one that rings for nothing costs a look.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::lane::Lane;
use crate::domain::{Clock, Timestamp};

/// A clock that a test moves tells nobody: it is asked again and again.
const MANUAL_PATIENCE: Duration = Duration::from_millis(2);

/// No alarm.
const NEVER: u64 = u64::MAX;

/// The lanes of webhooks that have something due, or will have.
#[derive(Debug)]
pub(super) struct Stirring {
    clock: Clock,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    due: Vec<Arc<Lane>>,
    alarms: BinaryHeap<Reverse<Alarm>>,
}

/// When a resting lane is to be looked at.
#[derive(Debug)]
struct Alarm(Timestamp, Arc<Lane>);

/// A lane's part in it.
#[derive(Debug)]
pub(super) struct Rest {
    stirring: Arc<Stirring>,
    resting: AtomicBool,
    /// The earliest alarm that is set.
    alarm_at: AtomicU64,
}

// === impl Stirring ===

impl Stirring {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, waiting: Mutex::default(), changed: Notify::new() }
    }

    /// Waits until lanes have something due.
    pub(super) async fn stirred(&self) -> Vec<Arc<str>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that nothing that comes after the look is missed.
            changed.as_mut().enable();
            self.ring();
            let (due, next) = {
                let mut waiting = self.lock();
                let next = waiting.alarms.peek().map(|Reverse(Alarm(at, _))| *at);
                (std::mem::take(&mut waiting.due), next)
            };
            if !due.is_empty() {
                return due.iter().map(|lane| Arc::clone(&lane.name)).collect();
            }
            let Some(at) = next else {
                changed.await;
                continue;
            };
            let pause = at.since(self.clock.now());
            let pause = if self.clock.is_manual() { pause.min(MANUAL_PATIENCE) } else { pause };
            drop(tokio::time::timeout(pause, changed).await);
        }
    }

    /// Looks at the lanes whose alarm has come.
    fn ring(&self) {
        let now = self.clock.now();
        loop {
            let lane = {
                let mut waiting = self.lock();
                if waiting.alarms.peek().is_none_or(|Reverse(Alarm(at, _))| *at > now) {
                    return;
                }
                waiting.alarms.pop().map(|Reverse(Alarm(_, lane))| lane)
            };
            if let Some(lane) = lane {
                if let Some(rest) = lane.rest() {
                    rest.alarm_at.store(NEVER, Ordering::Release);
                }
                lane.look();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Rest ===

impl Rest {
    pub(super) fn new(stirring: Arc<Stirring>) -> Self {
        Self { stirring, resting: AtomicBool::new(true), alarm_at: AtomicU64::new(NEVER) }
    }

    /// Nobody looks at the lane from now on but this.
    pub(super) fn begin(&self) {
        self.resting.store(true, Ordering::Release);
    }

    pub(super) fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Acquire)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.stirring.clock.now()
    }

    /// The lane has something due at `at`, which may be now.
    pub(super) fn due_at(&self, lane: &Arc<Lane>, at: Timestamp, now: Timestamp) {
        if at <= now {
            if self.resting.swap(false, Ordering::AcqRel) {
                self.stirring.lock().due.push(Arc::clone(lane));
                self.stirring.changed.notify_waiters();
            }
        } else if self.alarm_at.fetch_min(at.0, Ordering::AcqRel) > at.0 {
            self.stirring.lock().alarms.push(Reverse(Alarm(at, Arc::clone(lane))));
            self.stirring.changed.notify_waiters();
        }
    }
}

// === impl Alarm ===

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, &self.1.name).cmp(&(other.0, &other.1.name))
    }
}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Alarm {}
