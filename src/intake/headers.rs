//! Which headers of a request belong to the event.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName};

/// What a header of ours starts with; a sender cannot send one.
const OURS: &str = "hookward-";

/// Fields that speak about the connection or the message's framing, not about the event (RFC 9110 section 7.6.1).
const NOT_END_TO_END: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Leaves the end-to-end headers: everything but hop-by-hop fields, framing, `Host` and `Hookward-*`.
///
/// `Connection` may name further fields as hop-by-hop; they go too, but for those in `kept`: a client must
/// not be able to strip a field that the signature or the event needs.
pub fn keep_end_to_end(headers: &mut HeaderMap, kept: &[HeaderName]) {
    if headers.contains_key(CONNECTION) {
        for name in named_by_connection(headers) {
            if !kept.contains(&name) && !is_content_field(&name) {
                headers.remove(&name);
            }
        }
    }
    for name in &NOT_END_TO_END {
        headers.remove(name);
    }
    if headers.keys().any(is_ours) {
        let ours: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
        for name in ours {
            headers.remove(&name);
        }
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with(OURS)
}

/// `Content-Type` and its kin say how to read the body: never hop-by-hop, whatever a client claims.
fn is_content_field(name: &HeaderName) -> bool {
    name.as_str().starts_with("content-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &[(&'static str, &'static str)], kept: &[&'static str], expected: &[&str]) {
        let mut headers: HeaderMap = sent
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect();
        let kept: Vec<HeaderName> = kept.iter().map(|name| HeaderName::from_static(name)).collect();
        keep_end_to_end(&mut headers, &kept);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
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
