//! Which fields of the app's answer go back to the sender (RFC 9110 section 7.6.1).

use http::header::{CONTENT_LENGTH, HeaderName, TRAILER};
use http::{HeaderMap, HeaderValue};

use super::headers::is_protected;
use crate::domain::EventId;
use crate::domain::id::TEXT_CHARS;

/// Takes away what was meant for us, and what only we say.
///
/// `keeps_length`: the answer speaks about a body that it does not carry; else the length is that of the body, which
/// the server writes itself. `with_trailers`: the sender said that it takes trailers.
pub(super) fn clean(headers: &mut HeaderMap, keeps_length: bool, with_trailers: bool) {
    // One look at every field, where each that is looked up by its name would be found by its hash: most answers have none.
    let mut gone: Vec<HeaderName> = Vec::new();
    let mut length = None;
    for (name, value) in headers.iter() {
        match name.as_str() {
            "connection" => {
                gone.push(name.clone());
                gone.extend(names(value).filter(|name| !is_protected(name)));
            }
            "keep-alive" | "proxy-authenticate" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade" => {
                gone.push(name.clone());
            }
            "content-length" => length = Some(value.clone()),
            "trailer" if !with_trailers => gone.push(name.clone()),
            // What only we say.
            other if other.starts_with("hookward-") => gone.push(name.clone()),
            _ => {}
        }
    }
    for name in &gone {
        headers.remove(name);
    }
    match length {
        // Of several that say the same one stays.
        Some(length) if keeps_length => drop(headers.insert(CONTENT_LENGTH, length)),
        Some(_) => drop(headers.remove(CONTENT_LENGTH)),
        None => {}
    }
}

/// The names that a field's value lists.
fn names(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    value.to_str().unwrap_or_default().split(',').filter_map(|name| name.trim().parse().ok())
}

/// The trailers that an answer announces, after [`clean`].
pub(super) fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    headers.get_all(TRAILER).iter().flat_map(names).collect()
}

/// Says which event it was.
pub(super) fn name_event(headers: &mut HeaderMap, event: EventId) {
    let mut text = [0; EventId::PREFIX.len() + TEXT_CHARS];
    let (prefix, digits) = text.split_at_mut(EventId::PREFIX.len());
    prefix.copy_from_slice(EventId::PREFIX.as_bytes());
    digits.copy_from_slice(&event.digits());
    if let Ok(id) = HeaderValue::from_bytes(&text) {
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
