//! What a gateway knows of each target's queue: hints only, when to ask the server next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;

use super::jobs::Taken;
use super::standing::{Offer, Standing};
use super::stirring::Stirring;
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
    /// 0: no limit of all gateways together.
    in_flight_max: AtomicU64,
    /// One after the other.
    ordered: AtomicBool,
    changed: Notify,
    /// What its workers wait for.
    pub(super) standing: Standing,
    /// For each shard, when the server is to be asked.
    next: Box<[AtomicU64]>,
    /// For each shard, how often its answers to claims have said so.
    looks: Box<[AtomicU64]>,
    /// Of a webhook's.
    rest: Option<Rest>,
}

/// Whether somebody looks at a webhook's lane.
struct Rest {
    stirring: Arc<Stirring>,
    resting: AtomicBool,
}

/// Every target that was heard of.
pub(super) struct Lanes {
    by_name: RwLock<HashMap<Arc<str>, Arc<Lane>>>,
    shards: usize,
    stirring: Arc<Stirring>,
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

    /// How many deliveries of one shard may be claimed at once by all gateways; 0: any number.
    pub(super) fn in_flight_max(&self) -> u64 {
        self.in_flight_max.load(Ordering::Acquire).div_ceil(self.next.len().max(1) as u64)
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.ordered.load(Ordering::Acquire)
    }

    /// Something is to be looked at from then on.
    pub(super) fn wake(&self, shard: usize, at: Timestamp) {
        let Some(next) = self.next.get(shard) else { return };
        if next.fetch_min(at.0, Ordering::AcqRel) > at.0 {
            self.changed.notify_waiters();
        }
        self.stir();
    }

    /// Where nobody looks at a webhook's lane: says that something is due.
    fn stir(&self) {
        let Some(rest) = self.rest.as_ref().filter(|_| self.is_active()) else { return };
        let now = rest.stirring.clock.now().0;
        if self.next.iter().any(|next| next.load(Ordering::Acquire) <= now)
            && rest.resting.swap(false, Ordering::AcqRel)
        {
            rest.stirring.name(&self.name);
        }
    }

    /// Nobody looks at a webhook's lane from now on.
    pub(super) fn rest(&self) {
        if let Some(rest) = &self.rest {
            rest.resting.store(true, Ordering::Release);
            self.stir();
        }
    }

    fn is_resting(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.resting.load(Ordering::Acquire))
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

    /// What admissions may claim for workers of this gateway. Not where the queue says more than when: in a line, or where
    /// all gateways share the places; nor a webhook's, whose queue is noted apart.
    pub(super) fn offer(&self) -> Option<Offer> {
        let is_plain = self.rest.is_none() && !self.is_ordered() && self.in_flight_max() == 0;
        (is_plain && self.is_active()).then(|| self.standing.offer()).flatten()
    }

    /// Admissions have claimed these.
    pub(super) fn granted(&self, taken: impl IntoIterator<Item = Taken>, now: Timestamp) {
        self.standing.put(taken, now);
        self.changed.notify_waiters();
    }

    /// Waits until something may be due; `is_up`: whether there is anybody to ask for a shard.
    pub(super) async fn due(&self, clock: &Clock, is_up: impl Fn(usize) -> bool) {
        let _waits = self.standing.wait();
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that nothing that comes after the look is missed.
            changed.as_mut().enable();
            if self.standing.is_ready() {
                return;
            }
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
        self.stir();
    }
}

// === impl Lanes ===

impl Lanes {
    pub(super) fn new(shards: usize, clock: Clock) -> Self {
        Self { by_name: RwLock::default(), shards, stirring: Arc::new(Stirring::new(clock)) }
    }

    pub(super) fn stirring(&self) -> &Stirring {
        &self.stirring
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
            let of_webhook = is_webhook(name);
            // What of a destination is known is nothing; of a webhook the server says what is due.
            let next = if of_webhook { NOTHING } else { 0 };
            let rest = || Rest { stirring: Arc::clone(&self.stirring), resting: AtomicBool::new(true) };
            Arc::new(Lane {
                name: Arc::clone(name),
                active: AtomicBool::new(of_webhook),
                rest: of_webhook.then(rest),
                queue_max: AtomicU64::new(u64::from(u32::MAX)),
                in_flight_max: AtomicU64::new(0),
                ordered: AtomicBool::new(false),
                changed: Notify::new(),
                standing: Standing::default(),
                next: (0..self.shards).map(|_| AtomicU64::new(next)).collect(),
                looks: (0..self.shards).map(|_| AtomicU64::new(0)).collect(),
            })
        });
        Arc::clone(lane)
    }

    /// Every one.
    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Those that deliver, and that somebody looks at.
    pub(super) fn watched(&self) -> Vec<Arc<Lane>> {
        let lanes = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        lanes.values().filter(|lane| lane.is_active() && !lane.is_resting()).cloned().collect()
    }

    pub(super) fn is_active(&self, name: &str) -> bool {
        self.get(name).map_or_else(|| is_webhook(name), |lane| lane.is_active())
    }

    pub(super) fn set_target(&self, settings: &TargetSettings) {
        let lane = self.lane(&settings.name);
        // Lua counts exactly up to there.
        lane.queue_max.store(settings.queue_max.min(1 << 50), Ordering::Release);
        lane.in_flight_max.store(settings.in_flight_max.unwrap_or(0).min(1 << 50), Ordering::Release);
        lane.ordered.store(settings.ordered, Ordering::Release);
        let was_active = lane.active.swap(!settings.paused, Ordering::AcqRel);
        // Of a webhook the server says what is due, unless it was out of sight while it was paused.
        if lane.rest.is_none() || !was_active {
            lane.look_at_all();
        }
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
            if !lane.is_resting() {
                lane.look_at_all();
            }
        }
    }
}
