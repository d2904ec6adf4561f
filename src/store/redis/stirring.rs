//! Which of many webhooks has something due: nobody waits for each, and an idle one costs nothing.
//!
//! Each shard has a set of webhooks' targets by the time at which something of them is to be looked at. It is asked as
//! often as what other gateways admitted; what is admitted here is known at once. A target that was named is looked at by
//! whoever heard it, until it is given back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::engine::Shared;
use super::key::time;
use super::lane::Lane;
use super::replies;
use crate::domain::Clock;

/// Names that one look at a shard brings.
const NAMES_MAX: usize = 500;

/// How long a paused webhook's target is out of sight: longer than a look, so that many of them hide no others.
const OUT_OF_SIGHT: Duration = Duration::from_secs(60);

/// The targets of webhooks that have something due.
pub(super) struct Stirring {
    pub(super) clock: Clock,
    due: Mutex<Vec<Arc<str>>>,
    changed: Notify,
}

// === impl Stirring ===

impl Stirring {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, due: Mutex::default(), changed: Notify::new() }
    }

    /// Waits until targets have something due.
    pub(super) async fn stirred(&self) -> Vec<Arc<str>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that nothing that comes after the look is missed.
            changed.as_mut().enable();
            let due = std::mem::take(&mut *self.lock());
            if !due.is_empty() {
                return due;
            }
            changed.await;
        }
    }

    pub(super) fn name(&self, target: &Arc<str>) {
        self.lock().push(Arc::clone(target));
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Shared ===

impl Shared {
    /// Names the webhooks' targets of which the server knows something due.
    pub(super) async fn look_for_webhooks(&self) {
        let now = self.clock.now();
        for (shard, base) in self.bases.iter().enumerate() {
            if !self.links.of(shard).is_up() {
                continue;
            }
            let key = format!("{base}s");
            let mut command = redis::cmd("ZRANGEBYSCORE");
            command.arg(&key).arg("-inf").arg(time(now)).arg("LIMIT").arg(0).arg(NAMES_MAX);
            let Ok(found) = self.ask(shard, command).await else { continue };
            let names = replies::array(&found).unwrap_or_default().iter().filter_map(replies::text);
            let (active, paused): (Vec<Arc<Lane>>, Vec<Arc<Lane>>) =
                names.map(|name| self.lanes.lane(name)).partition(|lane| lane.is_active());
            active.iter().for_each(|lane| lane.wake(shard, now));
            if !paused.is_empty() {
                // A webhook that is not paused any more is looked at whatever stands here.
                let mut command = redis::cmd("ZADD");
                command.arg(&key).arg("XX");
                for lane in &paused {
                    command.arg(time(now.plus(OUT_OF_SIGHT))).arg(&*lane.name);
                }
                drop(self.ask(shard, command).await);
            }
        }
    }
}
