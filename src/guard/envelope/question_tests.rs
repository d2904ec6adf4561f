//! What the envelope takes for id and type, and what it refuses.

use bytes::Bytes;
use http::Request;

use super::*;
use crate::guard::signature::{Scheme, presets};

type Read = (Option<&'static str>, bool, Option<&'static str>);

#[track_caller]
fn check_scheme(scheme: &Scheme, headers: &[(&str, &str)], body: &str, expected: Result<Read, Reason>) {
    let mut request = Request::post("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::copy_from_slice(body.as_bytes())).expect("a request");
    let mut facts = Facts::default();
    let answer = Envelope::new(Config::of(scheme)).check(Head::of(&request), request.body(), &mut facts);
    let read =
        answer.map(|()| (facts.source_event_id.as_deref(), facts.source_event_id_signed, facts.event_type.as_deref()));
    assert_eq!(read.map_err(|rejection| rejection.reason), expected, "{headers:?} {body}");
}

#[track_caller]
fn check(headers: &[(&str, &str)], body: &str, expected: Result<Read, Reason>) {
    check_scheme(&presets::APPMINT.scheme(), headers, body, expected);
}

const ID: &str = "x-appmint-event-id";
const TYPE: &str = "x-appmint-event-type";

#[test]
fn id_and_type_come_from_the_signed_body() {
    check(&[], r#"{"id":"e1","type":"a.b"}"#, Ok((Some("e1"), true, Some("a.b"))));
    check(&[(ID, "e1"), (TYPE, "other")], r#"{"id":"e1","type":"a.b"}"#, Ok((Some("e1"), true, Some("a.b"))));
    check(&[], r#"{"id":7,"type":"a.b"}"#, Ok((Some("7"), true, Some("a.b"))));
    check(&[(ID, "e1"), (ID, "e1")], r#"{"id":"e1","type":"a"}"#, Ok((Some("e1"), true, Some("a"))));
}

#[test]
fn a_header_serves_only_where_the_body_has_none() {
    check(&[(ID, "e1"), (TYPE, "a")], "{}", Ok((Some("e1"), false, Some("a"))));
    check(&[(ID, "e1")], r#"{"id":null,"type":"a"}"#, Ok((Some("e1"), false, Some("a"))));
    check(&[(ID, "e1")], r#"{"id":"","type":"a"}"#, Ok((Some("e1"), false, Some("a"))));
    check(&[(ID, "e1")], r#"{"id":{},"type":"a"}"#, Err(Reason::EventIdMissing));
}

#[test]
fn an_id_that_differs_is_refused() {
    check(&[(ID, "e2")], r#"{"id":"e1","type":"a"}"#, Err(Reason::EventIdMismatch));
    check(&[(ID, "E1")], r#"{"id":"e1","type":"a"}"#, Err(Reason::EventIdMismatch));
    check(&[(ID, "e1"), (ID, "e2")], r#"{"id":"e1","type":"a"}"#, Err(Reason::EventIdMismatch));
    check(&[(ID, "e1"), (ID, "e2")], r#"{"type":"a"}"#, Err(Reason::EventIdMismatch));
}

#[test]
fn what_the_scheme_needs_must_be_there() {
    check(&[], r#"{"type":"a"}"#, Err(Reason::EventIdMissing));
    check(&[], r#"{"id":"e1"}"#, Err(Reason::EventTypeMissing));
    check(&[], r#"{"id":"e1","type":[]}"#, Err(Reason::EventTypeMissing));
    check(&[], r#"{"id":"e1","type":""}"#, Err(Reason::EventTypeMissing));
    check(&[], r#"{"data":{"id":"e1","type":"a"}}"#, Err(Reason::EventIdMissing));
    check(&[], "[]", Err(Reason::EventIdMissing));
}

#[test]
fn id_and_type_are_bounded_text_on_one_line() {
    let body = |bytes: usize| format!(r#"{{"id":"{}","type":"a"}}"#, "e".repeat(bytes));
    let longest: &'static str = Box::leak("e".repeat(255).into_boxed_str());
    check(&[], &body(255), Ok((Some(longest), true, Some("a"))));
    check(&[], &body(256), Err(Reason::EventIdMissing));
    check(&[], r#"{"id":"e\r\nx: y","type":"a"}"#, Err(Reason::EventIdMissing));
    check(&[], r#"{"id":"e","type":"a\u0000"}"#, Err(Reason::EventTypeMissing));
    check(&[], r#"{"id":"e\ud800","type":"a"}"#, Err(Reason::EventIdMissing));
}

#[test]
fn what_cannot_be_read_is_refused_by_its_reason() {
    check(&[], "", Err(Reason::BodyNotJson));
    check(&[], "id=e1", Err(Reason::BodyNotJson));
    check(&[], r#"{"id":"e1","type":"a"}x"#, Err(Reason::BodyNotJson));
    check(&[], r#"{"id":"e1","type":"a","id":"e1"}"#, Err(Reason::BodyDuplicateKey));
    check(&[], r#"{"id":"e1","type":"a","type":"b"}"#, Err(Reason::BodyDuplicateKey));
    check(&[], &format!(r#"{{"id":"e1","type":"a","data":{}1"#, "[".repeat(200)), Err(Reason::BodyTooDeep));
    check(&[("content-encoding", "br")], "{}", Err(Reason::ContentEncodingUnknown));
}

#[test]
fn a_scheme_with_a_signed_id_header_takes_any_body() {
    let scheme = presets::STANDARD_WEBHOOKS.scheme();
    let id = [("webhook-id", "m1")];
    check_scheme(&scheme, &id, r#"{"type":"a"}"#, Ok((Some("m1"), true, Some("a"))));
    check_scheme(&scheme, &id, "not json", Ok((Some("m1"), true, None)));
    check_scheme(&scheme, &[("webhook-id", "m1"), ("content-encoding", "br")], "?", Ok((Some("m1"), true, None)));
    check_scheme(&scheme, &id, r#"{"type":{}}"#, Ok((Some("m1"), true, None)));
    check_scheme(&scheme, &id, r#"{"type":"a","type":"b"}"#, Err(Reason::BodyDuplicateKey));
    check_scheme(&scheme, &[], "{}", Err(Reason::EventIdMissing));
}

#[test]
fn an_id_that_the_proof_does_not_cover_is_marked() {
    let hmac = Scheme::hmac(Default::default(), "header:x-id".parse().ok(), None);
    check_scheme(&hmac, &[("x-id", "m1")], "not json", Ok((Some("m1"), false, None)));
    let token = Scheme::token(Default::default(), "body:/id".parse().ok(), None);
    check_scheme(&token, &[], r#"{"id":1}"#, Ok((Some("1"), true, None)));
    let none = Scheme::none("body:/id".parse().ok(), None);
    check_scheme(&none, &[], r#"{"id":1}"#, Ok((Some("1"), false, None)));
}
