//! The request of an attempt: the event as it came, what hookward adds, what the destination's settings change.

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::http1::Head;
use super::{Endpoint, Resign, SignatureMode};
use crate::domain::headers::{REPORTED, is_end_to_end};
use crate::domain::{Clock, DeliveryId, Event, EventId, HeaderBlock};

/// What is delivered: one event, on behalf of one delivery, for the `attempt`-th time (from 1).
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// The event as it was received.
    pub event: &'a Event,
    /// The delivery that the attempt belongs to.
    pub delivery: DeliveryId,
    /// The attempt's number, from 1.
    pub attempt: u16,
}

/// Id, timestamp and signature of Standard Webhooks.
type Trio = [&'static str; 3];

const WEBHOOK: Trio = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// Where the event carries a trio of its own.
const HOOKWARD_WEBHOOK: Trio = ["hookward-webhook-id", "hookward-webhook-timestamp", "hookward-webhook-signature"];

/// The sender's fields, and what takes the place of some of them.
struct Fields<'a> {
    endpoint: &'a Endpoint,
    sent: &'a HeaderBlock,
    renewed: Vec<(HeaderName, HeaderValue)>,
}

/// Writes the head of one attempt's request into `out`; its body is the event's.
pub(super) fn write(out: &mut Vec<u8>, endpoint: &Endpoint, parcel: Parcel<'_>, clock: &Clock, resign: &dyn Resign) {
    if let Some(webhook) = &endpoint.webhook {
        return webhook.write(out, endpoint, parcel, clock);
    }
    let received = &parcel.event.received;
    let renewed = match endpoint.signature {
        SignatureMode::Keep => Vec::new(),
        mode => resign.resign(parcel.event, mode, clock),
    };
    let fields = Fields { endpoint, sent: &received.headers, renewed };
    let (url, query) = (&endpoint.url, received.query.as_deref());
    let mut head = Head::start(out, &received.method, url.target(), query, url.host_header().as_bytes());
    fields.write(&mut head);
    describe(&mut head, parcel);
    if let Some(key) = &endpoint.sign {
        let (id, timestamp) = (parcel.event.id.to_string(), clock.wall().as_secs().to_string());
        if let Some(signature) = key.sign(id.as_bytes(), timestamp.as_bytes(), &received.body) {
            let taken = WEBHOOK.iter().any(|name| fields.value(name).is_some());
            let [id_name, timestamp_name, signature_name] = if taken { HOOKWARD_WEBHOOK } else { WEBHOOK };
            head.field(id_name, id.as_bytes());
            head.field(timestamp_name, timestamp.as_bytes());
            head.field(signature_name, signature.as_bytes());
        }
    }
    head.finish(&received.method, received.body.len() as u64);
}

/// What hookward says about the event.
fn describe(head: &mut Head<'_>, parcel: Parcel<'_>) {
    let received = &parcel.event.received;
    head.id("hookward-event-id", EventId::PREFIX, &parcel.event.id.digits());
    head.field("hookward-source", received.source.as_bytes());
    if let Some(id) = &received.source_event_id {
        head.field("hookward-source-event-id", id.as_bytes());
    }
    if let Some(event_type) = &received.event_type {
        head.field("hookward-event-type", event_type.as_bytes());
    }
    if !received.headers.is_end_to_end()
        && let Some(reported) = received.headers.get(REPORTED)
    {
        head.field(REPORTED, reported);
    }
    head.id("hookward-delivery-id", DeliveryId::PREFIX, &parcel.delivery.digits());
    head.number("hookward-attempt", parcel.attempt.into());
    if let Some(received_at) = received.received_at.rfc3339() {
        head.field("hookward-received-at", &received_at);
    }
}

// === impl Fields ===

impl Fields<'_> {
    /// The sender's fields, in one piece where nothing takes the place of any.
    fn write(&self, head: &mut Head<'_>) {
        let Endpoint { headers, auth, .. } = self.endpoint;
        let edited =
            !headers.remove.is_empty() || !headers.add.is_empty() || auth.is_some() || !self.renewed.is_empty();
        // The intake keeps nothing else; an event that came another way must not smuggle anything in either.
        if !edited && self.sent.is_end_to_end() {
            return head.block(self.sent.as_bytes());
        }
        for (name, value) in self.sent.iter().filter(|(name, _)| self.passes(name)) {
            head.field(name, value);
        }
        for (name, value) in &headers.add {
            if !(auth.is_some() && name == AUTHORIZATION || self.is_renewed(name.as_str())) {
                head.field(name.as_str(), value.as_bytes());
            }
        }
        if let Some(auth) = auth.as_ref().filter(|_| !self.is_renewed(AUTHORIZATION.as_str())) {
            head.field(AUTHORIZATION.as_str(), auth.as_bytes());
        }
        for (name, value) in &self.renewed {
            head.field(name.as_str(), value.as_bytes());
            if let Some(old) = self.before_renewal(name.as_str()).filter(|old| *old != value.as_bytes()) {
                head.field(&format!("hookward-original-{name}"), old);
            }
        }
    }

    /// Whether a field of the sender's goes out as it came.
    fn passes(&self, name: &str) -> bool {
        self.is_let_through(name) && !self.is_renewed(name)
    }

    /// The same, were no signature renewed.
    fn is_let_through(&self, name: &str) -> bool {
        let Endpoint { headers, auth, .. } = self.endpoint;
        !(!is_end_to_end(name)
            || auth.is_some() && name == AUTHORIZATION
            || headers.remove.iter().any(|removed| removed == name)
            || headers.add.contains_key(name))
    }

    fn is_renewed(&self, name: &str) -> bool {
        self.renewed.iter().any(|(renewed, _)| renewed == name)
    }

    /// The first value that goes out under a name, not counting what hookward adds.
    fn value(&self, name: &str) -> Option<&[u8]> {
        let renewed = self.renewed.iter().find(|(renewed, _)| renewed == name);
        renewed.map(|(_, value)| value.as_bytes()).or_else(|| self.before_renewal(name))
    }

    /// The first value that would go out under a name, were no signature renewed.
    fn before_renewal(&self, name: &str) -> Option<&[u8]> {
        let Endpoint { headers, auth, .. } = self.endpoint;
        let auth = auth.as_ref().filter(|_| name == AUTHORIZATION);
        auth.or_else(|| headers.add.get(name))
            .map(HeaderValue::as_bytes)
            .or_else(|| self.sent.get(name).filter(|_| self.is_let_through(name)))
    }
}
