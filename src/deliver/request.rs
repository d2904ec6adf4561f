//! The request of an attempt: the event as it came, what hookward adds, what the destination's settings change.

use std::fmt::{Display, Write as _};

use bytes::{Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;

use super::{Endpoint, Resign, SignatureMode};
use crate::domain::{Clock, DeliveryId, Event};

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

const EVENT_ID: HeaderName = HeaderName::from_static("hookward-event-id");
const SOURCE: HeaderName = HeaderName::from_static("hookward-source");
const SOURCE_EVENT_ID: HeaderName = HeaderName::from_static("hookward-source-event-id");
const EVENT_TYPE: HeaderName = HeaderName::from_static("hookward-event-type");
const DELIVERY_ID: HeaderName = HeaderName::from_static("hookward-delivery-id");
const ATTEMPT: HeaderName = HeaderName::from_static("hookward-attempt");
const RECEIVED_AT: HeaderName = HeaderName::from_static("hookward-received-at");

/// Id, timestamp and signature of Standard Webhooks.
type Trio = [HeaderName; 3];

const WEBHOOK: Trio = [
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
    HeaderName::from_static("webhook-signature"),
];

/// Where the event carries a trio of its own.
const HOOKWARD_WEBHOOK: Trio = [
    HeaderName::from_static("hookward-webhook-id"),
    HeaderName::from_static("hookward-webhook-timestamp"),
    HeaderName::from_static("hookward-webhook-signature"),
];

/// How many headers are added at most, not counting the destination's own.
const ADDED_MAX: usize = 12;

/// Room for the added values: one allocation for all of them.
const VALUES_BYTES: usize = 256;

/// The request of one attempt.
pub(super) fn build(
    endpoint: &Endpoint,
    parcel: Parcel<'_>,
    clock: &Clock,
    resign: &dyn Resign,
) -> Request<Full<Bytes>> {
    let received = &parcel.event.received;
    let mut headers = end_to_end(&received.headers, ADDED_MAX + endpoint.headers.add.len());
    for name in &endpoint.headers.remove {
        headers.remove(name);
    }
    let mut values = Values(BytesMut::with_capacity(VALUES_BYTES));
    let event_id = values.of(parcel.event.id);
    describe(&mut headers, &mut values, parcel, event_id.clone());
    for (name, value) in &endpoint.headers.add {
        headers.insert(name, value.clone());
    }
    if let Some(auth) = &endpoint.auth {
        headers.insert(AUTHORIZATION, auth.clone());
    }
    if endpoint.signature != SignatureMode::Keep {
        resign.resign(parcel.event, endpoint.signature, clock.wall(), &mut headers);
    }
    if let (Some(key), Some(id)) = (&endpoint.sign, event_id) {
        let timestamp = values.of(clock.wall().as_secs());
        let signature = timestamp.as_ref().and_then(|time| key.sign(id.as_bytes(), time.as_bytes(), &received.body));
        let taken = WEBHOOK.iter().any(|name| headers.contains_key(name));
        let [id_name, timestamp_name, signature_name] = if taken { HOOKWARD_WEBHOOK } else { WEBHOOK };
        put(&mut headers, id_name, Some(id));
        put(&mut headers, timestamp_name, timestamp);
        put(&mut headers, signature_name, signature);
    }
    headers.insert(HOST, endpoint.url.host_header().clone());
    let mut request = Request::new(Full::new(received.body.clone()));
    *request.method_mut() = received.method.clone();
    *request.uri_mut() = target(endpoint.url.target(), received.query.as_deref());
    *request.headers_mut() = headers;
    request
}

/// What hookward says about the event.
fn describe(headers: &mut HeaderMap, values: &mut Values, parcel: Parcel<'_>, event_id: Option<HeaderValue>) {
    let received = &parcel.event.received;
    put(headers, EVENT_ID, event_id);
    put(headers, SOURCE, values.of(&received.source));
    put(headers, SOURCE_EVENT_ID, received.source_event_id.as_ref().and_then(|id| values.of(id)));
    put(headers, EVENT_TYPE, received.event_type.as_ref().and_then(|event_type| values.of(event_type)));
    put(headers, DELIVERY_ID, values.of(parcel.delivery));
    put(headers, ATTEMPT, values.of(parcel.attempt));
    put(headers, RECEIVED_AT, values.of(received.received_at));
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

/// A copy of the sender's headers with room for more. The ingress keeps end-to-end headers only; an event
/// that came another way must not smuggle anything about the connection either.
fn end_to_end(sent: &HeaderMap, more: usize) -> HeaderMap {
    let mut headers = sent.clone();
    headers.reserve(more);
    if sent.keys().any(is_of_the_connection) {
        for name in sent.keys().filter(|name| is_of_the_connection(name)) {
            headers.remove(name);
        }
    }
    headers
}

/// Headers that say something about one connection or its framing, which is ours to say.
fn is_of_the_connection(name: &HeaderName) -> bool {
    [
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        HOST,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ]
    .contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// The destination's path and query with the sender's query after it, as it was sent: an empty one (`/path?`)
/// is empty there too.
fn target(own: &Uri, query: Option<&str>) -> Uri {
    let Some(query) = query else { return own.clone() };
    let separator = match own.query() {
        Some(_) if query.is_empty() => return own.clone(),
        Some(_) => '&',
        None => '?',
    };
    // A query that came over HTTP can go out over HTTP; should one not, the event goes without it.
    format!("{own}{separator}{query}").parse::<PathAndQuery>().map_or_else(|_| own.clone(), Uri::from)
}

/// Makes header values that share one allocation.
struct Values(BytesMut);

// === impl Values ===

impl Values {
    /// The value as text; `None` where that cannot be the value of a header.
    fn of(&mut self, value: impl Display) -> Option<HeaderValue> {
        // What is left of a value that failed half way must not start the next one.
        self.0.clear();
        write!(self.0, "{value}").ok()?;
        HeaderValue::from_maybe_shared(self.0.split().freeze()).ok()
    }
}
