//! Every metric of the gateway: its name, its unit, its labels and what it tells.
//!
//! A stage gets its handles ([`SourceMetrics`], [`DestinationMetrics`], …) once, when the configuration is
//! loaded. What the store knows anyway (queue lengths) is filled in when somebody scrapes. The text is
//! OpenMetrics 1.0; counters end in `_total` there.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::handles::{
    BreakerGauge, BreakerState, DestinationMetrics, FeedMetrics, GatewayMetrics, IngressMetrics, LaneGauges,
    RetentionMetrics, SourceMetrics, StoreMetrics,
};
use super::histogram::{BATCH_BYTES, BATCH_EVENTS, Histogram, REQUEST_MICROS, SCHEDULE_MICROS};
use super::process::ProcessCollector;
use super::{logging, task};

/// What `/metrics` answers with.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The `source` label of requests whose path belongs to no source; no source can have this name.
pub const UNMATCHED: &str = "(unmatched)";

/// All metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    families: Families,
    ingress: IngressMetrics,
    store: StoreMetrics,
    gateway: GatewayMetrics,
    retention: RetentionMetrics,
    sources: RwLock<HashMap<Arc<str>, Arc<SourceMetrics>>>,
    destinations: RwLock<HashMap<Arc<str>, Arc<DestinationMetrics>>>,
    scraping: Mutex<()>,
}

/// A label whose value is a name of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(pub(super) Arc<str>);

/// `{source}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Source {
    pub(super) source: Name,
}

/// `{source, reason}`: why, in the words of `domain::Reason`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SourceReason {
    pub(super) source: Name,
    pub(super) reason: &'static str,
}

/// `{source, class}`: `2xx` to `5xx`, of an app's answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SourceClass {
    pub(super) source: Name,
    pub(super) class: &'static str,
}

/// `{destination}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Destination {
    pub(super) destination: Name,
}

/// `{destination, outcome}`: a class of outcomes, or the state in which a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DestinationOutcome {
    pub(super) destination: Name,
    pub(super) outcome: &'static str,
}

/// `{destination, reason}`: why a delivery is dead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DestinationReason {
    pub(super) destination: Name,
    pub(super) reason: &'static str,
}

/// `{destination, state}`: one of the breaker's states.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DestinationState {
    pub(super) destination: Name,
    pub(super) state: &'static str,
}

/// `{class}`: `2xx` to `5xx`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Class {
    pub(super) class: &'static str,
}

/// `{feed}`: the name of an address list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FeedLabel {
    pub(super) feed: Name,
}

/// `{feed, result}`: `ok` or `failed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FeedResult {
    pub(super) feed: Name,
    pub(super) result: &'static str,
}

/// `{protocol, tls}`: `http/1.1` or `h2`, over `1.2`, `1.3` or `none`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProtocolLabels {
    pub(super) protocol: &'static str,
    pub(super) tls: &'static str,
}

/// `{reason}`: why, in a word of the one who counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

/// `{result}`: `ok` or `failed`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabel {
    pub(super) result: &'static str,
}

/// Histograms have buckets, so a family must be told how to make one.
type Histograms<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// What has a source or a destination as label.
pub(super) struct Families {
    pub(super) received: Family<Source, Counter>,
    pub(super) accepted: Family<Source, Counter>,
    pub(super) duplicates: Family<Source, Counter>,
    pub(super) unrouted: Family<Source, Counter>,
    pub(super) handshakes: Family<Source, Counter>,
    pub(super) passed_on: Family<SourceClass, Counter>,
    pub(super) answers_cut: Family<Source, Counter>,
    pub(super) dedup_skipped: Family<Source, Counter>,
    pub(super) limits_alone: Family<Source, Counter>,
    pub(super) app_duration: Histograms<Source>,
    pub(super) rejected: Family<SourceReason, Counter>,
    pub(super) reported: Family<SourceReason, Counter>,
    pub(super) accept_duration: Histograms<Source>,
    pub(super) attempts: Family<DestinationOutcome, Counter>,
    pub(super) deliveries: Family<DestinationOutcome, Counter>,
    pub(super) dead: Family<DestinationReason, Counter>,
    pub(super) attempt_duration: Histograms<Destination>,
    pub(super) end_to_end_duration: Histograms<Destination>,
    pub(super) queue_pending: Family<Destination, Gauge>,
    pub(super) queue_in_flight: Family<Destination, Gauge>,
    pub(super) queue_held: Family<Destination, Gauge>,
    pub(super) queue_oldest_due_age: Family<Destination, Gauge<f64, std::sync::atomic::AtomicU64>>,
    pub(super) breaker_state: Family<DestinationState, Gauge>,
    pub(super) breaker_opened: Family<Destination, Counter>,
    pub(super) feed_age: Family<FeedLabel, Gauge<f64, std::sync::atomic::AtomicU64>>,
    pub(super) feed_entries: Family<FeedLabel, Gauge>,
    pub(super) feed_refreshes: Family<FeedResult, Counter>,
}

// === the catalogue ===

fn request_durations() -> Histogram {
    Histogram::of_durations(REQUEST_MICROS)
}

fn schedule_durations() -> Histogram {
    Histogram::of_durations(SCHEDULE_MICROS)
}

impl Default for Families {
    fn default() -> Self {
        Self {
            received: Family::default(),
            accepted: Family::default(),
            duplicates: Family::default(),
            unrouted: Family::default(),
            handshakes: Family::default(),
            passed_on: Family::default(),
            answers_cut: Family::default(),
            dedup_skipped: Family::default(),
            limits_alone: Family::default(),
            app_duration: Family::new_with_constructor(request_durations),
            rejected: Family::default(),
            reported: Family::default(),
            accept_duration: Family::new_with_constructor(request_durations),
            attempts: Family::default(),
            deliveries: Family::default(),
            dead: Family::default(),
            attempt_duration: Family::new_with_constructor(request_durations),
            end_to_end_duration: Family::new_with_constructor(schedule_durations),
            queue_pending: Family::default(),
            queue_in_flight: Family::default(),
            queue_held: Family::default(),
            queue_oldest_due_age: Family::default(),
            breaker_state: Family::default(),
            breaker_opened: Family::default(),
            feed_age: Family::default(),
            feed_entries: Family::default(),
            feed_refreshes: Family::default(),
        }
    }
}

#[rustfmt::skip]
fn register_sources(to: &mut Registry, f: &Families) {
    to.register("requests_received", "Requests that reached a source", f.received.clone());
    to.register("events_accepted", "Events that were kept durably and acknowledged", f.accepted.clone());
    to.register("events_duplicate", "Copies of an event that is held already", f.duplicates.clone());
    to.register("events_unrouted", "Events that were kept although no route wants them", f.unrouted.clone());
    to.register("handshakes", "Handshakes of a scheme that were answered; nothing was kept", f.handshakes.clone());
    to.register("requests_passed_on", "Requests that the app of a proxy-mode source answered, by class of its status", f.passed_on.clone());
    to.register("dedup_skipped", "Requests passed on although the store could not tell whether they are copies", f.dedup_skipped.clone());
    to.register("rate_limits_alone", "Requests counted by this gateway alone, since the shared store could not be asked", f.limits_alone.clone());
    to.register("app_answers_cut", "Answers of the app that broke off after their head", f.answers_cut.clone());
    to.register_with_unit("app_duration", "From passing a request on to the head of the app's answer", Unit::Seconds, f.app_duration.clone());
    to.register("requests_rejected", "Requests that a guard refused, by reason", f.rejected.clone());
    to.register("requests_reported", "Requests that guards which only report would have refused, by reason", f.reported.clone());
    to.register_with_unit("feed_age", "Since when an address list has not been confirmed by its provider", Unit::Seconds, f.feed_age.clone());
    to.register("feed_entries", "Networks of an address list; 0 where it was never loaded", f.feed_entries.clone());
    to.register("feed_refreshes", "How often an address list was asked for, by result", f.feed_refreshes.clone());
    to.register_with_unit("accept_duration", "From the request's head to the answer, durable keep or the app's time included", Unit::Seconds, f.accept_duration.clone());
}

#[rustfmt::skip]
fn register_destinations(to: &mut Registry, f: &Families) {
    to.register("attempts", "Requests made to a destination, by class of outcome", f.attempts.clone());
    to.register("deliveries", "Deliveries that ended, by the state in which they ended", f.deliveries.clone());
    to.register("deliveries_dead", "Deliveries that were given up, by reason", f.dead.clone());
    to.register_with_unit("attempt_duration", "One request to a destination, until the last byte that was read", Unit::Seconds, f.attempt_duration.clone());
    to.register_with_unit("end_to_end_duration", "From receiving an event to its successful delivery", Unit::Seconds, f.end_to_end_duration.clone());
    to.register("queue_pending", "Deliveries that wait, due or not", f.queue_pending.clone());
    to.register("queue_in_flight", "Deliveries that are being attempted", f.queue_in_flight.clone());
    to.register("queue_held", "Deliveries that are held: their destination was removed or paused", f.queue_held.clone());
    to.register_with_unit("queue_oldest_due_age", "Since when the oldest due delivery has been due", Unit::Seconds, f.queue_oldest_due_age.clone());
    to.register("breaker_state", "1 for the state in which the breaker is", f.breaker_state.clone());
    to.register("breaker_opened", "How often the breaker opened", f.breaker_opened.clone());
}

#[rustfmt::skip]
fn register_ingress(to: &mut Registry, m: &IngressMetrics) {
    to.register("connections_open", "Open connections on the ingress port", m.connections_open.clone());
    to.register("connections_accepted", "Connections that were accepted on the ingress port", m.connections_accepted.clone());
    to.register("connections_refused", "Connections that were closed at once because of connections_max", m.connections_refused.clone());
    to.register("proxy_headers_refused", "Connections that were closed for want of a good PROXY header, by reason", m.proxy_headers_refused.0.clone());
    to.register("tls_handshakes_failed", "Handshakes of TLS on the ingress port that came to nothing, by reason", m.tls_handshakes_failed.0.clone());
    to.register("http2_violations", "What HTTP/2 connections did that the specification or a limit forbids, by kind", m.http2_violations.0.clone());
    to.register("connections_by_protocol", "Connections on the ingress port by what they speak, and over which TLS", m.protocols.family.clone());
    to.register("accepts_failed", "Tries to accept a connection that failed for want of file descriptors or memory", m.accepts_failed.clone());
    to.register("responses", "Answers to senders on the ingress port, by class of status", m.responses.family.clone());
    to.register_with_unit("received", "What senders sent over the connections of the ingress port, heads included", Unit::Bytes, m.bytes_in.clone());
    to.register_with_unit("sent", "What they were sent, heads included", Unit::Bytes, m.bytes_out.clone());
    to.register_with_unit("body_memory", "Memory that bodies take while they are being read", Unit::Bytes, m.body_memory.clone());
    to.register_with_unit("body_spool", "What large bodies take on disk until their app has them", Unit::Bytes, m.body_spool.clone());
    to.register("access_log_dropped", "Lines of the access log that its reader was too slow for", m.access_log_dropped.clone());
}

#[rustfmt::skip]
fn register_store(to: &mut Registry, m: &StoreMetrics) {
    to.register("store_commit_events", "Events that shared one commit", m.commit_events.clone());
    to.register_with_unit("store_commit_size", "Bytes that shared one commit", Unit::Bytes, m.commit_bytes.clone());
    to.register_with_unit("store_commit_duration", "One commit: write and sync", Unit::Seconds, m.commit_duration.clone());
    to.register_with_unit("store_fsync_duration", "The sync of one commit", Unit::Seconds, m.fsync_duration.clone());
    to.register_with_unit("store_size", "What the store takes on disk", Unit::Bytes, m.size.clone());
    to.register_with_unit("store_journal_size", "The part of the store that is journal", Unit::Bytes, m.journal_size.clone());
    to.register("store_index_lag_events", "Kept events that the index does not hold yet", m.index_lag.clone());
    to.register("store_dedup_tail_marks", "Dedup marks that are held in memory only, the journal aside", m.dedup_tail.clone());
    to.register("store_damaged_records", "Records that were found damaged and set aside", m.damaged_records.clone());
    to.register("store_ready", "1 while the store can keep events", m.ready.clone());
    to.register("store_relaxed", "1 while the store acknowledges before it has synced (store.durability: relaxed)", m.relaxed.clone());
    to.register("rejections_dropped", "Rejections that did not fit into the ledger's queue", m.rejections_dropped.clone());
}

#[rustfmt::skip]
fn register_gateway(to: &mut Registry, m: &GatewayMetrics, r: &RetentionMetrics) {
    to.register("config_reloads", "Attempts to load a changed configuration, by result", m.reloads.clone());
    to.register("config_last_reload_successful", "1 if the last attempt succeeded", m.last_reload_ok.clone());
    to.register_with_unit("config_loaded_timestamp", "When the running configuration was loaded, since 1970", Unit::Seconds, m.loaded_at.clone());
    to.register("admin_auth_failures", "Requests to the admin port with a token that nobody has", m.auth_failures.clone());
    to.register("webhooks_disabled", "Webhooks that were disabled by what they answered, by reason", m.webhooks_disabled.0.clone());
    to.register("tasks_panicked", "Tasks that panicked; the log says where", m.tasks_panicked.clone());
    to.register("log_dropped", "Entries of the log that its reader was too slow for", m.log_dropped.clone());
    to.register("retention_events_removed", "Events that retention removed", r.events.clone());
    to.register("retention_rejections_removed", "Rejections that retention removed", r.rejections.clone());
    to.register_with_unit("retention_freed", "What retention gave back to the disk", Unit::Bytes, r.bytes.clone());
    to.register("retention_failures", "Steps of retention that failed", r.failures.clone());
    let build = vec![("version", env!("CARGO_PKG_VERSION"))];
    to.register("build", "What is running", Info::new(build));
}

// === impl Metrics ===

impl Metrics {
    /// An own registry; a process has one, a test as many as it likes.
    #[must_use]
    pub fn new() -> Self {
        let families = Families::default();
        let ingress = IngressMetrics::default();
        let store = StoreMetrics {
            commit_events: Histogram::of_numbers(BATCH_EVENTS),
            commit_bytes: Histogram::of_numbers(BATCH_BYTES),
            commit_duration: request_durations(),
            fsync_duration: request_durations(),
            ..StoreMetrics::default()
        };
        let gateway = GatewayMetrics::default();
        let retention = RetentionMetrics::default();
        let mut registry = Registry::default();
        let ours = registry.sub_registry_with_prefix("hookward");
        register_sources(ours, &families);
        register_destinations(ours, &families);
        register_ingress(ours, &ingress);
        register_store(ours, &store);
        register_gateway(ours, &gateway, &retention);
        registry.register_collector(Box::new(ProcessCollector));
        let (sources, destinations, scraping) = (RwLock::default(), RwLock::default(), Mutex::default());
        Self(Arc::new(Inner {
            registry,
            families,
            ingress,
            store,
            gateway,
            retention,
            sources,
            destinations,
            scraping,
        }))
    }

    /// The handles of a source; the same ones for the same name, also after a reload.
    #[must_use]
    pub fn source(&self, name: &str) -> Arc<SourceMetrics> {
        resolve(&self.0.sources, name, |name| SourceMetrics::new(&self.0.families, name))
    }

    /// The handles for requests whose path belongs to no source.
    #[must_use]
    pub fn unmatched(&self) -> Arc<SourceMetrics> {
        self.source(UNMATCHED)
    }

    /// The handles of a destination; the same ones for the same name, also after a reload.
    #[must_use]
    pub fn destination(&self, name: &str) -> Arc<DestinationMetrics> {
        resolve(&self.0.destinations, name, |name| DestinationMetrics::new(&self.0.families, name))
    }

    /// The handles of an address list.
    #[must_use]
    pub fn feed(&self, name: &str) -> FeedMetrics {
        FeedMetrics::new(&self.0.families, &Name(name.into()))
    }

    /// The address lists as they are at this moment, before a scrape: name, age, networks.
    pub fn show_feeds<'a>(&self, feeds: impl IntoIterator<Item = (&'a str, Option<Duration>, usize)>) {
        let families = &self.0.families;
        families.feed_age.clear();
        families.feed_entries.clear();
        for (name, age, entries) in feeds {
            let labels = FeedLabel { feed: Name(name.into()) };
            if let Some(age) = age {
                families.feed_age.get_or_create(&labels).set(age.as_secs_f64());
            }
            families.feed_entries.get_or_create(&labels).set(gauge(entries as u64));
        }
    }

    /// What the ingress counts.
    #[must_use]
    pub fn ingress(&self) -> &IngressMetrics {
        &self.0.ingress
    }

    /// What the store counts.
    #[must_use]
    pub fn store(&self) -> &StoreMetrics {
        &self.0.store
    }

    /// What the gateway as a whole counts.
    #[must_use]
    pub fn gateway(&self) -> &GatewayMetrics {
        &self.0.gateway
    }

    /// What retention counts.
    #[must_use]
    pub fn retention(&self) -> &RetentionMetrics {
        &self.0.retention
    }

    /// The text of a scrape, with the destinations' queues as the store knows them at this moment.
    ///
    /// # Errors
    /// A metric could not be written as text.
    pub fn scrape(&self, lanes: impl IntoIterator<Item = (Arc<str>, LaneGauges)>) -> Result<String, fmt::Error> {
        // One scrape at a time: queues that are gone must go, and no other scrape may see the gap.
        let _alone = self.0.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        let families = &self.0.families;
        for family in [&families.queue_pending, &families.queue_in_flight, &families.queue_held] {
            family.clear();
        }
        families.queue_oldest_due_age.clear();
        for (target, lane) in lanes {
            let labels = Destination { destination: Name(target) };
            families.queue_pending.get_or_create(&labels).set(gauge(lane.pending));
            families.queue_in_flight.get_or_create(&labels).set(gauge(lane.in_flight));
            families.queue_held.get_or_create(&labels).set(gauge(lane.held));
            families.queue_oldest_due_age.get_or_create(&labels).set(lane.oldest_due_age.as_secs_f64());
        }
        self.0.gateway.tasks_panicked.inner().store(task::panicked(), Ordering::Relaxed);
        self.0.gateway.log_dropped.inner().store(logging::dropped(), Ordering::Relaxed);
        let mut text = String::with_capacity(16 << 10);
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

// === impl Families, Name ===

impl Families {
    /// One gauge a state, of which one shows 1.
    pub(super) fn breaker(&self, destination: &Name) -> BreakerGauge {
        let gauges = BreakerState::ALL.map(|state| {
            let labels = DestinationState { destination: destination.clone(), state: state.as_str() };
            self.breaker_state.get_or_create_owned(&labels)
        });
        BreakerGauge::new(gauges)
    }
}

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

/// A gauge holds `i64`; more than that does not fit a disk or a memory.
pub(super) fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn resolve<Handles>(
    known: &RwLock<HashMap<Arc<str>, Arc<Handles>>>,
    name: &str,
    make: impl FnOnce(Name) -> Handles,
) -> Arc<Handles> {
    if let Some(handles) = known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
        return Arc::clone(handles);
    }
    let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
    let name: Arc<str> = name.into();
    Arc::clone(known.entry(Arc::clone(&name)).or_insert_with(|| Arc::new(make(Name(name)))))
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
