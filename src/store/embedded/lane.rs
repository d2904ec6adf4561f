//! A target's queue behind its lock, and all of them by name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::key::Key;
use super::key::MixState;
use super::pacing::{Pace, room};
use super::queue::{Entry, Queue, Taken};
use super::stirring::{Rest, Stirring};
use crate::domain::{Clock, Timestamp, WebhookId};
use crate::store::{LaneState, TargetSettings};

/// The deliveries of one target.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: Arc<str>,
    queue: Mutex<Queue>,
    changed: Notify,
    /// Configured and not paused: deliveries of all other lanes are held.
    active: AtomicBool,
    queue_max: AtomicU64,
    /// Deliveries whose admission is under way.
    reserved: AtomicU64,
    /// Deliveries that wait, as the queue last said.
    waiting: AtomicU64,
    /// Deliveries that are in flight, as the queue last said.
    in_flight: AtomicU64,
    /// Claims that ended, ever.
    landed: AtomicU64,
    /// How fast they end; asked by the writer alone.
    pace: Mutex<Pace>,
    /// Of a webhook's lane.
    rest: Option<Rest>,
}

/// Every lane; a lane once made stays.
#[derive(Debug)]
pub(super) struct Lanes {
    by_name: RwLock<HashMap<Arc<str>, Arc<Lane>, MixState>>,
    loading: AtomicBool,
    clock: Clock,
    stirring: Arc<Stirring>,
}

// === impl Lane ===

impl Lane {
    fn new(name: Arc<str>, loading: bool, stirring: &Arc<Stirring>) -> Self {
        let rest = name.parse::<WebhookId>().is_ok().then(|| Rest::new(Arc::clone(stirring)));
        Self {
            name,
            // A webhook is known to nobody's configuration: it flows until somebody says otherwise.
            active: AtomicBool::new(rest.is_some()),
            rest,
            queue: Mutex::new(Queue::new(loading)),
            changed: Notify::new(),
            queue_max: AtomicU64::new(u64::MAX),
            reserved: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            landed: AtomicU64::new(0),
            pace: Mutex::default(),
        }
    }

    /// Works on the queue behind its lock.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Queue) -> R) -> R {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut queue);
        self.waiting.store(queue.waiting(), Ordering::Release);
        self.in_flight.store(queue.in_flight(), Ordering::Release);
        result
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// A place in the queue for a delivery whose admission begins; false where the queue is full.
    pub(super) fn reserve(&self) -> bool {
        let reserved = self.reserved.fetch_add(1, Ordering::AcqRel);
        // What is in flight may come back: it keeps its place.
        let taken = self.waiting.load(Ordering::Acquire) + self.in_flight.load(Ordering::Acquire);
        let full = reserved + taken >= self.queue_max.load(Ordering::Acquire);
        if full {
            self.unreserve();
        }
        !full
    }

    pub(super) fn unreserve(&self) {
        self.reserved.fetch_sub(1, Ordering::AcqRel);
    }

    /// Adds deliveries for which places were reserved.
    pub(super) fn push_reserved(self: &Arc<Self>, entries: Vec<Entry>, now: Timestamp) {
        let count = entries.len() as u64;
        self.with(|queue| entries.into_iter().for_each(|entry| queue.push(entry, now)));
        self.reserved.fetch_sub(count, Ordering::AcqRel);
        self.notify();
    }

    /// Adds a delivery that starts again.
    pub(super) fn push(self: &Arc<Self>, entry: Entry, now: Timestamp) {
        self.with(|queue| queue.push(entry, now));
        self.notify();
    }

    pub(super) fn notify(self: &Arc<Self>) {
        self.changed.notify_waiters();
        self.look();
    }

    /// Whether this is a webhook's lane, and how it rests.
    pub(super) fn rest(&self) -> Option<&Rest> {
        self.rest.as_ref()
    }

    /// Where nobody looks at a webhook's lane: says when something is due.
    pub(super) fn look(self: &Arc<Self>) {
        let Some(rest) = self.rest.as_ref().filter(|rest| rest.is_resting() && self.is_active()) else { return };
        let now = rest.now();
        if let Some(at) = self.with(|queue| queue.next_due(now)) {
            rest.due_at(self, at, now);
        }
    }

    pub(super) fn claim(&self, most: usize, now: Timestamp, lease: Duration) -> Taken {
        if self.is_active() { self.with(|queue| queue.claim(most, now, now.plus(lease))) } else { Taken::default() }
    }

    /// Ends a claim, if `lease` is still its newest: gives the entry back.
    pub(super) fn land(&self, key: Key, lease: u64) -> Option<Entry> {
        let entry = self.with(|queue| queue.land(key, lease))?;
        self.landed.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }

    /// The same for a claim after which nothing follows; whether nobody passes it before [`ended`](Self::ended) says so.
    pub(super) fn land_for_good(&self, key: Key, lease: u64) -> Option<bool> {
        let waits = self.with(|queue| queue.land(key, lease).map(|_| queue.is_ending(key)))?;
        self.landed.fetch_add(1, Ordering::Relaxed);
        Some(waits)
    }

    /// The ends of these are on disk.
    pub(super) fn ended(self: &Arc<Self>, keys: impl IntoIterator<Item = Key>) {
        self.with(|queue| keys.into_iter().for_each(|key| queue.ended(key)));
        self.notify();
    }

    /// Deliveries that wait, are in flight, or are being admitted.
    pub(super) fn open(&self) -> u64 {
        [&self.waiting, &self.in_flight, &self.reserved].iter().map(|count| count.load(Ordering::Acquire)).sum()
    }

    /// How many more deliveries may wait before the lane is crowded.
    pub(super) fn room(&self) -> u64 {
        room(self.in_flight.load(Ordering::Acquire)).saturating_sub(self.waiting.load(Ordering::Acquire))
    }

    /// Whether more deliveries wait than have room, of which there soon will be some again.
    pub(super) fn is_crowded(&self, now: Instant) -> bool {
        let waiting = self.waiting.load(Ordering::Acquire);
        let room = room(self.in_flight.load(Ordering::Acquire));
        if waiting <= room {
            return false;
        }
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.will_clear(waiting - room, self.landed.load(Ordering::Relaxed), now)
    }

    /// Waits until something may be due.
    pub(super) async fn due(&self, clock: &Clock) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that nothing that comes after the look is missed.
            changed.as_mut().enable();
            let now = clock.now();
            let next = if self.is_active() { self.with(|queue| queue.next_due(now)) } else { None };
            match next {
                Some(at) if at <= now => return,
                Some(at) => {
                    // A clock that a test moves tells nobody: it is asked again and again.
                    let patience = if clock.is_manual() { Duration::from_millis(2) } else { Duration::from_secs(60) };
                    let pause = at.since(now).min(patience);
                    drop(tokio::time::timeout(pause, changed).await);
                }
                None => changed.await,
            }
        }
    }

    fn state(&self, now: Timestamp) -> LaneState {
        let active = self.is_active();
        let (waiting, in_flight, oldest) =
            self.with(|queue| (queue.waiting(), queue.in_flight(), queue.oldest_due_at(now)));
        LaneState {
            target: Arc::clone(&self.name),
            pending: if active { waiting } else { 0 },
            in_flight,
            held: if active { 0 } else { waiting },
            oldest_due_at: oldest.filter(|_| active),
        }
    }
}

// === impl Lanes ===

impl Lanes {
    pub(super) fn new(clock: Clock) -> Self {
        let stirring = Arc::new(Stirring::new(clock.clone()));
        Self { by_name: RwLock::default(), loading: AtomicBool::new(true), clock, stirring }
    }

    /// The lane of this name, if there ever was one.
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
            let loading = self.loading.load(Ordering::Acquire);
            Arc::new(Lane::new(Arc::clone(name), loading, &self.stirring))
        });
        Arc::clone(lane)
    }

    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn set_target(&self, settings: &TargetSettings) {
        let lane = self.lane(&settings.name);
        lane.queue_max.store(settings.queue_max, Ordering::Release);
        lane.active.store(!settings.paused, Ordering::Release);
        let now = self.clock.now();
        lane.with(|queue| queue.set_ordered(settings.ordered, now));
        lane.notify();
    }

    /// The lanes of webhooks that have something due.
    pub(super) fn stirring(&self) -> &Stirring {
        &self.stirring
    }

    pub(super) fn set_targets(&self, targets: &[TargetSettings]) {
        for settings in targets {
            self.set_target(settings);
        }
        for lane in self.all() {
            if lane.rest.is_none() && !targets.iter().any(|settings| settings.name == lane.name) {
                lane.active.store(false, Ordering::Release);
            }
        }
    }

    /// As if nothing had been loaded.
    pub(super) fn clear(&self) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Everything from before the start is in its lane.
    pub(super) fn loaded(&self) {
        let lanes = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        self.loading.store(false, Ordering::Release);
        for lane in lanes.values() {
            lane.with(Queue::loaded);
            lane.notify();
        }
    }

    pub(super) fn state(&self, name: &str) -> Option<LaneState> {
        self.get(name).map(|lane| lane.state(self.clock.now()))
    }

    pub(super) fn states(&self) -> Vec<LaneState> {
        let now = self.clock.now();
        let all = self.all();
        let destinations = all.iter().filter(|lane| lane.rest.is_none());
        let mut states: Vec<LaneState> = destinations.map(|lane| lane.state(now)).collect();
        states.sort_unstable_by(|left, right| left.target.cmp(&right.target));
        states
    }
}
