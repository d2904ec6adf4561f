//! The fields of a request as the app gets them: the sender's end-to-end fields as they came, who it came from
//! (RFC 7239, X-Forwarded-*), which way it came (Via), and what hookward knows of the event.

use http::header::{FORWARDED, HOST, HeaderName, TE, VIA};
use http::request::Parts;
use http::{HeaderMap, Version};

use super::forwarding::{self, Origin};
use super::headers::{is_protected, named_by_connection};
use crate::domain::headers::is_end_to_end;
use crate::domain::{EventId, Facts, HeaderBlock, HeaderBlockBuilder, Timestamp};

/// What hookward says of the event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours<'a> {
    pub(super) event: EventId,
    pub(super) source: &'a str,
    pub(super) received_at: Timestamp,
}

/// Our name in `Via`.
const PSEUDONYM: &str = "hookward";

/// A request that passed through hookward so often goes in circles.
const PASSES_MAX: usize = 8;

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The fields of a request that is passed on.
pub(super) fn headers(head: &Parts, facts: &Facts, needed: &[HeaderName], ours: &Ours<'_>) -> HeaderBlock {
    let is_trusted = facts.hop.is_some_and(|hop| hop.is_trusted);
    let mut named = named_by_connection(&head.headers);
    named.retain(|name| !needed.contains(name) && !is_protected(name));
    let mut out = HeaderBlockBuilder::with_capacity(&head.headers);
    for (name, value) in &head.headers {
        if is_end_to_end(name.as_str()) && !named.contains(name) && !is_said_by_proxies(name, is_trusted) {
            out.add(name, value);
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
    forwarding::write(&mut out, &head.headers, is_trusted, &origin);
    if wants_trailers(&head.headers) {
        out.try_add(b"te", b"trailers");
        // RFC 9110 section 10.1.4: whoever sends TE says that it is for the next hop only.
        out.try_add(b"connection", b"te");
    }
    out.try_add(b"via", format!("{} {PSEUDONYM}", protocol(head.version)).as_bytes());
    describe(&mut out, facts, ours);
    out.finish()
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
    if *name == FORWARDED || forwarding::is_rewritten(name) {
        return true;
    }
    !is_trusted && (*name == X_REAL_IP || name.as_str().starts_with("x-forwarded-"))
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
    out.try_add(b"hookward-event-id", ours.event.to_string().as_bytes());
    out.try_add(b"hookward-source", ours.source.as_bytes());
    if let Some(id) = &facts.source_event_id {
        out.try_add(b"hookward-source-event-id", id.as_bytes());
    }
    if let Some(event_type) = &facts.event_type {
        out.try_add(b"hookward-event-type", event_type.as_bytes());
    }
    if let Some(received_at) = ours.received_at.rfc3339() {
        out.try_add(b"hookward-received-at", &received_at);
    }
}

#[cfg(test)]
#[path = "onward_tests.rs"]
mod tests;
