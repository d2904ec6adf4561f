//! Each provider's question and its answer; and what looks like one and is none.

use http::Request;

use super::*;
use crate::guard::signature::{Config, Scheme};

/// A request as `METHOD target`, its headers, and its body.
type Asked<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

fn handshakes(scheme: &str, verify_token: Option<&str>) -> Handshakes {
    let scheme = Scheme::named(scheme).expect("a preset");
    let known = scheme.handshakes;
    let secret = if scheme.secret_is_public() { "00".repeat(32) } else { "secret".to_owned() };
    let config = Config { scheme, secrets: vec![Secret::new(secret)], public_url: None };
    let verifier = Arc::new(Verifier::new(&config).expect("a verifier"));
    Handshakes::new(known, &[Method::POST], verify_token.map(Secret::new), verifier).expect("it has handshakes")
}

/// Status, content type and body of the answer; `None` where the request goes on.
fn ask(handshakes: &Handshakes, (line, headers, body): Asked<'_>) -> Option<(u16, String, String)> {
    let (method, target) = line.split_once(' ').expect("a method and a target");
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    let head = Head::of(&request);
    let facts = Facts { secret_index: Some(0), ..Facts::default() };
    let answer = handshakes.of_head(head).and_then(|own| match own {
        Some(own) => Ok(Some(own)),
        None => match handshakes.of_body(false, head, body.as_bytes(), &facts)? {
            Some(own) => Ok(Some(own)),
            None => handshakes.of_body(true, head, body.as_bytes(), &facts),
        },
    });
    match answer {
        Err(rejection) => Some((rejection.reason.status().as_u16(), String::new(), String::new())),
        Ok(own) => own.map(|own| {
            assert!(own.extensions().get::<Handshaken>().is_some());
            let kind = own.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().expect("text").to_owned());
            let body = String::from_utf8(own.body().to_vec()).expect("text");
            (own.status().as_u16(), kind.unwrap_or_default(), body)
        }),
    }
}

#[track_caller]
fn check(scheme: &str, asked: Asked<'_>, expected: Option<(u16, &str, &str)>) {
    let answer = ask(&handshakes(scheme, Some("the token")), asked);
    let expected = expected.map(|(status, kind, body)| (status, kind.to_owned(), body.to_owned()));
    assert_eq!(answer, expected, "{scheme} {asked:?}");
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

#[test]
fn what_stands_in_the_body_is_echoed() {
    check("slack", ("POST /", &[], r#"{"type":"url_verification","challenge":"abc"}"#), Some((200, TEXT, "abc")));
    check("slack", ("POST /", &[], r#"{"type":"event_callback","challenge":"abc"}"#), None);
    check("slack", ("POST /", &[], "payload=%7B%7D"), None);
    check("slack", ("POST /", &[], r#"{"type":"url_verification"}"#), Some((400, "", "")));
    let verification = [("twitch-eventsub-message-type", "webhook_callback_verification")];
    check("twitch", ("POST /", &verification, r#"{"challenge":"<b>"}"#), Some((200, TEXT, "<b>")));
    check("twitch", ("POST /", &[("twitch-eventsub-message-type", "notification")], r#"{"challenge":"a"}"#), None);
    let long = format!(r#"{{"type":"url_verification","challenge":"{}"}}"#, "a".repeat(5000));
    check("slack", ("POST /", &[], &long), Some((400, "", "")));
}

#[test]
fn what_stands_in_the_query_is_echoed_and_other_gets_are_no_events() {
    let target = "GET /?hub.mode=subscribe&hub.challenge=1%2B1&hub.verify_token=the%20token";
    check("meta", (target, &[], ""), Some((200, TEXT, "1+1")));
    check("meta", ("GET /?hub.mode=subscribe&hub.challenge=1&hub.verify_token=other", &[], ""), Some((401, "", "")));
    check("meta", ("GET /?hub.mode=subscribe&hub.challenge=1", &[], ""), Some((401, "", "")));
    check("meta", ("GET /?hub.mode=unsubscribe&hub.challenge=1", &[], ""), Some((405, "", "")));
    check("meta", ("POST /", &[], r#"{"object":"page"}"#), None);
    check("dropbox", ("GET /?challenge=abc", &[], ""), Some((200, TEXT, "abc")));
    check("dropbox", ("GET /", &[], ""), Some((405, "", "")));
    let open = handshakes("meta", None);
    assert_eq!(ask(&open, ("GET /?hub.mode=subscribe&hub.challenge=1", &[], "")).map(|answer| answer.0), Some(200));
}

#[test]
fn what_asks_for_proof_gets_it() {
    // printf plain | openssl dgst -sha256 -hmac secret
    let made = "a237566e044b73e6a1e54bd59974547487fa5f8143025ce0d04d82e7ee4c5e34";
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"plain"}}"#;
    let expected = format!(r#"{{"encryptedToken":"{made}","plainToken":"plain"}}"#);
    check("zoom", ("POST /", &[], body), Some((200, JSON, &expected)));
    check("zoom", ("POST /", &[], r#"{"event":"meeting.started","payload":{"plainToken":"plain"}}"#), None);
    let answer = ask(&handshakes("x", None), ("GET /?crc_token=abc", &[], "")).expect("an answer");
    // printf abc | openssl dgst -sha256 -hmac secret -binary | base64
    let expected = r#"{"response_token":"sha256=mUba1OAOkT/Ivo5dP34RCkqegy+D+wnDRShdeGONig4="}"#;
    assert_eq!((answer.1.as_str(), answer.2.as_str()), (JSON, expected));
}

#[test]
fn pings_are_answered_and_events_are_not() {
    check("discord", ("POST /", &[], r#"{"type":1,"id":"1"}"#), Some((200, JSON, r#"{"type":1}"#)));
    check("discord", ("POST /", &[], r#"{"type":2,"id":"1"}"#), None);
    check("discord", ("POST /", &[], r#"{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}"#), None);
    check("discord", ("POST /", &[], r#"{"version":1,"type":0}"#), Some((204, "", "")));
    for scheme in ["xero", "line"] {
        check(scheme, ("POST /", &[], r#"{"events":[],"entropy":"abc"}"#), Some((200, "", "")));
        check(scheme, ("POST /", &[], r#"{"events":[{}]}"#), None);
        check(scheme, ("POST /", &[], r#"{"events":{}}"#), None);
        check(scheme, ("POST /", &[], "{}"), None);
    }
    check("intercom", ("HEAD /", &[], ""), Some((200, "", "")));
    let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    check("woocommerce", ("POST /", &[form], "webhook_id=1"), Some((200, "", "")));
    check("woocommerce", ("POST /", &[form, ("x-wc-webhook-signature", "a")], "webhook_id=1"), None);
    check("woocommerce", ("POST /", &[("content-type", JSON)], "{}"), None);
}

#[test]
fn senders_without_a_scheme_have_handshakes_by_name() {
    let named = |name: &str, asked: Asked<'_>| {
        let (_, known) = super::super::known::BY_NAME.iter().find(|(known, _)| *known == name).expect("known");
        let verifier =
            Verifier::new(&Config { scheme: Scheme::none(None, None), secrets: Vec::new(), public_url: None });
        let verifier = Arc::new(verifier.expect("a verifier"));
        let handshakes = Handshakes::new(known, &[Method::POST], None, verifier).expect("it has handshakes");
        (handshakes.waits_for_body(Head::of(&Request::post("/").body(()).expect("a request"))), ask(&handshakes, asked))
    };
    let answer = |name: &str, asked: Asked<'_>| named(name, asked).1.map(|(status, _, body)| (status, body));
    let ok = |body: &str| Some((200, body.to_owned()));
    assert_eq!(answer("monday", ("POST /", &[], r#"{"challenge":"a\"b"}"#)), ok(r#"{"challenge":"a\"b"}"#));
    assert_eq!(answer("monday", ("POST /", &[], r#"{"event":{}}"#)), None);
    assert!(named("monday", ("POST /", &[], "{}")).0 && !named("okta", ("POST /", &[], "{}")).0);
    let okta = [("x-okta-verification-challenge", "abc")];
    assert_eq!(answer("okta", ("GET /", &okta, "")), ok(r#"{"verification":"abc"}"#));
    assert_eq!(answer("microsoft-graph", ("POST /?validationToken=a%3a+b", &[], "")), ok("a: b"));
    let target = "GET /?hub.mode=subscribe&hub.challenge=15f7";
    assert_eq!(answer("strava", (target, &[], "")), ok(r#"{"hub.challenge":"15f7"}"#));
    let origin = [("webhook-request-origin", "eventgrid.azure.net"), ("webhook-request-rate", "120")];
    assert_eq!(answer("cloudevents", ("OPTIONS /", &origin, "")), ok(""));
    assert_eq!(answer("cloudevents", ("OPTIONS /", &[], "")).map(|answer| answer.0), Some(405));
}
