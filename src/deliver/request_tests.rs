//! What goes out for an event, header by header.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::request::{Parcel, write};
use super::{Endpoint, EndpointUrl, KeepSignatures, Resign, SignatureMode, SigningKey};
use crate::domain::{Clock, Event, IdMint, NewEvent, Secret, Seq, Timestamp};

const RECEIVED: Timestamp = Timestamp(1_763_921_045_678);

fn event(headers: &[(&'static str, &str)]) -> Event {
    let seq = Seq::first_at(RECEIVED);
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let received = NewEvent {
        source: Arc::from("appmint"),
        source_event_id: Some("evt_theirs".into()),
        event_type: Some("payment.failed".into()),
        project: Arc::from("default"),
        received_at: RECEIVED,
        method: Method::POST,
        query: None,
        headers,
        body: Bytes::from_static(b"{ \"a\" : 1 }\r\n\0\xff"),
        signed_at: None,
        secret_index: Some(0),
    };
    Event { id: IdMint::new([7; 16]).event(seq), seq, received }
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(EndpointUrl::parse(url).unwrap())
}

/// A head as a server reads it.
struct Written {
    line: String,
    headers: HeaderMap,
}

fn request(endpoint: &Endpoint, event: &Event, resign: &dyn Resign) -> Written {
    let delivery = IdMint::new([7; 16]).delivery(event.seq, 1);
    let clock = Clock::manual(RECEIVED.plus(Duration::from_secs(10)));
    let mut head = Vec::new();
    write(&mut head, endpoint, Parcel { event, delivery, attempt: 3 }, &clock, resign);
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut fields);
    assert_eq!(parsed.parse(&head), Ok(httparse::Status::Complete(head.len())), "{}", String::from_utf8_lossy(&head));
    let mut headers = HeaderMap::new();
    for field in parsed.headers.iter() {
        headers.append(field.name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(field.value).unwrap());
    }
    let line = format!("{} {}", parsed.method.unwrap(), parsed.path.unwrap());
    Written { line, headers }
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
    lines.sort();
    lines
}

#[test]
fn an_event_goes_out_as_it_came_with_what_hookward_adds() {
    let event = event(&[
        ("content-type", "application/json; charset=utf-8"),
        ("content-encoding", "gzip"),
        ("x-appmint-signature", "sha256=00"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
    ]);
    let request = request(&endpoint("http://crm:8080/hooks"), &event, &KeepSignatures);
    let id = event.id.to_string();
    let delivery = IdMint::new([7; 16]).delivery(event.seq, 1).to_string();
    assert_eq!(request.line, "POST /hooks");
    assert_eq!(
        lines(&request.headers),
        [
            "content-encoding: gzip",
            "content-length: 15",
            "content-type: application/json; charset=utf-8",
            "cookie: a=b",
            "cookie: c=d",
            "hookward-attempt: 3",
            &format!("hookward-delivery-id: {delivery}"),
            &format!("hookward-event-id: {id}"),
            "hookward-event-type: payment.failed",
            "hookward-received-at: 2025-11-23T18:04:05.678Z",
            "hookward-source-event-id: evt_theirs",
            "hookward-source: appmint",
            "host: crm:8080",
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "x-appmint-signature: sha256=00",
        ]
    );
}

#[track_caller]
fn check_target(url: &str, query: Option<&str>, expected: &str) {
    let mut event = event(&[]);
    event.received.query = query.map(Into::into);
    assert_eq!(request(&endpoint(url), &event, &KeepSignatures).line, format!("POST {expected}"));
}

#[test]
fn the_query_of_the_sender_follows_the_destinations_own() {
    check_target("http://crm", Some("a=%20b&c"), "/?a=%20b&c");
    check_target("http://crm/x?y=z", Some("a=b"), "/x?y=z&a=b");
    check_target("http://crm/x?y=z", None, "/x?y=z");
    check_target("http://crm/x?y=z", Some(""), "/x?y=z");
    check_target("http://crm/x", Some(""), "/x?");
    check_target("http://crm/x", Some("not a query"), "/x");
}

#[test]
fn headers_of_a_connection_never_go_out() {
    let event = event(&[
        ("connection", "close, x-hop"),
        ("transfer-encoding", "chunked"),
        ("content-length", "3"),
        ("host", "elsewhere"),
        ("keep-alive", "1"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("proxy-authorization", "Basic eA=="),
        ("x-stays", "yes"),
    ]);
    let request = request(&endpoint("http://crm"), &event, &KeepSignatures);
    let sent: Vec<_> = lines(&request.headers).into_iter().filter(|line| !line.starts_with("hookward-")).collect();
    assert_eq!(sent, ["content-length: 15", "host: crm", "x-stays: yes"]);
}

#[test]
fn a_value_that_no_header_can_have_is_left_out() {
    let mut event = event(&[]);
    event.received.event_type = Some("a\r\nx-injected: 1".into());
    event.received.source_event_id = Some("ключ".into());
    let request = request(&endpoint("http://crm"), &event, &KeepSignatures);
    assert!(!request.headers.contains_key("hookward-event-type"));
    assert!(!request.headers.contains_key("x-injected"));
    assert_eq!(request.headers["hookward-source-event-id"].as_bytes(), "ключ".as_bytes());
    assert_eq!(request.headers["hookward-attempt"], "3");
}

#[test]
fn the_destinations_headers_and_credentials_replace_the_senders() {
    let mut endpoint = endpoint("http://crm");
    endpoint.headers.remove = vec![HeaderName::from_static("cookie")];
    endpoint.headers.add.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    endpoint.auth = Some(HeaderValue::from_static("Bearer ours"));
    let event = event(&[("cookie", "a=b"), ("content-type", "application/json"), ("authorization", "Basic dGhlaXJz")]);
    let request = request(&endpoint, &event, &KeepSignatures);
    assert!(!request.headers.contains_key("cookie"));
    assert_eq!(request.headers.get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(), ["text/plain"]);
    assert_eq!(request.headers.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), ["Bearer ours"]);
}

#[test]
fn our_signature_steps_aside_for_the_senders_trio() {
    let mut endpoint = endpoint("http://crm");
    endpoint.sign = Some(SigningKey::from_secret(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap());
    let plain = request(&endpoint, &event(&[]), &KeepSignatures);
    assert_eq!(plain.headers["webhook-id"], event(&[]).id.to_string());
    assert_eq!(plain.headers["webhook-timestamp"], "1763921055");
    assert!(plain.headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    let theirs = [("webhook-id", "msg_1"), ("webhook-timestamp", "5"), ("webhook-signature", "v1,theirs")];
    let both = request(&endpoint, &event(&theirs), &KeepSignatures);
    assert_eq!(both.headers["webhook-signature"], "v1,theirs");
    assert_eq!(both.headers["hookward-webhook-signature"], plain.headers["webhook-signature"]);
    assert_eq!(both.headers["hookward-webhook-id"], plain.headers["webhook-id"]);
}

struct Stamp;

impl Resign for Stamp {
    fn resign(&self, _event: &Event, mode: SignatureMode, clock: &Clock) -> Vec<(HeaderName, HeaderValue)> {
        let stamp = format!("{mode:?} {}", clock.wall().0 - RECEIVED.0);
        vec![(HeaderName::from_static("x-signature"), HeaderValue::from_str(&stamp).unwrap())]
    }
}

#[test]
fn the_senders_signature_is_renewed_where_the_destination_lets_it() {
    let mut endpoint = endpoint("http://crm");
    let mut resigned = |mode, sent: &[(&'static str, &str)]| {
        endpoint.signature = mode;
        let headers = request(&endpoint, &event(sent), &Stamp).headers;
        ["x-signature", "hookward-original-x-signature", "x-stays"]
            .map(|name| {
                headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
            })
            .concat()
    };
    assert_eq!(resigned(SignatureMode::Auto, &[]), ["Auto 10000"]);
    let theirs = [("x-signature", "theirs"), ("x-stays", "yes")];
    assert_eq!(resigned(SignatureMode::Refresh, &theirs), ["Refresh 10000", "theirs", "yes"]);
    assert_eq!(resigned(SignatureMode::Keep, &theirs), ["theirs", "yes"]);
    assert_eq!(resigned(SignatureMode::Auto, &[("x-signature", "Auto 10000")]), ["Auto 10000"]);
}

#[test]
fn a_forged_field_of_ours_does_not_go_out() {
    let event = event(&[("hookward-event-id", "evt_forged"), ("hookward-anything", "forged")]);
    let request = request(&endpoint("http://crm"), &event, &KeepSignatures);
    assert_eq!(request.headers.get_all("hookward-event-id").iter().count(), 1);
    assert_eq!(request.headers["hookward-event-id"], event.id.to_string());
    assert!(!request.headers.contains_key("hookward-anything"));
}
