//! An event is emitted: kept with its deliveries and its mark in one durable step.

use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::event::StandardEvent;
use super::webhooks::{Webhooks, delivery_to};
use crate::domain::{EventId, HeaderBlockBuilder, NewEvent, Plan, WebhookId};
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
    /// The key under which the publisher would repeat the request; counts where the event has no id of its own.
    pub idempotency_key: Option<Box<str>>,
    /// To this webhook only, whatever it wants; `None`: to all that want it.
    pub to: Option<WebhookId>,
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
}

// === impl Webhooks ===

impl<S: Store> Webhooks<S> {
    /// Emits an event: when this answers it is durable, with a delivery to each webhook of its project that wants it.
    ///
    /// # Errors
    /// [`EmitError`]; it was not emitted then.
    pub async fn emit(&self, emission: Emission) -> Result<Emitted, EmitError> {
        let Emission { project, event, idempotency_key, to } = emission;
        let dedup = match (&event.id, &idempotency_key) {
            (Some(id), _) => Some(self.mark(b"id", &project, id)),
            (None, Some(key)) => Some(self.mark(b"key", &project, key)),
            (None, None) => None,
        };
        let own = self.store.next_event_id(dedup.as_ref());
        let now = self.clock.now();
        let id: Box<str> = event.id.clone().unwrap_or_else(|| own.to_string().into());
        let plan = match to {
            Some(webhook) => Plan { deliveries: vec![delivery_to(webhook)] },
            None => self.plan(&project, &event.event_type),
        };
        let deliveries = plan.deliveries.len();
        let mut headers = HeaderBlockBuilder::default();
        headers.try_add(b"content-type", b"application/json");
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
        match self.store.admit(Admission { id: Some(own), event: received, plan, dedup }).await? {
            Admitted::Kept(event) => Ok(Emitted { id, event, deliveries, duplicate: false }),
            Admitted::Duplicate(first) => {
                let id = match &event.id {
                    Some(id) => id.clone(),
                    None => {
                        let first = self.store.event(first).await?;
                        first.received.source_event_id.clone().unwrap_or_else(|| first.id.to_string().into())
                    }
                };
                Ok(Emitted { id, event: first, deliveries: 0, duplicate: true })
            }
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
