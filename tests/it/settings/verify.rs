//! `sources.*.verify`: the keys of `hmac`, `token`, `basic` and `none`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use http::request::Builder;
use http_body_util::Full;

use super::{send, with_source};
use crate::support::{Client, Gateway, Reply, Sink};

const KEY: &[u8] = b"the key of the sender";

fn hmac<D>(message: &str) -> Vec<u8>
where
    D: hmac::EagerHash,
    Hmac<D>: Mac + KeyInit,
{
    let mut mac = <Hmac<D> as KeyInit>::new_from_slice(KEY).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The status of a request to a source with these settings of `verify`.
async fn status(verify: &str, change: impl FnOnce(Builder) -> Builder, body: &str) -> u16 {
    let sink = Sink::start().await;
    let gateway = with_source(&format!("dedup: off, verify: {{ {verify} }}"), &sink).await;
    send(&gateway, change, body.to_owned()).await.status
}

#[tokio::test]
async fn every_setting_of_hmac_counts() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let url = "https://hooks.example.com/in";
    let body = "{\"id\":\"7\",\"kind\":\"paid\"}";
    let signature = URL_SAFE_NO_PAD.encode(hmac::<sha2::Sha512>(&format!("v9:{now}:POST:{url}:i7:{body}")));
    let right = format!(
        "scheme: hmac, secrets: [\"{}\"], header: x-sig, prefix: 'v9=', algorithm: sha512, encoding: base64url, \
         key_encoding: base64, signed: 'v9:{{timestamp}}:{{method}}:{{url}}:{{id}}:{{body}}', timestamp_header: x-time, \
         tolerance: 1m, public_url: '{url}', id: 'header:x-id', type: 'body:/kind'",
        STANDARD.encode(KEY)
    );
    let request = |request: Builder| {
        request.header("x-sig", format!("v9={signature}")).header("x-time", now.to_string()).header("x-id", "i7")
    };
    assert_eq!(status(&right, request, body).await, 200);
    // Each setting by itself makes the difference.
    for (from, to, expected) in [
        ("header: x-sig", "header: x-other", 401),
        ("prefix: 'v9='", "prefix: 'v8='", 401),
        ("sha512", "sha256", 401),
        ("base64url", "hex", 401),
        ("key_encoding: base64", "key_encoding: utf8", 401),
        ("{method}:", "", 401),
        ("timestamp_header: x-time", "timestamp_header: x-id", 401),
        ("https://hooks", "https://other", 401),
        ("id: 'header:x-id'", "id: 'header:x-time'", 401),
        ("type: 'body:/kind'", "type: 'body:/type'", 400),
    ] {
        assert!(right.contains(from), "{from}");
        assert_eq!(status(&right.replacen(from, to, 1), request, body).await, expected, "{from} -> {to}");
    }
}

#[tokio::test]
async fn a_tolerance_bounds_the_age_of_what_is_signed() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let then = now - 120;
    let signature = hex::encode(hmac::<sha2::Sha256>(&format!("{then}.x")));
    let request = |request: Builder| request.header("x-sig", &signature).header("x-time", then.to_string());
    let verify = |tolerance: &str| {
        format!(
            "scheme: hmac, secrets: ['{}'], header: x-sig, signed: '{{timestamp}}.{{body}}', timestamp_header: x-time{tolerance}",
            std::str::from_utf8(KEY).unwrap()
        )
    };
    assert_eq!(status(&verify(""), request, "x").await, 200);
    assert_eq!(status(&verify(", tolerance: 1m"), request, "x").await, 401);
    assert_eq!(status(&verify(", tolerance: 10m"), request, "x").await, 200);
}

#[tokio::test]
async fn any_of_several_secrets_counts() {
    let verify = "scheme: token, header: x-token, secrets: [old-secret, new-secret]";
    for (token, expected) in [("old-secret", 200), ("new-secret", 200), ("no-secret", 401)] {
        assert_eq!(status(verify, |request| request.header("x-token", token), "x").await, expected, "{token}");
    }
}

#[tokio::test]
async fn a_token_stands_in_its_header_behind_its_prefix() {
    let check = async |rest: &str, name: &str, value: &str, expected: u16| {
        let verify = format!("scheme: token, secrets: [a-secret]{rest}");
        let got = status(&verify, |request| request.header(name, value), "x").await;
        assert_eq!(got, expected, "{rest}: {name}: {value}");
    };
    check("", "authorization", "Bearer a-secret", 200).await;
    check("", "authorization", "a-secret", 401).await;
    check(", header: x-token", "x-token", "a-secret", 200).await;
    check(", header: x-token, prefix: 'v1 '", "x-token", "v1 a-secret", 200).await;
    check(", header: x-token, prefix: 'v1 '", "x-token", "a-secret", 401).await;
}

#[tokio::test]
async fn basic_compares_user_and_password() {
    for (credentials, expected) in [("user:password", 200), ("user:other", 401), ("other:password", 401)] {
        let value = format!("Basic {}", STANDARD.encode(credentials));
        let verify = "scheme: basic, secrets: ['user:password']";
        assert_eq!(status(verify, |request| request.header("authorization", value), "x").await, expected);
    }
}

#[tokio::test]
async fn id_and_type_are_found_where_the_configuration_says() {
    let sink = Sink::start().await;
    let gateway =
        with_source("dedup: off, verify: { scheme: none, id: 'header:x-id', type: 'body:/kind' }", &sink).await;
    send(&gateway, |request| request.header("x-id", "i7"), "{\"kind\":\"paid\"}").await;
    let hit = &sink.wait_for(1).await[0];
    assert_eq!((hit.header("hookward-source-event-id"), hit.header("hookward-event-type")), ("i7", "paid"));
    assert_eq!(send(&gateway, |request| request, "{\"kind\":\"paid\"}").await.status, 400);
}

/// The answer to a request of any method.
async fn answer(gateway: &Gateway, request: Builder, body: &str) -> Reply {
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    Client::new(gateway.ingress()).send(request).await.unwrap()
}

#[tokio::test]
async fn handshakes_are_answered_and_nothing_of_them_is_kept() {
    let sink = Sink::start().await;
    let meta = "verify: { scheme: meta, secrets: [app-secret], verify_token: of-the-test }";
    let gateway = with_source(meta, &sink).await;
    let question = |token: &str| format!("/in?hub.mode=subscribe&hub.challenge=42&hub.verify_token={token}");
    let reply = answer(&gateway, Request::get(question("of-the-test")), "").await;
    assert_eq!((reply.status, &*reply.body), (200, b"42".as_slice()), "{reply:?}");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(answer(&gateway, Request::get(question("of-somebody")), "").await.status, 401);
    let other = answer(&gateway, Request::get("/in"), "").await;
    assert_eq!((other.status, other.header("allow")), (405, "POST"), "an event is not sent with GET");
    assert_eq!(answer(&gateway, Request::put("/in"), "").await.status, 405);

    let event = r#"{"object":"whatsapp_business_account","entry":[]}"#;
    let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(b"app-secret").unwrap();
    mac.update(event.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let signed = Request::post("/in").header("content-type", "application/json");
    let reply = answer(&gateway, signed.header("x-hub-signature-256", signature), event).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let hits = sink.wait_for(1).await;
    assert_eq!((hits.len(), &*hits[0].body), (1, event.as_bytes()), "only the event is delivered");
    assert_eq!(gateway.metrics().await.sum("hookward_handshakes_total", &[("source", "a")]), 1.0);

    let gateway = with_source("dedup: off, verify: { scheme: none, handshake: monday }", &sink).await;
    let reply = answer(&gateway, Request::post("/in"), r#"{"challenge":"abc"}"#).await;
    assert_eq!((reply.status, &*reply.body), (200, br#"{"challenge":"abc"}"#.as_slice()), "{reply:?}");
    assert!(reply.headers.get("hookward-event-id").is_none(), "{reply:?}");
    assert!(answer(&gateway, Request::post("/in"), r#"{"event":{}}"#).await.headers.contains_key("hookward-event-id"));
}

#[tokio::test]
async fn a_signed_handshake_must_be_signed() {
    let sink = Sink::start().await;
    let gateway = with_source("dedup: off, verify: { scheme: xero, secrets: [key-of-the-test] }", &sink).await;
    let intent = r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}"#;
    let sign = |key: &[u8]| {
        let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(key).unwrap();
        mac.update(intent.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    };
    let ask = |key: &'static [u8]| {
        let request = Request::post("/in").header("content-type", "application/json");
        answer(&gateway, request.header("x-xero-signature", sign(key)), intent)
    };
    let right = ask(b"key-of-the-test").await;
    assert_eq!((right.status, right.body.len()), (200, 0), "{right:?}");
    assert_eq!(ask(b"another key").await.status, 401);
    assert!(right.headers.get("hookward-event-id").is_none());
}

#[tokio::test]
async fn a_token_of_mailgun_counts_once_whatever_event_stands_beside_it() {
    let sink = Sink::start().await;
    let gateway = with_source("verify: { scheme: mailgun, secrets: [key-of-the-test] }", &sink).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let request = |token: &str, event: &str| {
        let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(b"key-of-the-test").unwrap();
        mac.update(format!("{now}{token}").as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        format!(
            r#"{{"signature":{{"timestamp":"{now}","token":"{token}","signature":"{signature}"}},"event-data":{{"event":"{event}"}}}}"#
        )
    };
    let first = send(&gateway, |request| request, request("token-1", "opened")).await;
    let forged = send(&gateway, |request| request, request("token-1", "failed")).await;
    let second = send(&gateway, |request| request, request("token-2", "opened")).await;
    assert_eq!([first.status, forged.status, second.status], [200; 3]);
    assert_eq!(
        [&first, &forged, &second].map(Reply::is_duplicate),
        [false, true, false],
        "only a new token is an event"
    );
}
