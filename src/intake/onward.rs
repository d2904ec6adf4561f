//! The fields of a request as the app gets them: the sender's end-to-end fields as they came, who it came from
//! (RFC 7239, X-Forwarded-*), which way it came (Via), and what hookward knows of the event.

use http::header::{HOST, HeaderName, TE, VIA};
use http::request::Parts;
use http::{HeaderMap, Version};

use super::forwarding::{self, Origin};
use super::headers::{is_protected, mark_reported, named_by_connection};
use crate::domain::headers::is_end_to_end;
use crate::domain::{EventId, Facts, HeaderBlockBuilder, Timestamp};

/// What hookward says of the event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours<'a> {
    pub(super) event: EventId,
    pub(super) source: &'a str,
    pub(super) received_at: Timestamp,
    /// Nobody could tell whether it is a copy.
    pub(super) is_unchecked: bool,
}

/// Our name in `Via`.
const PSEUDONYM: &str = "hookward";

/// A request that passed through hookward so often goes in circles.
const PASSES_MAX: usize = 8;

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Room for the fields that we add: what they take where nobody has a long name.
const OURS_BYTES: usize = 640;

/// The fields of a request that is passed on; `with_trailers` says that the sender takes trailers.
pub(super) fn headers(
    head: &Parts,
    facts: &Facts,
    needed: &[HeaderName],
    ours: &Ours<'_>,
    with_trailers: bool,
) -> HeaderBlockBuilder {
    let is_trusted = facts.hop.is_some_and(|hop| hop.is_trusted);
    let mut named = named_by_connection(&head.headers);
    named.retain(|name| !needed.contains(name) && !is_protected(name));
    let mut out = HeaderBlockBuilder::with_room(&head.headers, OURS_BYTES);
    for (name, value) in &head.headers {
        if is_end_to_end(name.as_str()) && !is_said_by_proxies(name, is_trusted) && !named.contains(name) {
            out.add_end_to_end(name, value);
        }
    }
    let host = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| head.headers.get(HOST).map(http::HeaderValue::as_bytes));
    let hop = facts.hop;
    let origin = Origin {
        peer: hop.map(|hop| hop.peer).or(facts.client),
        proto: if hop.is_some_and(|hop| hop.is_https) { "https" } else { "http" },
        host: host.unwrap_or_default(),
    };
    forwarding::write(&mut out, is_trusted.then_some(&head.headers), &origin);
    if with_trailers {
        out.add_ours("te", &[b"trailers"]);
        // RFC 9110 section 10.1.4: whoever sends TE says that it is for the next hop only.
        out.add_ours("connection", &[b"te"]);
    }
    out.add_ours("via", &[protocol(head.version).as_bytes(), b" ", PSEUDONYM.as_bytes()]);
    describe(&mut out, facts, ours);
    out
}

/// Whether a request comes back to us again and again.
pub(super) fn is_in_circles(headers: &HeaderMap) -> bool {
    let values = headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok());
    let passes = values.flat_map(|value| value.split(',')).filter(|entry| received_by(entry) == Some(PSEUDONYM));
    passes.count() >= PASSES_MAX
}

/// Whether the sender takes trailers (RFC 9110 section 6.5.1).
pub(super) fn wants_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// The name in one entry of `Via`.
fn received_by(entry: &str) -> Option<&str> {
    entry.split_ascii_whitespace().nth(1)
}

/// Fields that apps believe, since proxies set them: written anew, or, from a stranger, left out.
fn is_said_by_proxies(name: &HeaderName, is_trusted: bool) -> bool {
    match name.as_str().as_bytes() {
        [b'f' | b'x', ..] if forwarding::is_rewritten(name) => true,
        [b'x', ..] if !is_trusted => *name == X_REAL_IP || name.as_str().starts_with("x-forwarded-"),
        _ => false,
    }
}

/// RFC 9110 section 7.6.3: the protocol in which the request was received.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn describe(out: &mut HeaderBlockBuilder, facts: &Facts, ours: &Ours<'_>) {
    out.add_ours("hookward-event-id", &[EventId::PREFIX.as_bytes(), &ours.event.digits()]);
    out.add_ours("hookward-source", &[ours.source.as_bytes()]);
    if let Some(id) = &facts.source_event_id {
        out.add_ours("hookward-source-event-id", &[id.as_bytes()]);
    }
    if let Some(event_type) = &facts.event_type {
        out.add_ours("hookward-event-type", &[event_type.as_bytes()]);
    }
    mark_reported(out, &facts.reported);
    if ours.is_unchecked {
        out.add_ours("hookward-dedup", &[b"off"]);
    }
    if let Some(received_at) = ours.received_at.rfc3339() {
        out.add_ours("hookward-received-at", &[&received_at]);
    }
}

#[cfg(test)]
#[path = "onward_tests.rs"]
mod tests;
