//! Which headers of a request belong to the event.

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};

use crate::domain::headers::{REPORTED, is_end_to_end};
use crate::domain::{HeaderBlockBuilder, Reason, RejectionId};

/// The end-to-end headers: everything but hop-by-hop fields, framing, `Host` and `Hookward-*`.
///
/// `Connection` may name further fields as hop-by-hop; they go too, but for those in `kept`: a client must
/// not be able to strip a field that the signature or the event needs.
#[must_use]
pub fn end_to_end(headers: &HeaderMap, kept: &[HeaderName]) -> HeaderBlockBuilder {
    let mut named = named_by_connection(headers);
    named.retain(|name| !kept.contains(name) && !is_protected(name));
    let mut block = HeaderBlockBuilder::with_capacity(headers);
    for (name, value) in headers {
        if is_end_to_end(name.as_str()) && !named.contains(name) {
            block.add(name, value);
        }
    }
    block
}

/// Says what guards would have refused the request for, where they only report.
pub(super) fn mark_reported(out: &mut HeaderBlockBuilder, reported: &[(RejectionId, Reason)]) {
    if !reported.is_empty() {
        let codes: Vec<&str> = reported.iter().map(|(_, reason)| reason.code()).collect();
        out.add_ours(REPORTED, &[codes.join(", ").as_bytes()]);
    }
}

/// The fields that `Connection` names as meant for one hop.
pub(super) fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

/// Fields that are for all recipients, whatever a client claims: those that say how to read the body, who asks, and
/// which way the request came (RFC 9110 section 7.6.1 forbids to nominate such).
pub(super) fn is_protected(name: &HeaderName) -> bool {
    matches!(name.as_str(), "authorization" | "cache-control" | "cookie" | "forwarded" | "host" | "via" | "x-real-ip")
        || name.as_str().starts_with("content-")
        || name.as_str().starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &[(&'static str, &'static str)], kept: &[&'static str], expected: &[&str]) {
        let headers: HeaderMap = sent
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect();
        let kept: Vec<HeaderName> = kept.iter().map(|name| HeaderName::from_static(name)).collect();
        let block = end_to_end(&headers, &kept).finish();
        let mut left: Vec<&str> = block.iter().map(|(name, _)| name).collect();
        left.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn only_end_to_end_headers_of_the_sender_are_left() {
        check(
            &[
                ("host", "a"),
                ("content-length", "2"),
                ("transfer-encoding", "chunked"),
                ("te", "trailers"),
                ("keep-alive", "timeout=5"),
                ("hookward-event-id", "evt_forged"),
                ("content-type", "application/json"),
                ("user-agent", "x"),
            ],
            &[],
            &["content-type", "user-agent"],
        );
    }

    #[test]
    fn connection_strips_what_it_names_but_never_what_the_event_needs() {
        check(
            &[
                ("connection", "close, x-hop, X-Signature, content-type"),
                ("x-hop", "1"),
                ("x-signature", "2"),
                ("content-type", "text/plain"),
            ],
            &["x-signature"],
            &["content-type", "x-signature"],
        );
    }
}
