//! An event is emitted: kept with its deliveries and its mark in one durable step.
//!
//! The `Idempotency-Key` of the request is kept with the event, together with what was asked and what was answered: the
//! same request under it is answered as the first one was, after a crash too, and another one is refused.

use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::event::StandardEvent;
use super::webhooks::{Webhooks, delivery_to};
use crate::domain::{EventId, HeaderBlock, HeaderBlockBuilder, NewEvent, Plan, WebhookId};
use crate::store::{Admission, AdmitError, Admitted, DedupMark, Store, StoreError};

/// The source of everything that is emitted: no source of the configuration can have this name.
pub const SOURCE: &str = "(outbound)";

/// How long a copy of an emitted event counts as one.
pub const DEDUP_WINDOW: Duration = Duration::from_secs(96 * 3600);

/// An event that is about to be emitted.
#[derive(Clone, Debug)]
pub struct Emission {
    /// Whose.
    pub project: Arc<str>,
    /// What.
    pub event: StandardEvent,
    /// The key under which the publisher would repeat the request, with the request that it is for.
    pub key: Option<RequestKey>,
    /// To this webhook only, whatever it wants; `None`: to all that want it.
    pub to: Option<WebhookId>,
}

/// An `Idempotency-Key` and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The key.
    pub key: Box<str>,
    /// SHA-256 of everything that makes it this request and no other.
    pub request: [u8; 32],
}

/// What became of it; either way it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The event's id as receivers see it.
    pub id: Box<str>,
    /// Ours.
    pub event: EventId,
    /// How many webhooks get it.
    pub deliveries: usize,
    /// It was emitted before: nothing was added.
    pub duplicate: bool,
    /// The very request was made before, under its key: this is what it was answered.
    pub replayed: bool,
}

/// Why an event was not emitted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EmitError {
    /// It was not kept.
    #[error(transparent)]
    NotKept(#[from] AdmitError),
    /// The first copy could not be read back.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key was used for another request.
    #[error("this Idempotency-Key was used for another request; use a new one")]
    KeyReused,
}

/// Kept with an event: the key of the request that emitted it.
const KEY: &str = "idempotency-key";

/// Kept with an event beside its key: the request's SHA-256 in hex, and how many webhooks got the event.
const REQUEST: &str = "hookward-request";

// === impl Webhooks ===

impl<S: Store> Webhooks<S> {
    /// Emits an event: when this answers it is durable, with a delivery to each webhook of its project that wants it, and
    /// so is the key of its request.
    ///
    /// # Errors
    /// [`EmitError`]; it was not emitted then.
    pub async fn emit(&self, emission: Emission) -> Result<Emitted, EmitError> {
        let Emission { project, event, key, to } = emission;
        let by_id = event.id.as_deref().map(|id| self.mark(b"id", &project, id));
        let by_key = key.as_ref().map(|key| self.mark(b"key", &project, &key.key));
        // The key first: what it was used for counts more than whether the event is known.
        let (dedup, also) = if by_key.is_some() { (by_key, by_id) } else { (by_id, None) };
        let own = self.store.next_event_id(also.as_ref().or(dedup.as_ref()));
        let now = self.clock.now();
        let id: Box<str> = event.id.clone().unwrap_or_else(|| own.to_string().into());
        let plan = match to {
            Some(webhook) => Plan { deliveries: vec![delivery_to(&webhook.to_string().into())] },
            None => self.plan(&project, &event.event_type),
        };
        let deliveries = plan.deliveries.len();
        let mut headers = HeaderBlockBuilder::default();
        headers.try_add(b"content-type", b"application/json");
        if let Some(key) = &key {
            key.note(&mut headers, deliveries);
        }
        let received = NewEvent {
            source: SOURCE.into(),
            source_event_id: Some(id.clone()),
            event_type: Some(event.event_type.clone()),
            project,
            received_at: now,
            method: Method::POST,
            query: None,
            headers: headers.finish(),
            body: Bytes::from(event.write(&id, now)),
            signed_at: None,
            secret_index: None,
        };
        match self.store.admit(Admission { id: Some(own), event: received, plan, dedup, also }).await? {
            Admitted::Kept(event) => Ok(Emitted { id, event, deliveries, duplicate: false, replayed: false }),
            Admitted::Duplicate(first) => self.answer_again(first, event.id, key.as_ref()).await,
        }
    }

    /// What is said of a copy: the first answer, where it is the same request under the same key.
    async fn answer_again(
        &self,
        first: EventId,
        own_id: Option<Box<str>>,
        key: Option<&RequestKey>,
    ) -> Result<Emitted, EmitError> {
        let copy = |id: Box<str>| Emitted { id, event: first, deliveries: 0, duplicate: true, replayed: false };
        let stored = match self.store.event(first).await {
            Ok(stored) => stored,
            // Its mark outlives it: retention was faster.
            Err(StoreError::NotFound) => return Ok(copy(own_id.unwrap_or_else(|| first.to_string().into()))),
            Err(error) => return Err(error.into()),
        };
        let id = stored.received.source_event_id.clone().unwrap_or_else(|| first.to_string().into());
        match key.map(|key| key.was_used_for(&stored.received.headers)) {
            Some(Used::SameRequest { deliveries }) => {
                Ok(Emitted { id, event: first, deliveries, duplicate: false, replayed: true })
            }
            Some(Used::OtherRequest) => Err(EmitError::KeyReused),
            Some(Used::NotHere) | None => Ok(copy(id)),
        }
    }

    /// The mark of an event; two projects, and two kinds, never have the same.
    fn mark(&self, kind: &[u8], project: &str, id: &str) -> DedupMark {
        let mut hasher = SipHasher13::new_with_key(&self.dedup_key);
        for part in [SOURCE.as_bytes(), kind, project.as_bytes(), id.as_bytes()] {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        DedupMark { key: hasher.finish128().as_bytes(), window: DEDUP_WINDOW }
    }
}

// === impl RequestKey ===

/// What a key was used for, as an event tells that it was emitted under.
enum Used {
    /// For this very request.
    SameRequest { deliveries: usize },
    /// For another one.
    OtherRequest,
    /// Not for this event, which is known by its id.
    NotHere,
}

impl RequestKey {
    fn note(&self, headers: &mut HeaderBlockBuilder, deliveries: usize) {
        headers.try_add(KEY.as_bytes(), self.key.as_bytes());
        headers.try_add(REQUEST.as_bytes(), format!("{} {deliveries}", hex::encode(self.request)).as_bytes());
    }

    fn was_used_for(&self, headers: &HeaderBlock) -> Used {
        if headers.get(KEY) != Some(self.key.as_bytes()) {
            return Used::NotHere;
        }
        let noted = headers.get(REQUEST).and_then(|noted| str::from_utf8(noted).ok()?.split_once(' '));
        match noted {
            Some((request, deliveries)) if *request == hex::encode(self.request) => {
                Used::SameRequest { deliveries: deliveries.parse().unwrap_or_default() }
            }
            _ => Used::OtherRequest,
        }
    }
}
