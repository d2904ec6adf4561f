//! Which fields of the app's answer go back to the sender (RFC 9110 section 7.6.1).

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use super::headers::{is_protected, named_by_connection};
use crate::domain::EventId;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, KEEP_ALIVE, PROXY_AUTHENTICATE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];

/// Takes away what was meant for us, and what only we say.
///
/// `keeps_length`: the answer speaks about a body that it does not carry; else the length is that of the body, which
/// the server writes itself. `with_trailers`: the sender said that it takes trailers.
pub(super) fn clean(headers: &mut HeaderMap, keeps_length: bool, with_trailers: bool) {
    if headers.contains_key(CONNECTION) {
        for name in named_by_connection(headers).iter().filter(|name| !is_protected(name)) {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    match headers.get(CONTENT_LENGTH).cloned() {
        // Of several that say the same one stays.
        Some(length) if keeps_length => drop(headers.insert(CONTENT_LENGTH, length)),
        Some(_) => drop(headers.remove(CONTENT_LENGTH)),
        None => {}
    }
    if !with_trailers {
        headers.remove(TRAILER);
    }
    let ours: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("hookward-")).cloned().collect();
    for name in &ours {
        headers.remove(name);
    }
}

/// The trailers that an answer announces, after [`clean`].
pub(super) fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(TRAILER).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Says which event it was.
pub(super) fn name_event(headers: &mut HeaderMap, event: EventId) {
    if let Ok(id) = HeaderValue::try_from(event.to_string()) {
        headers.insert(HeaderName::from_static("hookward-event-id"), id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &[(&'static str, &'static str)], keeps_length: bool, with_trailers: bool, expected: &[&str]) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        clean(&mut headers, keeps_length, with_trailers);
        let mut left: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn what_was_meant_for_us_does_not_go_back() {
        check(
            &[
                ("connection", "keep-alive, X-Hop, set-cookie"),
                ("keep-alive", "timeout=5"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("te", "trailers"),
                ("trailer", "x-sum"),
                ("proxy-connection", "close"),
                ("proxy-authenticate", "Basic"),
                ("x-hop", "1"),
                ("hookward-duplicate", "true"),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("server", "app"),
            ],
            false,
            false,
            &["server: app"],
        );
    }

    #[test]
    fn a_length_stays_where_the_body_does_not_say_it() {
        check(&[("content-length", "5"), ("content-length", "5")], true, false, &["content-length: 5"]);
        check(&[("content-length", "5")], false, false, &[]);
        check(&[("trailer", "x-sum")], false, true, &["trailer: x-sum"]);
    }
}
