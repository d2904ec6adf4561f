//! What a stage counts with: resolved once when the configuration is loaded, then one atomic add each.
//!
//! Names, units and help stand in [`metrics`](super::metrics); here is only who holds what.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::counters::{ByReason, Protocols};
use super::histogram::{Histogram, REQUEST_MICROS};
use super::metrics::{
    Class, Destination, DestinationOutcome, DestinationReason, Families, FeedResult, Name, ResultLabel, Source,
    SourceClass, SourceReason, gauge,
};
use crate::domain::{DeadReason, DeliveryState, OutcomeClass, Reason, Timestamp};

/// What ingress, guards and intake count for one source.
#[derive(Debug)]
pub struct SourceMetrics {
    /// Requests that reached it.
    pub received: Counter,
    /// Events kept durably.
    pub accepted: Counter,
    /// Copies of events that are held already.
    pub duplicates: Counter,
    /// Events kept although no route wants them.
    pub unrouted: Counter,
    /// Handshakes that were answered.
    pub handshakes: Counter,
    /// Answers of the app that broke off after their head.
    pub answers_cut: Counter,
    /// Requests that were passed on although the store could not tell whether they are copies.
    pub dedup_skipped: Counter,
    /// Requests that this gateway's own limits counted, since the store that counts for all could not be asked.
    pub limits_alone: Counter,
    /// From passing a request on to the head of the app's answer.
    pub app_duration: Histogram,
    passed_on: [Counter; Responses::CLASSES.len()],
    /// From the request's head to the answer.
    pub accept_duration: Histogram,
    name: Name,
    rejected_family: Family<SourceReason, Counter>,
    rejected: Vec<(Reason, OnceLock<Counter>)>,
    reported_family: Family<SourceReason, Counter>,
}

/// What dispatch and delivery count for one destination.
#[derive(Debug)]
pub struct DestinationMetrics {
    /// One request, until the last byte that was read.
    pub attempt_duration: Histogram,
    /// From receiving an event to its successful delivery.
    pub end_to_end_duration: Histogram,
    /// The breaker's state.
    pub breaker: BreakerGauge,
    /// How often the breaker opened.
    pub breaker_opened: Counter,
    attempts: [(OutcomeClass, Counter); OutcomeClass::ALL.len()],
    ended: [(DeliveryState, Counter); 4],
    dead: [(DeadReason, Counter); 4],
}

/// How often an address list was asked for.
#[derive(Clone, Debug)]
pub struct FeedMetrics {
    /// It was confirmed or renewed.
    pub ok: Counter,
    /// It was not.
    pub failed: Counter,
}

/// What the ingress counts, whatever the source.
#[derive(Clone, Debug, Default)]
pub struct IngressMetrics {
    /// Open connections.
    pub connections_open: Gauge,
    /// Connections accepted since the start.
    pub connections_accepted: Counter,
    /// Connections closed at once because there were too many.
    pub connections_refused: Counter,
    /// Connections that were closed because of what their PROXY header said, or because there was none.
    pub proxy_headers_refused: ByReason,
    /// Handshakes of TLS that came to nothing.
    pub tls_handshakes_failed: ByReason,
    /// What HTTP/2 connections did that its specification or our limits forbid.
    pub http2_violations: ByReason,
    /// Connections by what is spoken over them.
    pub protocols: Protocols,
    /// Tries to accept a connection that failed for want of file descriptors or memory.
    pub accepts_failed: Counter,
    /// Answers to senders.
    pub responses: Responses,
    /// Bytes that senders sent, heads included.
    pub bytes_in: Counter,
    /// Bytes that they were sent, heads included.
    pub bytes_out: Counter,
    /// Memory that bodies take while they are being read, in bytes.
    pub body_memory: Gauge,
    /// What large bodies take on disk until their app has them, in bytes.
    pub body_spool: Gauge,
    /// Lines of the access log that were dropped.
    pub access_log_dropped: Counter,
}

/// Answers by the class of their status.
#[derive(Clone, Debug)]
pub struct Responses {
    pub(super) family: Family<Class, Counter>,
    classes: [Counter; Responses::CLASSES.len()],
}

/// What the store counts.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// Events that shared a commit.
    pub commit_events: Histogram,
    /// Bytes that shared a commit.
    pub commit_bytes: Histogram,
    /// One commit: write and sync.
    pub commit_duration: Histogram,
    /// The sync of one commit.
    pub fsync_duration: Histogram,
    /// Bytes on disk; filled in from the store's health.
    pub size: Gauge,
    /// Bytes of the journal.
    pub journal_size: Gauge,
    /// Kept events that the index does not hold yet.
    pub index_lag: Gauge,
    /// Dedup marks in memory only.
    pub dedup_tail: Gauge,
    /// Records set aside; filled in from the store's health.
    pub damaged_records: Gauge,
    /// 1 while it can keep events; filled in from the store's health.
    pub ready: Gauge,
    /// 1 while it acknowledges before it has synced.
    pub relaxed: Gauge,
    /// Rejections that the ledger had no room for.
    pub rejections_dropped: Counter,
}

/// What belongs to no stage.
#[derive(Clone, Debug, Default)]
pub struct GatewayMetrics {
    /// Requests to the admin port with a wrong token.
    pub auth_failures: Counter,
    /// Webhooks that were disabled by what they answered.
    pub webhooks_disabled: ByReason,
    /// Tasks that panicked; filled in from [`task`](super::task).
    pub tasks_panicked: Counter,
    /// Entries of the log that were dropped; filled in from [`logging`](super::logging).
    pub log_dropped: Counter,
    pub(super) reloads: Family<ResultLabel, Counter>,
    pub(super) last_reload_ok: Gauge,
    pub(super) loaded_at: Gauge<f64, AtomicU64>,
}

/// What retention counts.
#[derive(Clone, Debug, Default)]
pub struct RetentionMetrics {
    /// Events removed.
    pub events: Counter,
    /// Rejections removed.
    pub rejections: Counter,
    /// Bytes given back to the disk.
    pub bytes: Counter,
    /// Steps that failed.
    pub failures: Counter,
}

/// A destination's queue at the time of a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneGauges {
    /// Waiting, due or not.
    pub pending: u64,
    /// Being attempted.
    pub in_flight: u64,
    /// Held.
    pub held: u64,
    /// For how long the oldest due one has been due; zero where none is due.
    pub oldest_due_age: Duration,
}

/// What a destination's breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Attempts go out.
    Closed,
    /// One probe goes out.
    HalfOpen,
    /// Nothing goes out.
    Open,
}

/// The breaker's state for metrics and for the API; the breaker itself lives in dispatch.
#[derive(Debug)]
pub struct BreakerGauge {
    state: AtomicU8,
    gauges: [Gauge; BreakerState::ALL.len()],
}

// === impl SourceMetrics ===

impl SourceMetrics {
    pub(super) fn new(families: &Families, name: Name) -> Self {
        let labels = Source { source: name.clone() };
        Self {
            received: families.received.get_or_create_owned(&labels),
            accepted: families.accepted.get_or_create_owned(&labels),
            duplicates: families.duplicates.get_or_create_owned(&labels),
            unrouted: families.unrouted.get_or_create_owned(&labels),
            handshakes: families.handshakes.get_or_create_owned(&labels),
            passed_on: Responses::CLASSES
                .map(|class| families.passed_on.get_or_create_owned(&SourceClass { source: name.clone(), class })),
            answers_cut: families.answers_cut.get_or_create_owned(&labels),
            dedup_skipped: families.dedup_skipped.get_or_create_owned(&labels),
            limits_alone: families.limits_alone.get_or_create_owned(&labels),
            app_duration: families.app_duration.get_or_create_owned(&labels),
            accept_duration: families.accept_duration.get_or_create_owned(&labels),
            name,
            rejected_family: families.rejected.clone(),
            rejected: Reason::ALL.iter().map(|reason| (*reason, OnceLock::new())).collect(),
            reported_family: families.reported.clone(),
        }
    }

    /// Counts a request that the app of a proxy-mode source answered with this status.
    pub fn passed_on(&self, status: StatusCode) {
        let place = usize::from(status.as_u16() / 100).checked_sub(2);
        if let Some(counter) = place.and_then(|place| self.passed_on.get(place)) {
            counter.inc();
        }
    }

    /// How many requests the app of a proxy-mode source answered.
    #[must_use]
    pub fn answered_by_app(&self) -> u64 {
        self.passed_on.iter().map(Counter::get).sum()
    }

    /// Counts a refused request. A reason appears in the scrape from its first rejection on.
    pub fn rejected(&self, reason: Reason) {
        let Some((_, counter)) = self.rejected.iter().find(|(known, _)| *known == reason) else { return };
        let labels = || SourceReason { source: self.name.clone(), reason: reason.code() };
        counter.get_or_init(|| self.rejected_family.get_or_create_owned(&labels())).inc();
    }

    /// Counts what a guard that only reports would have refused.
    pub fn reported(&self, reason: Reason) {
        let labels = SourceReason { source: self.name.clone(), reason: reason.code() };
        self.reported_family.get_or_create_owned(&labels).inc();
    }

    /// How many requests were refused for this reason.
    #[must_use]
    pub fn rejections(&self, reason: Reason) -> u64 {
        let counter = self.rejected.iter().find(|(known, _)| *known == reason);
        counter.and_then(|(_, counter)| counter.get()).map_or(0, Counter::get)
    }
}

// === impl DestinationMetrics ===

impl DestinationMetrics {
    pub(super) fn new(families: &Families, name: Name) -> Self {
        let labels = Destination { destination: name.clone() };
        let outcome = |outcome| DestinationOutcome { destination: name.clone(), outcome };
        let reason = |reason| DestinationReason { destination: name.clone(), reason };
        let ends = [DeliveryState::Succeeded, DeliveryState::Dead, DeliveryState::Cancelled, DeliveryState::Expired];
        let deaths = [DeadReason::Exhausted, DeadReason::Refused, DeadReason::QueueFull, DeadReason::Unreadable];
        Self {
            attempt_duration: families.attempt_duration.get_or_create_owned(&labels),
            end_to_end_duration: families.end_to_end_duration.get_or_create_owned(&labels),
            breaker: families.breaker(&name),
            breaker_opened: families.breaker_opened.get_or_create_owned(&labels),
            attempts: OutcomeClass::ALL
                .map(|class| (class, families.attempts.get_or_create_owned(&outcome(class.as_str())))),
            ended: ends.map(|state| (state, families.deliveries.get_or_create_owned(&outcome(state.as_str())))),
            dead: deaths.map(|death| (death, families.dead.get_or_create_owned(&reason(death.as_str())))),
        }
    }

    /// Counts one request and how long it took.
    pub fn attempted(&self, outcome: OutcomeClass, duration: Duration) {
        count(&self.attempts, outcome, 1);
        self.attempt_duration.observe(duration);
    }

    /// Counts a delivery that succeeded `since_received` after its event came.
    pub fn succeeded(&self, since_received: Duration) {
        count(&self.ended, DeliveryState::Succeeded, 1);
        self.end_to_end_duration.observe(since_received);
    }

    /// Counts a delivery that was given up.
    pub fn died(&self, reason: DeadReason) {
        count(&self.ended, DeliveryState::Dead, 1);
        count(&self.dead, reason, 1);
    }

    /// Counts a delivery that was not made in the time that its route gave it.
    pub fn expired(&self) {
        count(&self.ended, DeliveryState::Expired, 1);
    }

    /// Counts a delivery that a person stopped.
    pub fn cancelled(&self) {
        count(&self.ended, DeliveryState::Cancelled, 1);
    }
}

fn count<Key: PartialEq>(counters: &[(Key, Counter)], key: Key, by: u64) {
    if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == key) {
        counter.inc_by(by);
    }
}

// === impl FeedMetrics ===

impl FeedMetrics {
    pub(super) fn new(families: &Families, feed: &Name) -> Self {
        let counter = |result| families.feed_refreshes.get_or_create_owned(&FeedResult { feed: feed.clone(), result });
        Self { ok: counter("ok"), failed: counter("failed") }
    }
}

// === impl Responses ===

impl Responses {
    /// Informational answers are hyper's own and not counted.
    const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

    /// Counts an answer.
    pub fn count(&self, status: StatusCode) {
        if let Some(counter) = self.class(status) {
            counter.inc();
        }
    }

    /// How many answers had a status of the same class.
    #[must_use]
    pub fn like(&self, status: StatusCode) -> u64 {
        self.class(status).map_or(0, Counter::get)
    }

    fn class(&self, status: StatusCode) -> Option<&Counter> {
        self.classes.get(usize::from(status.as_u16() / 100).checked_sub(2)?)
    }
}

impl Default for Responses {
    fn default() -> Self {
        let family = Family::<Class, Counter>::default();
        let classes = Self::CLASSES.map(|class| family.get_or_create_owned(&Class { class }));
        Self { family, classes }
    }
}

// === impl StoreMetrics, GatewayMetrics ===

impl Default for StoreMetrics {
    /// Handles that nobody scrapes: for a store without a gateway around it.
    fn default() -> Self {
        Self {
            commit_events: Histogram::of_numbers(REQUEST_MICROS),
            commit_bytes: Histogram::of_numbers(REQUEST_MICROS),
            commit_duration: Histogram::of_durations(REQUEST_MICROS),
            fsync_duration: Histogram::of_durations(REQUEST_MICROS),
            size: Gauge::default(),
            journal_size: Gauge::default(),
            index_lag: Gauge::default(),
            dedup_tail: Gauge::default(),
            damaged_records: Gauge::default(),
            ready: Gauge::default(),
            relaxed: Gauge::default(),
            rejections_dropped: Counter::default(),
        }
    }
}

impl StoreMetrics {
    /// Fills in what the store's health says.
    pub fn set_health(&self, ready: bool, bytes: u64, damaged_records: u64) {
        self.ready.set(i64::from(ready));
        self.size.set(gauge(bytes));
        self.damaged_records.set(gauge(damaged_records));
    }
}

impl GatewayMetrics {
    /// The gateway starts with a configuration: no reload yet, and none has failed.
    pub fn config_loaded(&self, at: Timestamp) {
        for result in ["ok", "failed"] {
            self.reloads.get_or_create_owned(&ResultLabel { result });
        }
        self.last_reload_ok.set(1);
        self.loaded_at.set(Duration::from_millis(at.0).as_secs_f64());
    }

    /// A changed configuration took the old one's place.
    pub fn config_reloaded(&self, at: Timestamp) {
        self.config_loaded(at);
        self.reloads.get_or_create_owned(&ResultLabel { result: "ok" }).inc();
    }

    /// A changed configuration was refused; the old one stays.
    pub fn config_refused(&self) {
        self.reloads.get_or_create_owned(&ResultLabel { result: "failed" }).inc();
        self.last_reload_ok.set(0);
    }
}

// === impl BreakerState, BreakerGauge ===

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    /// The word that the API and metrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

impl BreakerGauge {
    pub(super) fn new(gauges: [Gauge; BreakerState::ALL.len()]) -> Self {
        let gauge = Self { state: AtomicU8::new(0), gauges };
        gauge.set(BreakerState::Closed);
        gauge
    }

    /// Shows this state from now on.
    pub fn set(&self, state: BreakerState) {
        for ((place, known), gauge) in (0..).zip(BreakerState::ALL).zip(&self.gauges) {
            gauge.set(i64::from(known == state));
            if known == state {
                self.state.store(place, Ordering::Relaxed);
            }
        }
    }

    /// The state that was set last.
    #[must_use]
    pub fn get(&self) -> BreakerState {
        let place = usize::from(self.state.load(Ordering::Relaxed));
        BreakerState::ALL.get(place).copied().unwrap_or(BreakerState::Closed)
    }
}
