//! What an event's hash holds, as text and bytes: types of their own, so that the domain's stay out of the store's format.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};

use super::key::{time, time_of};
use crate::domain::{
    Attempt, DeadReason, DeliveryState, HeaderBlock, NewEvent, Next, OutcomeClass, PlannedDelivery, Timestamp,
};
use crate::store::MovedDelivery;

/// An event without headers and body.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) source: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) event_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) project: Cow<'a, str>,
    pub(super) at: u64,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<u8>,
    pub(super) bytes: u64,
    /// Tells this admission from every other: a try whose answer was lost is known by it.
    nonce: u64,
}

/// How a delivery was planned; its target stands before it, on a line of its own.
#[derive(Debug, Deserialize, Serialize)]
struct How<'a> {
    route: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<Cow<'a, str>>,
}

/// An attempt without the answer's headers and body, which stand behind it.
#[derive(Debug, Deserialize, Serialize)]
struct AttemptHead<'a> {
    at: u64,
    micros: u64,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    headers: usize,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) state: DeliveryState,
    pub(super) attempts: u16,
    pub(super) due_at: Timestamp,
    pub(super) response_code: Option<u16>,
    pub(super) response_millis: Option<u64>,
    pub(super) outcome: Option<OutcomeClass>,
    pub(super) dead_reason: Option<DeadReason>,
    /// `None`: never.
    pub(super) expires_at: Option<Timestamp>,
    pub(super) finished_at: Timestamp,
}

/// The head of a new event.
pub(super) fn head(event: &NewEvent, nonce: u64) -> Vec<u8> {
    json(&Head {
        source: (&*event.source).into(),
        id: event.source_event_id.as_deref().map(Cow::from),
        event_type: event.event_type.as_deref().map(Cow::from),
        project: (&*event.project).into(),
        at: event.received_at.0,
        method: event.method.as_str().into(),
        query: event.query.as_deref().map(Cow::from),
        signed_at: event.signed_at.map(|at| at.0),
        secret: event.secret_index,
        bytes: event.body.len() as u64,
        nonce,
    })
}

/// An event from its three parts; `None` where they are not what [`head`] and its companions write.
pub(super) fn event(head: &[u8], headers: Vec<u8>, body: Vec<u8>) -> Option<NewEvent> {
    let head: Head<'_> = serde_json::from_slice(head).ok()?;
    let boxed = |text: Option<Cow<'_, str>>| text.map(|text| Box::from(&*text));
    if head.bytes != body.len() as u64 {
        return None;
    }
    Some(NewEvent {
        source: head.source.into(),
        source_event_id: boxed(head.id),
        event_type: boxed(head.event_type),
        project: head.project.into(),
        received_at: Timestamp(head.at),
        method: Method::from_bytes(head.method.as_bytes()).ok()?,
        query: boxed(head.query),
        headers: HeaderBlock::from_bytes(headers.into())?,
        body: body.into(),
        signed_at: head.signed_at.map(Timestamp),
        secret_index: head.secret,
    })
}

/// A plan: the target, a line break, how.
pub(super) fn plan(planned: &PlannedDelivery) -> Vec<u8> {
    let mut text = format!("{}\n", planned.target).into_bytes();
    text.extend(json(&How {
        route: planned.route,
        not_before: planned.not_before.map(|at| at.0),
        order: planned.order_key.as_deref().map(Cow::from),
        batch: planned.batch_key.as_deref().map(Cow::from),
    }));
    text
}

/// The target of a plan.
pub(super) fn target_of(plan: &[u8]) -> Option<&str> {
    std::str::from_utf8(plan.split(|byte| *byte == b'\n').next()?).ok()
}

/// A plan read back, but for when it expires, which is progress.
pub(super) fn read_plan(plan: &[u8]) -> Option<PlannedDelivery> {
    let end = memchr::memchr(b'\n', plan)?;
    let how: How<'_> = serde_json::from_slice(plan.get(end + 1..)?).ok()?;
    let boxed = |text: Option<Cow<'_, str>>| text.map(|text| Box::from(&*text));
    Some(PlannedDelivery {
        target: target_of(plan)?.into(),
        route: how.route,
        not_before: how.not_before.map(Timestamp),
        expires_at: None,
        order_key: boxed(how.order),
        batch_key: boxed(how.batch),
    })
}

/// A delivery's progress as the scripts write it, of one that nobody has claimed.
pub(super) fn moved_progress(delivery: &MovedDelivery) -> String {
    let MovedDelivery { state, attempts, due_at, planned, finished_at, .. } = delivery;
    let expires_at = planned.expires_at.map_or(0, |at| time(at).max(1));
    let millis = delivery.response_time.map_or_else(|| "-".to_owned(), |time| time.as_millis().to_string());
    let outcome = delivery.outcome.map_or("-", OutcomeClass::as_str);
    let reason = delivery.dead_reason.map_or("-", DeadReason::as_str);
    format!(
        "{} {attempts} {} {expires_at} - {} {millis} {outcome} {reason} {}",
        letter_of(*state),
        time(*due_at),
        delivery.response_code.unwrap_or(0),
        finished_at.0
    )
}

/// What stands behind the lease in a delivery's progress.
pub(super) fn rest(attempt: &Attempt, next: Next) -> String {
    let ended_at = attempt.started_at.plus(attempt.duration).0;
    let (reason, finished_at) = match next {
        Next::RetryAt(_) => ("-", 0),
        Next::Succeeded => ("-", ended_at),
        Next::Dead(reason) => (reason.as_str(), ended_at),
    };
    let (status, millis) = (attempt.status.unwrap_or(0), attempt.duration.as_millis());
    format!("{status} {millis} {} {reason} {finished_at}", attempt.outcome.as_str())
}

/// The same for a delivery that was given up without an attempt.
pub(super) fn rest_unattempted(reason: DeadReason, at: Timestamp) -> String {
    format!("0 - - {} {}", reason.as_str(), at.0)
}

/// Reads what the scripts write.
pub(super) fn progress(text: &[u8]) -> Option<Progress> {
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let state = state_of(words.next()?)?;
    let attempts = words.next()?.parse().ok()?;
    let due_at = time_of(words.next()?.parse().ok()?);
    let expires_at = words.next()?.parse().ok().filter(|at| *at != 0).map(Timestamp);
    let _lease = words.next()?;
    let response_code = words.next()?.parse().ok().filter(|code| *code != 0);
    let response_millis = words.next()?.parse().ok();
    let outcome = words.next()?;
    let outcome = OutcomeClass::ALL.into_iter().find(|class| class.as_str() == outcome);
    let reason = words.next()?;
    let dead_reason = REASONS.into_iter().find(|known| state == DeliveryState::Dead && known.as_str() == reason);
    let finished_at = Timestamp(words.next()?.parse().ok()?);
    Some(Progress {
        state,
        attempts,
        due_at,
        response_code,
        response_millis,
        outcome,
        dead_reason,
        expires_at,
        finished_at,
    })
}

const REASONS: [DeadReason; 4] =
    [DeadReason::Exhausted, DeadReason::Refused, DeadReason::QueueFull, DeadReason::Unreadable];

/// The letter of a state; what is held is known by its target only.
pub(super) fn letter_of(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending | DeliveryState::Held => "P",
        DeliveryState::InFlight => "F",
        DeliveryState::Succeeded => "S",
        DeliveryState::Dead => "D",
        DeliveryState::Cancelled => "C",
        DeliveryState::Expired => "X",
    }
}

fn state_of(letter: &str) -> Option<DeliveryState> {
    DeliveryState::ALL.into_iter().find(|state| letter_of(*state) == letter)
}

/// An attempt: its head, a line break, the answer's headers, the answer's body.
pub(super) fn attempt(attempt: &Attempt) -> Vec<u8> {
    let headers = attempt.response_headers.as_bytes();
    let mut bytes = json(&AttemptHead {
        at: attempt.started_at.0,
        micros: micros(attempt.duration),
        outcome: attempt.outcome.as_str().into(),
        status: attempt.status,
        error: attempt.error.as_deref().map(Cow::from),
        headers: headers.len(),
    });
    bytes.push(b'\n');
    bytes.extend_from_slice(headers);
    bytes.extend_from_slice(&attempt.response_body);
    bytes
}

/// Reads an attempt back.
pub(super) fn read_attempt(number: u16, bytes: Vec<u8>) -> Option<Attempt> {
    let bytes = Bytes::from(bytes);
    let end = memchr::memchr(b'\n', &bytes)?;
    let head: AttemptHead<'_> = serde_json::from_slice(bytes.get(..end)?).ok()?;
    let (from, to) = (end + 1, (end + 1).checked_add(head.headers)?);
    if to > bytes.len() {
        return None;
    }
    Some(Attempt {
        number,
        started_at: Timestamp(head.at),
        duration: Duration::from_micros(head.micros),
        outcome: OutcomeClass::ALL.into_iter().find(|class| class.as_str() == head.outcome)?,
        status: head.status,
        response_headers: HeaderBlock::from_bytes(bytes.slice(from..to))?,
        response_body: bytes.slice(to..),
        error: head.error.map(|error| Box::from(&*error)),
    })
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Text and numbers only: it cannot fail.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
