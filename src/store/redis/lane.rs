//! What a gateway knows of each target's queue: hints only, when to ask the server next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::{Clock, Timestamp, WebhookId};
use crate::store::TargetSettings;

/// Nothing waits, as far as is known.
const NOTHING: u64 = u64::MAX;

/// One target.
pub(super) struct Lane {
    pub(super) name: Arc<str>,
    /// Configured and not paused, or a webhook's and not paused: deliveries of all other lanes are held.
    active: AtomicBool,
    queue_max: AtomicU64,
    changed: Notify,
    /// For each shard, when the server is to be asked.
    next: Box<[AtomicU64]>,
    /// For each shard, how often its answers to claims have said so.
    looks: Box<[AtomicU64]>,
}

/// Every target that was heard of.
pub(super) struct Lanes {
    by_name: RwLock<HashMap<Arc<str>, Arc<Lane>>>,
    shards: usize,
}

/// Whether a target is a webhook's: known to no configuration, so that it flows until somebody says otherwise.
pub(super) fn is_webhook(target: &str) -> bool {
    target.parse::<WebhookId>().is_ok()
}

// === impl Lane ===

impl Lane {
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// How many deliveries may wait in one shard.
    pub(super) fn queue_max(&self) -> u64 {
        self.queue_max.load(Ordering::Acquire).div_ceil(self.next.len().max(1) as u64)
    }

    /// Something is to be looked at from then on.
    pub(super) fn wake(&self, shard: usize, at: Timestamp) {
        let Some(next) = self.next.get(shard) else { return };
        if next.fetch_min(at.0, Ordering::AcqRel) > at.0 {
            self.changed.notify_waiters();
        }
    }

    /// The server has said when the next is to be looked at.
    pub(super) fn look_again(&self, shard: usize, at: Option<Timestamp>) {
        if let Some((next, looks)) = self.next.get(shard).zip(self.looks.get(shard)) {
            looks.fetch_add(1, Ordering::AcqRel);
            next.store(at.map_or(NOTHING, |at| at.0), Ordering::Release);
            self.changed.notify_waiters();
        }
    }

    /// How often a claim's answer has said when the next is to be looked at.
    pub(super) fn looks(&self, shard: usize) -> u64 {
        self.looks.get(shard).map_or(0, |looks| looks.load(Ordering::Acquire))
    }

    /// As [`wake`](Self::wake), unless a claim has been answered since there were so many `looks`: that knows better.
    pub(super) fn wake_unless_newer(&self, shard: usize, at: Timestamp, looks: u64) {
        if self.looks(shard) == looks {
            self.wake(shard, at);
        }
    }

    /// Whether the server is to be asked now.
    pub(super) fn is_due(&self, shard: usize, now: Timestamp) -> bool {
        self.next.get(shard).is_some_and(|next| next.load(Ordering::Acquire) <= now.0)
    }

    /// Waits until something may be due; `is_up`: whether there is anybody to ask for a shard.
    pub(super) async fn due(&self, clock: &Clock, is_up: impl Fn(usize) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that nothing that comes after the look is missed.
            changed.as_mut().enable();
            let next = self.next.iter().enumerate().filter(|(shard, _)| is_up(*shard));
            let next = next.map(|(_, next)| next.load(Ordering::Acquire)).min();
            let Some(next) = next.filter(|_| self.is_active()) else {
                changed.await;
                continue;
            };
            let now = clock.now();
            if next <= now.0 {
                return;
            }
            // A clock that a test moves tells nobody: it is asked again and again.
            let patience = if clock.is_manual() { Duration::from_millis(2) } else { Duration::from_secs(60) };
            let pause = Timestamp(next).since(now).min(patience);
            drop(tokio::time::timeout(pause, changed).await);
        }
    }

    fn look_at_all(&self) {
        self.next.iter().for_each(|next| next.store(0, Ordering::Release));
        self.changed.notify_waiters();
    }
}

// === impl Lanes ===

impl Lanes {
    pub(super) fn new(shards: usize) -> Self {
        Self { by_name: RwLock::default(), shards }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Lane>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone)
    }

    /// The lane of this name, made if need be.
    pub(super) fn lane(&self, name: &str) -> Arc<Lane> {
        if let Some(lane) = self.get(name) {
            return lane;
        }
        let mut lanes = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(name.into()).or_insert_with_key(|name| {
            Arc::new(Lane {
                name: Arc::clone(name),
                active: AtomicBool::new(is_webhook(name)),
                queue_max: AtomicU64::new(u64::from(u32::MAX)),
                changed: Notify::new(),
                next: (0..self.shards).map(|_| AtomicU64::new(0)).collect(),
                looks: (0..self.shards).map(|_| AtomicU64::new(0)).collect(),
            })
        });
        Arc::clone(lane)
    }

    /// Those that deliver.
    pub(super) fn active(&self) -> Vec<Arc<Lane>> {
        let lanes = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        lanes.values().filter(|lane| lane.is_active()).cloned().collect()
    }

    pub(super) fn is_active(&self, name: &str) -> bool {
        self.get(name).map_or_else(|| is_webhook(name), |lane| lane.is_active())
    }

    pub(super) fn set_target(&self, settings: &TargetSettings) {
        let lane = self.lane(&settings.name);
        // Lua counts exactly up to there.
        lane.queue_max.store(settings.queue_max.min(1 << 50), Ordering::Release);
        lane.active.store(!settings.paused, Ordering::Release);
        lane.look_at_all();
    }

    pub(super) fn set_targets(&self, targets: &[TargetSettings]) {
        for settings in targets {
            self.set_target(settings);
        }
        for lane in self.by_name.read().unwrap_or_else(PoisonError::into_inner).values() {
            if !is_webhook(&lane.name) && !targets.iter().any(|settings| settings.name == lane.name) {
                lane.active.store(false, Ordering::Release);
            }
        }
    }

    /// Nothing that was known counts any more.
    pub(super) fn look_at_all(&self) {
        for lane in self.by_name.read().unwrap_or_else(PoisonError::into_inner).values() {
            lane.look_at_all();
        }
    }
}
