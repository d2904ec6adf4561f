//! What one destination's pump and workers share: its settings, its gate, and how an attempt is made and settled.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::breaker::Turn;
use super::gate::{Entry, Gate};
use super::room::{Idle, Place, Room};
use super::seat::{Call, Handed, Seat};
use super::worker::Worker;
use super::{Attempts, Destination, LaneStatus, retry};
use crate::domain::{Attempt, Clock, DeadReason, HeaderBlock, Next, OutcomeClass, Settlement};
use crate::store::{Claim, Store};
use crate::telemetry::{BreakerState, Cores, DestinationMetrics, task};

/// What every lane works with.
pub(super) struct Means<S, A> {
    pub(super) store: Arc<S>,
    pub(super) attempts: Arc<A>,
    pub(super) clock: Clock,
    /// Where workers live.
    pub(super) cores: Cores,
}

/// One destination's deliveries on their way.
pub(super) struct Lane<S, A: Attempts> {
    pub(super) name: Arc<str>,
    means: Arc<Means<S, A>>,
    metrics: Arc<DestinationMetrics>,
    settings: ArcSwap<Settings<A::Endpoint>>,
    gate: Mutex<Gate>,
    /// What the gate says to claims that are already made, readable without its lock.
    shut: AtomicBool,
    /// The pump looks at the gate again.
    changed: Notify,
    /// Of a webhook's lane: what it shares with all others.
    room: Option<Arc<Room>>,
}

struct Settings<E> {
    destination: Destination,
    /// `None`: everything is accepted and dropped.
    endpoint: Option<Arc<E>>,
}

/// Leave to keep an idle connection open, where that is counted.
pub(super) type Idled = Option<Idle>;

/// A claim lasts this much longer than an attempt may take.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// Longer leases are taken piece by piece, so that a lost one comes back soon.
const LEASE_MAX: Duration = Duration::from_secs(60);

// === impl Lane ===

impl<S: Store, A: Attempts> Lane<S, A> {
    pub(super) fn new(
        means: Arc<Means<S, A>>,
        metrics: Arc<DestinationMetrics>,
        destination: Destination,
        endpoint: Option<Arc<A::Endpoint>>,
    ) -> Self {
        let gate = Gate::new(&destination, Instant::now());
        metrics.breaker.set(gate.breaker());
        Self {
            name: Arc::clone(&destination.name),
            means,
            metrics,
            gate: Mutex::new(gate),
            settings: ArcSwap::from_pointee(Settings { destination, endpoint }),
            shut: AtomicBool::new(false),
            changed: Notify::new(),
            room: None,
        }
    }

    /// A webhook's lane: it ends when it has been idle, and takes its places from a room.
    pub(super) fn on_demand(
        means: Arc<Means<S, A>>,
        metrics: Arc<DestinationMetrics>,
        destination: Destination,
        endpoint: Arc<A::Endpoint>,
        room: Arc<Room>,
    ) -> Self {
        Self { room: Some(room), ..Self::new(means, metrics, destination, Some(endpoint)) }
    }

    /// From now on, for what is pending too.
    pub(super) fn reconfigure(&self, destination: Destination, endpoint: Option<Arc<A::Endpoint>>) {
        let elsewhere = self.settings.load().endpoint != endpoint;
        {
            let mut gate = self.gate();
            gate.reconfigure(&destination, elsewhere, Instant::now());
            self.metrics.breaker.set(gate.breaker());
            self.shut.store(gate.is_shut(), Ordering::Release);
        }
        self.settings.store(Arc::new(Settings { destination, endpoint }));
        self.changed.notify_one();
    }

    pub(super) fn status(&self) -> LaneStatus {
        let settings = self.settings.load();
        let gate = self.gate();
        LaneStatus {
            name: Arc::clone(&self.name),
            breaker: gate.breaker(),
            in_flight: gate.in_use(),
            concurrency: settings.destination.concurrency.get(),
            idle: gate.bench.len(),
        }
    }

    // --- the pump's part ---

    /// Starts a worker.
    pub(super) fn employ(self: &Arc<Self>, workers: &mut JoinSet<()>, handed: Handed) {
        self.means.cores.spawn_in(workers, Worker::new(Arc::clone(self)).run(handed));
    }

    /// Waits until something may be due.
    pub(super) async fn due(&self) {
        self.means.store.due(&self.name).await;
    }

    /// Waits until the gate may have changed its mind.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether somebody is at work.
    pub(super) fn is_busy(&self) -> bool {
        self.gate().in_use() > 0
    }

    pub(super) fn enter(&self) -> Entry {
        let mut gate = self.gate();
        let entry = gate.enter(Instant::now());
        if gate.breaker() == BreakerState::HalfOpen {
            self.metrics.breaker.set(BreakerState::HalfOpen);
            self.shut.store(gate.is_shut(), Ordering::Release);
        }
        entry
    }

    /// Claims for `seats` that were entered; seats without a claim are given back. `None`: the store failed.
    pub(super) async fn claim_for(&self, seats: usize) -> Option<Vec<Claim>> {
        let claims = self.claim(seats).await;
        let found = claims.as_ref().map_or(0, Vec::len);
        let mut gate = self.gate();
        gate.unused(seats.saturating_sub(found));
        // The pump is the one that would want to hear of it.
        let _pump = gate.leave(seats.saturating_sub(found));
        claims
    }

    /// Places for up to `seats` that were entered, at least one; those without are given back. `None`: places are not
    /// counted here.
    pub(super) async fn places(&self, seats: usize) -> Option<Vec<Place>> {
        let room = self.room.as_ref()?;
        let failing = self.gate().is_narrow();
        let places = room.places(seats, failing).await;
        let without = seats.saturating_sub(places.len());
        if without > 0 {
            let mut gate = self.gate();
            gate.unused(without);
            // The pump is the one that would want to hear of it.
            let _pump = gate.leave(without);
        }
        Some(places)
    }

    /// Whether the lane ends when it has nothing to do.
    pub(super) fn ends_when_idle(&self) -> bool {
        self.room.is_some()
    }

    /// Gives a claim to the worker that was busy last; without an idle one it comes back, for a new worker.
    pub(super) fn hand_over(&self, handed: Handed) -> Option<Handed> {
        let Some(seat) = self.gate().bench.take() else { return Some(handed) };
        seat.call(Call::Deliver(Box::new(handed)));
        None
    }

    /// Ends the workers that have been idle for `time`.
    pub(super) fn retire_idle(&self, time: Duration) {
        let Some(before) = Instant::now().checked_sub(time) else { return };
        let idle = self.gate().bench.take_idle_since(before);
        retire(idle);
    }

    /// The workers are gone.
    pub(super) fn forget_idle(&self) {
        self.gate().bench.take_all();
    }

    // --- a worker's part ---

    /// Makes the attempt of a claim and settles it; then whether the worker may go on with another.
    pub(super) async fn deliver(&self, connection: &mut Option<A::Connection>, claim: &Claim) -> bool {
        if self.shut.load(Ordering::Acquire) {
            // Given back as if it had never been taken: an open breaker uses up no attempts.
            self.means.store.release(claim, claim.due_at);
            self.gate().unused(1);
            return false;
        }
        let settings = self.settings.load_full();
        let Some(endpoint) = &settings.endpoint else { return self.discard(claim).await };
        // The clock is read here and at the attempt's end, for everything that wants to know the time.
        let begun = Instant::now();
        let attempt = self.means.attempts.attempt(endpoint, connection, claim, begun);
        let made = if settings.destination.timeout + LEASE_MARGIN <= LEASE_MAX {
            task::caught("attempt", attempt).await
        } else {
            // Apart, since it is rare: what it needs would make every attempt's future large.
            task::caught("attempt", Box::pin(self.hold_lease(claim, attempt))).await
        };
        let attempt = made.unwrap_or_else(|panicked| {
            *connection = None;
            let unmade = unmade(claim, &self.means.clock, OutcomeClass::Protocol, Some(&panicked));
            Attempt { duration: begun.elapsed(), ..unmade }
        });
        let ended = begun + attempt.duration;
        self.metrics.attempted(attempt.outcome, attempt.duration);
        let next = self.settle(&settings.destination, claim, attempt, ended);
        // A refusal for good is an answer of a destination that works.
        let alive = matches!(next, Next::Succeeded | Next::Dead(DeadReason::Refused));
        self.ended(alive, ended)
    }

    /// Whether a worker may go on with its place: others may be waiting for it, or it is of the wrong kind by now.
    pub(super) fn keeps_place(&self, place: Option<&Place>) -> bool {
        let (Some(room), Some(place)) = (&self.room, place) else { return true };
        let failing = self.gate().is_narrow();
        let keeps = failing == place.is_for_failing() && !room.is_full(failing);
        if !keeps {
            // It had entered for another attempt.
            self.gate().unused(1);
        }
        keeps
    }

    /// Leave for a worker's connection to stay open while it is idle; `None`: it is closed.
    pub(super) fn idles(&self) -> Option<Idled> {
        self.room.as_ref().map_or(Some(None), |room| room.idle().map(Some))
    }

    /// One more claim for a worker that has a seat.
    pub(super) async fn claim_next(&self) -> Option<Claim> {
        let claim = self.claim(1).await.and_then(|mut claims| claims.pop());
        if claim.is_none() {
            self.gate().unused(1);
        }
        claim
    }

    /// A worker has nothing to do: gives its seat back and waits to be called; false where it shall end.
    pub(super) fn sit_down(&self, seat: &Arc<Seat>) -> bool {
        let (stays, pump) = {
            let mut gate = self.gate();
            let pump = gate.leave(1);
            (gate.sit_down(seat, Instant::now()), pump)
        };
        if pump {
            self.changed.notify_one();
        }
        stays
    }

    /// A worker broke with its seat taken; what it had claimed comes back when its lease ends.
    pub(super) fn broke(&self) {
        let mut gate = self.gate();
        gate.unused(1);
        let _pump = gate.leave(1);
        drop(gate);
        self.changed.notify_one();
    }

    pub(super) async fn closed(&self, connection: &mut A::Connection) {
        self.means.attempts.closed(connection).await;
    }

    async fn claim(&self, most: usize) -> Option<Vec<Claim>> {
        let lease = lease(self.settings.load().destination.timeout);
        match self.means.store.claim(&self.name, most, lease).await {
            Ok(claims) => Some(claims),
            Err(error) => {
                tracing::error!(destination = &*self.name, %error, "due deliveries could not be claimed");
                None
            }
        }
    }

    /// Lengthens the lease as long as the attempt takes.
    async fn hold_lease(&self, claim: &Claim, attempt: impl Future<Output = Attempt>) -> Attempt {
        let mut attempt = std::pin::pin!(attempt);
        loop {
            match timeout(LEASE_MAX / 2, attempt.as_mut()).await {
                Ok(attempt) => return attempt,
                Err(_elapsed) => {
                    if !self.means.store.extend(claim, LEASE_MAX).await {
                        tracing::warn!(destination = &*self.name, delivery = %claim.id, "a lease ended during its attempt");
                    }
                }
            }
        }
    }

    async fn discard(&self, claim: &Claim) -> bool {
        let attempt = unmade(claim, &self.means.clock, OutcomeClass::Succeeded, None);
        self.means.store.settle(claim, Settlement { attempt, next: Next::Succeeded });
        self.metrics.succeeded(self.means.clock.now().since(claim.event.received.received_at));
        // Without requests there is nothing else that would let other tasks have their turn.
        tokio::task::coop::consume_budget().await;
        self.ended(true, Instant::now())
    }

    fn settle(&self, destination: &Destination, claim: &Claim, attempt: Attempt, ended: Instant) -> Next {
        let clock = &self.means.clock;
        let now = clock.at(ended.into_std());
        let next = if attempt.outcome == OutcomeClass::Succeeded {
            Next::Succeeded
        } else {
            retry::after(&attempt, &destination.schedule, now, clock.wall(), fastrand::f64())
        };
        self.report(claim, &attempt, next);
        match next {
            Next::Succeeded => self.metrics.succeeded(now.since(claim.event.received.received_at)),
            Next::Dead(reason) => self.metrics.died(reason),
            Next::RetryAt(_) => {}
        }
        self.means.store.settle(claim, Settlement { attempt, next });
        next
    }

    /// Tells the breaker; then whether the same worker may go on.
    fn ended(&self, alive: bool, now: Instant) -> bool {
        let (turn, again) = {
            let mut gate = self.gate();
            let turn = gate.ended(alive, now);
            if turn != Turn::None {
                self.metrics.breaker.set(gate.breaker());
                self.shut.store(gate.is_shut(), Ordering::Release);
            }
            (turn, gate.again(now))
        };
        match turn {
            Turn::None => {}
            Turn::Opened => {
                self.metrics.breaker_opened.inc();
                tracing::warn!(destination = &*self.name, "breaker opened: the destination counts as sick");
                self.changed.notify_one();
            }
            Turn::Closed => {
                tracing::info!(destination = &*self.name, "breaker closed: the destination answers again");
                self.means.store.hasten(&self.name);
                self.changed.notify_one();
            }
        }
        again
    }

    fn report(&self, claim: &Claim, attempt: &Attempt, next: Next) {
        let (event, delivery, destination) = (claim.event.id, claim.id, &*self.name);
        let (number, outcome, status) = (attempt.number, attempt.outcome.as_str(), attempt.status);
        let millis = u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX);
        let error = attempt.error.as_deref();
        match next {
            Next::Succeeded => {
                tracing::debug!(%event, %delivery, destination, number, status, millis, "delivered");
            }
            Next::RetryAt(at) => {
                tracing::info!(%event, %delivery, destination, number, outcome, status, error, millis, next = %at, "attempt failed");
            }
            Next::Dead(reason) => {
                let reason = reason.as_str();
                tracing::warn!(%event, %delivery, destination, number, outcome, status, error, millis, reason, "delivery is dead");
            }
        }
    }
}

impl<S, A: Attempts> Lane<S, A> {
    /// Nothing new is begun; workers end when their attempt has.
    pub(super) fn stop(&self) {
        let idle = {
            let mut gate = self.gate();
            gate.stop();
            self.shut.store(true, Ordering::Release);
            gate.bench.take_all()
        };
        retire(idle);
        self.changed.notify_one();
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn retire(seats: Vec<Arc<Seat>>) {
    for seat in seats {
        seat.call(Call::Retire);
    }
}

fn lease(timeout: Duration) -> Duration {
    (timeout + LEASE_MARGIN).min(LEASE_MAX)
}

/// An attempt without a request.
fn unmade(claim: &Claim, clock: &Clock, outcome: OutcomeClass, error: Option<&task::Panicked>) -> Attempt {
    Attempt {
        number: claim.attempt,
        started_at: clock.now(),
        duration: Duration::ZERO,
        outcome,
        status: None,
        response_headers: HeaderBlock::default(),
        response_body: Bytes::new(),
        error: error.map(|error| error.to_string().into()),
    }
}
