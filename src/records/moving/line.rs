//! The lines: what stands in each, and how it becomes the store's words and back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

use super::octets::Octets;
use crate::domain::{
    Attempt, DeadReason, DeliveryState, Event, HeaderBlock, IdMint, NewEvent, OutcomeClass, PlannedDelivery, Timestamp,
};
use crate::store::{MovedDelivery, MovedEvent, MovedMark, StoreKeys, WrittenWebhook};

/// The format of the lines; another one is refused.
pub const FORMAT: u32 = 1;

/// Dead for one of these.
const REASONS: [DeadReason; 4] =
    [DeadReason::Exhausted, DeadReason::Refused, DeadReason::QueueFull, DeadReason::Unreadable];

/// One line: an object with a single name, which says what it is.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    /// The first.
    Store(StoreLine),
    Webhook(Box<WrittenWebhook>),
    Event(Box<EventLine<'a>>),
    /// Some dedup marks: their keys, and the places in time of their events.
    Marks(Vec<(String, u64)>),
    /// The last.
    End(EndLine),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreLine {
    pub(super) format: u32,
    /// Which version wrote it; for people.
    pub(super) hookward: String,
    pub(super) exported_at_ms: u64,
    mint: String,
    hash: String,
}

#[derive(Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct EndLine {
    pub(super) webhooks: u64,
    pub(super) events: u64,
    pub(super) marks: u64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventLine<'a> {
    id: String,
    source: Cow<'a, str>,
    project: Cow<'a, str>,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    event_type: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_event_id: Option<Cow<'a, str>>,
    received_at_ms: u64,
    method: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_index: Option<u8>,
    deliveries: Vec<DeliveryLine<'a>>,
    /// As they go over a wire.
    #[serde(default, skip_serializing_if = "Octets::is_empty")]
    headers: Octets<'a>,
    body: Octets<'a>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct DeliveryLine<'a> {
    target: Cow<'a, str>,
    route: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order_key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_key: Option<Cow<'a, str>>,
    state: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dead_reason: Option<Cow<'a, str>>,
    attempts: u16,
    due_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_code: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_time_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    made: Vec<AttemptLine<'a>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AttemptLine<'a> {
    number: u16,
    started_at_ms: u64,
    duration_us: u64,
    outcome: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Octets::is_empty")]
    headers: Octets<'a>,
    #[serde(default, skip_serializing_if = "Octets::is_empty")]
    body: Octets<'a>,
}

// === impl StoreLine ===

impl StoreLine {
    pub(super) fn new(keys: StoreKeys, now: Timestamp) -> Self {
        Self {
            format: FORMAT,
            hookward: env!("CARGO_PKG_VERSION").into(),
            exported_at_ms: now.0,
            mint: hex::encode(keys.mint),
            hash: hex::encode(keys.hash),
        }
    }

    pub(super) fn keys(&self) -> Result<StoreKeys, String> {
        let key = |text: &str| hex::decode(text).ok()?.try_into().ok();
        let keys = key(&self.mint).zip(key(&self.hash)).map(|(mint, hash)| StoreKeys { mint, hash });
        keys.ok_or_else(|| "the keys of the store are not 32 hex digits each".into())
    }
}

// === impl Line ===

impl Line<'_> {
    pub(super) fn marks(marks: &[MovedMark]) -> Self {
        Self::Marks(marks.iter().map(|mark| (hex::encode(mark.key), mark.seq.0)).collect())
    }
}

/// The marks of a line.
pub(super) fn read_marks(marks: Vec<(String, u64)>) -> Result<Vec<MovedMark>, String> {
    let mark = |(key, seq): (String, u64)| {
        let key = hex::decode(&key).ok()?.try_into().ok()?;
        Some(MovedMark { key, seq: crate::domain::Seq(seq) })
    };
    marks.into_iter().map(mark).collect::<Option<_>>().ok_or_else(|| "a mark's key is not 32 hex digits".into())
}

// === impl EventLine ===

impl<'a> EventLine<'a> {
    pub(super) fn new(moved: &'a MovedEvent) -> Self {
        let received = &moved.event.received;
        Self {
            id: moved.event.id.to_string(),
            source: (&*received.source).into(),
            project: (&*received.project).into(),
            event_type: received.event_type.as_deref().map(Cow::from),
            source_event_id: received.source_event_id.as_deref().map(Cow::from),
            received_at_ms: received.received_at.0,
            method: received.method.as_str().into(),
            query: received.query.as_deref().map(Cow::from),
            signed_at_ms: received.signed_at.map(|at| at.0),
            secret_index: received.secret_index,
            deliveries: moved.deliveries.iter().map(DeliveryLine::new).collect(),
            headers: received.headers.as_bytes().into(),
            body: (&*received.body).into(),
        }
    }

    /// The event; `mint` is the store's that wrote it.
    pub(super) fn read(self, mint: &IdMint) -> Result<MovedEvent, String> {
        let id: crate::domain::EventId = self.id.parse().map_err(|error| format!("{}: {error}", self.id))?;
        if mint.event(id.seq()) != id {
            return Err(format!("{id} is not an id of the store that wrote the first line"));
        }
        let method = Method::from_bytes(self.method.as_bytes());
        let received = NewEvent {
            source: self.source.into(),
            source_event_id: self.source_event_id.map(boxed),
            event_type: self.event_type.map(boxed),
            project: self.project.into(),
            received_at: Timestamp(self.received_at_ms),
            method: method.map_err(|_invalid| format!("{} is not a method", self.method))?,
            query: self.query.map(boxed),
            headers: headers(self.headers)?,
            body: self.body.0.into_owned().into(),
            signed_at: self.signed_at_ms.map(Timestamp),
            secret_index: self.secret_index,
        };
        let deliveries = self.deliveries.into_iter().map(DeliveryLine::read).collect::<Result<_, _>>()?;
        Ok(MovedEvent { event: Arc::new(Event { id, seq: id.seq(), received }), deliveries })
    }
}

// === impl DeliveryLine ===

impl<'a> DeliveryLine<'a> {
    fn new(moved: &'a MovedDelivery) -> Self {
        let planned = &moved.planned;
        Self {
            target: (&*planned.target).into(),
            route: planned.route,
            not_before_ms: planned.not_before.map(|at| at.0),
            expires_at_ms: planned.expires_at.map(|at| at.0),
            order_key: planned.order_key.as_deref().map(Cow::from),
            batch_key: planned.batch_key.as_deref().map(Cow::from),
            state: moved.state.as_str().into(),
            dead_reason: moved.dead_reason.map(|reason| reason.as_str().into()),
            attempts: moved.attempts,
            due_at_ms: moved.due_at.0,
            finished_at_ms: Some(moved.finished_at.0).filter(|at| *at != 0),
            response_code: moved.response_code,
            response_time_ms: moved.response_time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            outcome: moved.outcome.map(|outcome| outcome.as_str().into()),
            made: moved.made.iter().map(AttemptLine::new).collect(),
        }
    }

    fn read(self) -> Result<MovedDelivery, String> {
        let state = DeliveryState::from_word(&self.state).ok_or_else(|| format!("{} is not a state", self.state))?;
        let reason = |word: Cow<'_, str>| {
            let known = REASONS.into_iter().find(|reason| reason.as_str() == word);
            known.ok_or_else(|| format!("{word} is not a reason"))
        };
        Ok(MovedDelivery {
            planned: PlannedDelivery {
                target: self.target.into(),
                route: self.route,
                not_before: self.not_before_ms.map(Timestamp),
                expires_at: self.expires_at_ms.map(Timestamp),
                order_key: self.order_key.map(boxed),
                batch_key: self.batch_key.map(boxed),
            },
            state: if state.is_open() { DeliveryState::Pending } else { state },
            dead_reason: self.dead_reason.map(reason).transpose()?,
            attempts: self.attempts,
            due_at: Timestamp(self.due_at_ms),
            finished_at: Timestamp(self.finished_at_ms.unwrap_or_default()),
            response_code: self.response_code,
            response_time: self.response_time_ms.map(Duration::from_millis),
            outcome: self.outcome.map(|word| outcome(&word)).transpose()?,
            made: self.made.into_iter().map(AttemptLine::read).collect::<Result<_, _>>()?,
        })
    }
}

// === impl AttemptLine ===

impl<'a> AttemptLine<'a> {
    fn new(attempt: &'a Attempt) -> Self {
        Self {
            number: attempt.number,
            started_at_ms: attempt.started_at.0,
            duration_us: u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX),
            outcome: attempt.outcome.as_str().into(),
            status: attempt.status,
            error: attempt.error.as_deref().map(Cow::from),
            headers: attempt.response_headers.as_bytes().into(),
            body: (&*attempt.response_body).into(),
        }
    }

    fn read(self) -> Result<Attempt, String> {
        Ok(Attempt {
            number: self.number,
            started_at: Timestamp(self.started_at_ms),
            duration: Duration::from_micros(self.duration_us),
            outcome: outcome(&self.outcome)?,
            status: self.status,
            response_headers: headers(self.headers)?,
            response_body: self.body.0.into_owned().into(),
            error: self.error.map(boxed),
        })
    }
}

fn boxed(text: Cow<'_, str>) -> Box<str> {
    text.into_owned().into()
}

fn headers(bytes: Octets<'_>) -> Result<HeaderBlock, String> {
    HeaderBlock::from_bytes(bytes.0.into_owned().into()).ok_or_else(|| "the headers are not `name: value` lines".into())
}

fn outcome(word: &str) -> Result<OutcomeClass, String> {
    let known = OutcomeClass::ALL.into_iter().find(|class| class.as_str() == word);
    known.ok_or_else(|| format!("{word} is not an outcome"))
}
