//! What can be asked of a store: filters, pages, and rows.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::{
    Attempt, AttemptId, DeadReason, DeliveryId, DeliveryState, EventId, OutcomeClass, Reason, RejectionId, Seq,
    Timestamp,
};

/// The most rows of one page.
pub const PAGE_ROWS_MAX: usize = 100;

/// Which page of a list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many rows, 1 to [`PAGE_ROWS_MAX`].
    pub limit: usize,
    /// Only rows older than the one with this place: the cursor. A delivery's ordinal breaks the tie.
    pub after: Option<(Seq, u16)>,
}

/// What a list holds.
pub trait Listed {
    /// By what a row is known; also the cursor.
    type Id: Copy + fmt::Debug + fmt::Display + PartialEq + Eq;
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Row: Listed> {
    /// Newest first.
    pub rows: Vec<Row>,
    /// Whether older ones follow, or may.
    pub has_more: bool,
    /// The search ended before the page was full, because it had looked at as many rows as it may for one
    /// page: the next page is what comes after this place, whether or not this one has rows.
    pub stopped_at: Option<Row::Id>,
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this project.
    pub project: Option<Box<str>>,
    /// Of this source.
    pub source: Option<Box<str>>,
    /// Of exactly this type.
    pub event_type: Option<Box<str>>,
    /// With the sender's own id.
    pub source_event_id: Option<Box<str>>,
    /// Received at or after.
    pub created_gte: Option<Timestamp>,
    /// Received at or before.
    pub created_lte: Option<Timestamp>,
}

/// Which deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of events of this project.
    pub project: Option<Box<str>>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Of events of this source.
    pub source: Option<Box<str>>,
    /// To this destination.
    pub target: Option<Box<str>>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Of events of exactly this type.
    pub event_type: Option<Box<str>>,
    /// Of events received at or after.
    pub created_gte: Option<Timestamp>,
    /// Of events received at or before.
    pub created_lte: Option<Timestamp>,
}

/// Which rejections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectionFilter {
    /// Of this source.
    pub source: Option<Box<str>>,
    /// For this reason.
    pub reason: Option<Reason>,
    /// Refused at or after.
    pub created_gte: Option<Timestamp>,
    /// Refused at or before.
    pub created_lte: Option<Timestamp>,
}

/// An event in a list, without head and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Ours.
    pub id: EventId,
    /// Where it came in.
    pub source: Arc<str>,
    /// To whom it belongs.
    pub project: Arc<str>,
    /// The sender's own.
    pub source_event_id: Option<Box<str>>,
    /// What happened.
    pub event_type: Option<Box<str>>,
    /// When it came.
    pub received_at: Timestamp,
    /// The body's size.
    pub body_bytes: u64,
    /// How many deliveries it has; none: no route wanted it.
    pub deliveries: u16,
}

/// A delivery in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Ours.
    pub id: DeliveryId,
    /// Of which event.
    pub event: EventId,
    /// To which destination.
    pub target: Arc<str>,
    /// The event's source.
    pub source: Arc<str>,
    /// The event's project.
    pub project: Arc<str>,
    /// The event's type.
    pub event_type: Option<Box<str>>,
    /// When the event came.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it is dead, if it is.
    pub dead_reason: Option<DeadReason>,
    /// Attempts made.
    pub attempts: u16,
    /// When the next one is due.
    pub next_attempt_at: Option<Timestamp>,
    /// The last answer's status.
    pub response_code: Option<u16>,
    /// How long the last attempt took.
    pub response_time: Option<Duration>,
    /// The class of the last outcome.
    pub outcome: Option<OutcomeClass>,
}

/// One attempt, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Ours.
    pub id: AttemptId,
    /// From 1.
    pub number: u16,
    /// When it was begun.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How it is classed.
    pub outcome: OutcomeClass,
    /// The answer's status.
    pub status: Option<u16>,
    /// The answer's headers, in the order of the answer.
    pub response_headers: Vec<(Box<str>, Box<str>)>,
    /// The first bytes of the answer's body.
    pub response_body: Bytes,
    /// What went wrong, for people.
    pub error: Option<Box<str>>,
}

/// A refused request in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionRow {
    /// Ours.
    pub id: RejectionId,
    /// Whose path it was.
    pub source: Option<Box<str>>,
    /// Why.
    pub reason: Reason,
    /// What was found, for the operator.
    pub detail: Box<str>,
    /// When.
    pub at: Timestamp,
    /// The client's address.
    pub client: Option<Box<str>>,
    /// Method and path with query.
    pub request_line: Box<str>,
    /// The headers, credentials masked, a line each.
    pub headers: Box<str>,
    /// The body's first bytes.
    pub body: Bytes,
}

/// What was counted since the store was made, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Of each source that ever sent something.
    pub sources: HashMap<Box<str>, SourceTotals>,
    /// Of each destination that was ever sent something.
    pub targets: HashMap<Box<str>, TargetTotals>,
}

/// What came in at one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTotals {
    /// Events kept.
    pub accepted: u64,
    /// Those of them that no route wanted.
    pub unrouted: u64,
    /// Copies of events that were held already.
    pub duplicates: u64,
    /// Requests that the app behind it answered.
    pub passed_on: u64,
    /// Refused requests, by reason.
    pub rejected: BTreeMap<Reason, u64>,
}

/// What went to one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetTotals {
    /// Requests made.
    pub attempts: u64,
    /// What they took together.
    pub attempt_time: Duration,
    /// Deliveries that succeeded; one that is sent again counts again.
    pub succeeded: u64,
    /// Given up.
    pub dead: u64,
    /// Stopped by a person.
    pub cancelled: u64,
    /// Not made in the time that their route gave them.
    pub expired: u64,
}

// === impl TargetTotals, Totals ===

impl TargetTotals {
    /// Of the deliveries that ended by themselves, the part that succeeded; `None` where none has ended.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let ended = self.succeeded + self.dead + self.expired;
        (ended > 0).then(|| self.succeeded as f64 / ended as f64)
    }

    /// What a request took on average, in seconds; `None` where none was made.
    #[must_use]
    pub fn attempt_time_mean(&self) -> Option<f64> {
        (self.attempts > 0).then(|| self.attempt_time.as_secs_f64() / self.attempts as f64)
    }
}

impl Totals {
    /// The counts of a source; zeros where it has none.
    pub fn source(&mut self, name: impl Into<Box<str>>) -> &mut SourceTotals {
        self.sources.entry(name.into()).or_default()
    }

    /// The counts of a destination; zeros where it has none.
    pub fn target(&mut self, name: impl Into<Box<str>>) -> &mut TargetTotals {
        self.targets.entry(name.into()).or_default()
    }
}

// === impl AttemptRow ===

impl AttemptRow {
    /// An attempt as it is shown.
    #[must_use]
    pub fn new(id: AttemptId, attempt: Attempt) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
        let headers = attempt.response_headers.iter();
        Self {
            id,
            number: attempt.number,
            started_at: attempt.started_at,
            duration: attempt.duration,
            outcome: attempt.outcome,
            status: attempt.status,
            response_headers: headers.map(|(name, value)| (name.into(), text(value))).collect(),
            response_body: attempt.response_body,
            error: attempt.error,
        }
    }
}

impl Listed for EventRow {
    type Id = EventId;
}

impl Listed for DeliveryRow {
    type Id = DeliveryId;
}

impl Listed for RejectionRow {
    type Id = RejectionId;
}
