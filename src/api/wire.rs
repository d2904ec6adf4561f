//! What things look like on the wire. Times are RFC 3339 in UTC, durations milliseconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::diagnosed::Diagnosed;
use super::mask::Masks;
use crate::domain::holding::HELD_FROM;
use crate::domain::{Event, Timestamp, WebhookId};
use crate::guard::signature::Diagnosis;
use crate::store::{AttemptRow, DeliveryRow, EventRow, RejectionRow};

/// A page of a list, newest first.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct List<Item> {
    /// `list`.
    pub object: &'static str,
    /// The list's path.
    pub url: &'static str,
    /// Whether older ones follow (or may): ask with `starting_after` and the last one's id.
    pub has_more: bool,
    /// Only where the search ended before the page was full, for a filter that little fits: ask with
    /// `starting_after` and this instead. The page may be empty then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continue_after: Option<String>,
    /// The page.
    pub data: Vec<Item>,
}

/// A header of a kept request or answer; credentials masked.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Header {
    /// Lower case.
    pub name: String,
    /// As sent.
    pub value: String,
}

/// Bytes as text where they are UTF-8, else as base64.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Content {
    /// `utf8` or `base64`.
    pub encoding: &'static str,
    /// The bytes in that encoding.
    pub content: String,
}

/// What is shown of an event in a list and alone.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct EventHead {
    object: &'static str,
    id: String,
    source: String,
    source_event_id: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    created: String,
    body_bytes: u64,
}

/// An event in a list.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct EventItem {
    #[serde(flatten)]
    head: EventHead,
    delivery_count: u16,
}

/// One event with what became of it.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct EventDetail {
    #[serde(flatten)]
    head: EventHead,
    project: String,
    method: String,
    query: Option<String>,
    headers: Vec<Header>,
    body_url: String,
    deliveries: List<Delivery>,
}

/// A delivery, in a list or alone.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Delivery {
    object: &'static str,
    id: String,
    event: String,
    source: String,
    destination: String,
    /// Where the destination is a customer's webhook: its id.
    webhook: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    created: String,
    status: &'static str,
    dead_reason: Option<&'static str>,
    attempt_count: u16,
    next_attempt_at: Option<String>,
    response_code: Option<u16>,
    /// Milliseconds.
    response_time: Option<f64>,
    outcome: Option<&'static str>,
}

/// One delivery with its attempts.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct DeliveryDetail {
    #[serde(flatten)]
    delivery: Delivery,
    /// Of the last answer.
    response_body: Option<Content>,
    attempts: Vec<Attempt>,
}

/// One request of a delivery.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Attempt {
    object: &'static str,
    id: String,
    number: u16,
    created: String,
    /// Milliseconds.
    response_time: f64,
    outcome: &'static str,
    /// The class of the failure: `timeout`, `connect`, `dns`, `tls`, `protocol`, or `status`.
    error_class: Option<&'static str>,
    error: Option<String>,
    response_code: Option<u16>,
    response_headers: Vec<Header>,
    response_body: Content,
}

/// A refused request.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Rejection {
    object: &'static str,
    id: String,
    source: Option<String>,
    reason: &'static str,
    status: u16,
    detail: String,
    created: String,
    client: Option<String>,
    request_line: String,
    headers: Vec<Header>,
    body: Content,
    /// Only of one that is shown alone, and was refused for its signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<Diagnosed>,
}

/// What a replay made.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Replay {
    /// `replay`.
    pub object: &'static str,
    /// The event.
    pub event: String,
    /// The new deliveries; none where no route wants the event today.
    pub deliveries: Vec<String>,
}

/// A source and what was counted since the gateway started.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Source {
    /// `source`.
    pub object: &'static str,
    /// Its name.
    pub name: String,
    /// `active`, or `paused`: its events are kept, and their deliveries wait.
    pub state: &'static str,
    /// Its path on the ingress port.
    pub path: String,
    /// How it is verified.
    pub scheme: String,
    /// `queue` or `proxy`.
    pub mode: &'static str,
    /// The address lists that say who may send.
    pub feeds: Vec<SourceFeed>,
    /// The app that requests are passed on to; proxy mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Requests that the app answered since the start of the process; proxy mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_on: Option<u64>,
    /// Since the start of the process.
    pub since_start: SourceCounts,
}

/// An address list that is followed.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct SourceFeed {
    /// Its name.
    pub name: String,
    /// Where it is, the values of its query masked.
    pub url: String,
    /// `loaded`, or `never_loaded`: it lets nobody in.
    pub state: &'static str,
    /// Networks.
    pub entries: Option<usize>,
    /// When its provider last said that this is the list.
    pub confirmed_at: Option<String>,
    /// When its provider was last asked.
    pub asked_at: Option<String>,
    /// Why the last answer was of no use.
    pub error: Option<String>,
}

/// Counts of a source.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub struct SourceCounts {
    /// Requests.
    pub received: u64,
    /// Events kept.
    pub accepted: u64,
    /// Copies.
    pub duplicates: u64,
    /// Kept without any route.
    pub unrouted: u64,
    /// Refused, for whatever reason.
    pub rejected: u64,
}

/// Totals since the store was made, restarts included; `/metrics` has them over time.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Stats {
    /// `stats`.
    pub object: &'static str,
    /// A source each.
    pub sources: Vec<SourceStats>,
    /// A destination each.
    pub destinations: Vec<DestinationStats>,
}

/// A source's totals.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct SourceStats {
    /// Its name.
    pub name: String,
    /// What it counted.
    #[serde(flatten)]
    pub counts: SourceCounts,
    /// Proxy mode: requests that the app answered, whatever it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_on: Option<u64>,
    /// Refused requests by reason.
    pub rejections: BTreeMap<&'static str, u64>,
    /// Mean time from a request's head to the answer, in milliseconds; since the gateway started.
    pub accept_time_mean: Option<f64>,
}

/// A destination's totals.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct DestinationStats {
    /// Its name.
    pub name: String,
    /// Requests made to it.
    pub attempts: u64,
    /// Deliveries that succeeded.
    pub succeeded: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// Deliveries that were not made in the time that their route gave them.
    pub expired: u64,
    /// Deliveries that a person stopped.
    pub cancelled: u64,
    /// Of the deliveries that ended by themselves, the part that succeeded: 0 to 1.
    pub success_rate: Option<f64>,
    /// Mean time of a request, in milliseconds.
    pub response_time_mean: Option<f64>,
}

/// A destination and its queue.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Destination {
    /// `destination`.
    pub object: &'static str,
    /// Its name.
    pub name: String,
    /// Where it is, credentials masked; none for one that is not configured any more.
    pub url: Option<String>,
    /// `active`, `paused`, or `removed` while deliveries are held for its return.
    pub state: &'static str,
    /// `closed`, `half_open` or `open`.
    pub breaker: &'static str,
    /// How many attempts may be under way at once.
    pub concurrency: Option<usize>,
    /// What waits.
    pub queue: Queue,
}

/// A destination's queue.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Queue {
    /// Waiting, due or not.
    pub pending: u64,
    /// Being attempted.
    pub in_flight: u64,
    /// Held.
    pub held: u64,
    /// How many may wait.
    pub max: Option<u64>,
    /// Since when the oldest due one has been due.
    pub oldest_due_at: Option<String>,
}

/// What `/livez` says.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Alive {
    /// `alive`.
    pub status: &'static str,
}

/// What `/readyz` says.
#[derive(Clone, Debug, JsonSchema, Deserialize, Serialize)]
pub struct Ready {
    /// `ready` or `not_ready`.
    pub status: String,
    /// What is in the way, a sentence each.
    pub reasons: Vec<String>,
    /// What does not concern everybody, a sentence each: the gateway is ready all the same.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// `strict`, or `relaxed`: acknowledged before it is synced.
    pub durability: String,
    /// What became of the configuration.
    pub config: ReadyConfig,
    /// What is running.
    pub version: String,
}

/// What became of the configuration.
#[derive(Clone, Debug, JsonSchema, Deserialize, Serialize)]
pub struct ReadyConfig {
    /// When the running one was loaded.
    pub loaded_at: Option<String>,
    /// When the last change was refused, if that was the last thing that happened.
    pub refused_at: Option<String>,
    /// Why.
    pub error: Option<String>,
}

// === from rows ===

fn text(text: Option<impl AsRef<str>>) -> Option<String> {
    text.map(|text| text.as_ref().to_owned())
}

/// Milliseconds, to the microsecond.
fn millis(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        use base64::Engine as _;
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { encoding: "utf8", content: text.to_owned() },
            Err(_) => Self { encoding: "base64", content: base64::engine::general_purpose::STANDARD.encode(bytes) },
        }
    }
}

impl From<EventRow> for EventItem {
    fn from(row: EventRow) -> Self {
        let head = EventHead {
            object: "event",
            id: row.id.to_string(),
            source: row.source.to_string(),
            source_event_id: text(row.source_event_id),
            event_type: text(row.event_type),
            created: row.received_at.to_string(),
            body_bytes: row.body_bytes,
        };
        Self { head, delivery_count: row.deliveries }
    }
}

impl EventDetail {
    /// The event, credentials masked.
    pub(super) fn new(event: &Event, deliveries: List<Delivery>, masks: &Masks) -> Self {
        let received = &event.received;
        let headers = received.headers.iter();
        let head = EventHead {
            object: "event",
            id: event.id.to_string(),
            source: received.source.to_string(),
            source_event_id: text(received.source_event_id.as_deref()),
            event_type: text(received.event_type.as_deref()),
            created: received.received_at.to_string(),
            body_bytes: received.body.len() as u64,
        };
        Self {
            head,
            project: received.project.to_string(),
            method: received.method.to_string(),
            query: received.query.as_deref().map(|query| masks.query(query)),
            headers: headers
                .map(|(name, value)| Header { name: name.to_owned(), value: masks.header(name, value) })
                .collect(),
            body_url: format!("/v1/events/{}/body", event.id),
            deliveries,
        }
    }
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            object: "delivery",
            id: row.id.to_string(),
            event: row.event.to_string(),
            source: row.source.to_string(),
            destination: row.target.to_string(),
            webhook: row.target.parse::<WebhookId>().ok().map(|id| id.to_string()),
            event_type: text(row.event_type),
            created: row.created_at.to_string(),
            status: row.state.as_str(),
            dead_reason: row.dead_reason.map(crate::domain::DeadReason::as_str),
            attempt_count: row.attempts,
            // A delivery that is finished has no next attempt, whatever its row remembers, and one that waits for a
            // person has no time.
            next_attempt_at: time(row.next_attempt_at.filter(|at| row.state.is_open() && *at < HELD_FROM)),
            response_code: row.response_code,
            response_time: row.response_time.map(millis),
            outcome: row.outcome.map(crate::domain::OutcomeClass::as_str),
        }
    }
}

impl DeliveryDetail {
    /// The delivery with its attempts, credentials masked.
    pub(super) fn new(row: DeliveryRow, attempts: Vec<AttemptRow>, masks: &Masks) -> Self {
        let last = attempts.iter().rev().find(|attempt| attempt.status.is_some());
        Self {
            response_body: last.map(|attempt| Content::from(&*attempt.response_body)),
            delivery: row.into(),
            attempts: attempts.into_iter().map(|attempt| Attempt::new(attempt, masks)).collect(),
        }
    }
}

impl Attempt {
    fn new(row: AttemptRow, masks: &Masks) -> Self {
        let failed = row.outcome != crate::domain::OutcomeClass::Succeeded;
        let headers = row.response_headers.iter();
        Self {
            object: "attempt",
            id: row.id.to_string(),
            number: row.number,
            created: row.started_at.to_string(),
            response_time: millis(row.duration),
            outcome: row.outcome.as_str(),
            error_class: failed.then(|| row.outcome.as_str()),
            error: text(row.error),
            response_code: row.status,
            response_headers: headers
                .map(|(name, value)| Header { name: name.to_string(), value: masks.header(name, value.as_bytes()) })
                .collect(),
            response_body: Content::from(&*row.response_body),
        }
    }
}

impl Rejection {
    /// The rejection; its headers were masked when it was kept and are masked again by today's list.
    pub(super) fn new(row: RejectionRow, masks: &Masks) -> Self {
        let headers = row.headers.lines().filter_map(|line| line.split_once(": "));
        Self {
            object: "rejection",
            id: row.id.to_string(),
            source: text(row.source),
            reason: row.reason.code(),
            status: row.reason.status().as_u16(),
            detail: row.detail.into(),
            created: row.at.to_string(),
            client: text(row.client),
            request_line: masks.request_line(&row.request_line),
            headers: headers
                .map(|(name, value)| Header { name: name.to_owned(), value: masks.header(name, value.as_bytes()) })
                .collect(),
            body: Content::from(&*row.body),
            diagnosis: None,
        }
    }

    /// The same with what is wrong with its signature.
    pub(super) fn diagnosed(self, diagnosis: Option<&Diagnosis>) -> Self {
        Self { diagnosis: diagnosis.map(Diagnosed::from), ..self }
    }
}
