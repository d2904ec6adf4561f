//! What the sender sees: every line of the status table of DESIGN.md section 3, for queue mode.

use bytes::Bytes;
use http::request::Builder;

use crate::support::{Gateway, Reply, SECRET, Sender, Sink, event, raw, sign};

/// The key of the source `standard`, and the same as Standard Webhooks write it.
const STANDARD_KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const STANDARD_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn config(sink: &Sink) -> String {
    format!(
        r#"
ingress:
  listen: "@INGRESS@"
  trusted_proxies: [127.0.0.1]
  body_bytes_max: 4KiB
  header_timeout: 500ms
  request_timeout: 1s
sources:
  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: ["{SECRET}"] }} }}
  listed: {{ path: /listed, allow_ips: [52.89.214.238, "2001:db8::/32"], verify: {{ scheme: appmint, secrets: ["{SECRET}"] }} }}
  limited:
    path: /limited
    rate_limit: {{ requests: 1, per: 1h, burst: 1, by: ip }}
    verify: {{ scheme: appmint, secrets: ["{SECRET}"] }}
  busy:
    path: /busy
    rate_limit: {{ requests: 1, per: 1h, burst: 1, by: source }}
    verify: {{ scheme: appmint, secrets: ["{SECRET}"] }}
  polite:
    path: /polite
    respond: {{ status: 202, body: '{{"received":true}}', content_type: application/json }}
    verify: {{ scheme: appmint, secrets: ["{SECRET}"] }}
  standard: {{ path: /standard, verify: {{ scheme: standard-webhooks, secrets: ["{STANDARD_SECRET}"] }} }}
routes:
  - {{ from: "*", types: ["payment.*"], to: [crm] }}
destinations:
  crm: {{ url: "{}" }}
"#,
        sink.url("/hook")
    )
}

async fn start() -> (Gateway, Sink) {
    let sink = Sink::start().await;
    (Gateway::start(&config(&sink)).await, sink)
}

/// Sends an event to a path, changed by `change`, and gives the answer.
async fn send(gateway: &Gateway, path: &str, body: &Bytes, change: impl FnOnce(Builder) -> Builder) -> Reply {
    let mut sender = Sender::to(gateway.ingress(), path, SECRET);
    let request = change(sender.request(body));
    sender.send_as(request, body).await
}

/// A refusal: the status, the code, and an id by which the operator finds it.
fn refused(name: &str, reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{name}: {reply:?}");
    assert!(reply.header("hookward-rejection-id").starts_with("rejection_"), "{name}: {reply:?}");
    let expected: &[&str] = match status {
        401 => &["www-authenticate"],
        405 => &["allow"],
        429 | 503 => &["retry-after"],
        _ => &[],
    };
    for header in expected {
        assert!(!reply.header(header).is_empty(), "{name}: {status} without {header}: {reply:?}");
    }
}

/// An event that was kept, or had been: the status, the body and an id by which the operator finds it.
fn taken(name: &str, reply: &Reply, status: u16, body: &str) {
    assert_eq!((reply.status, &reply.body[..]), (status, body.as_bytes()), "{name}: {reply:?}");
    assert!(reply.header("hookward-event-id").starts_with("evt_"), "{name}: {reply:?}");
}

#[tokio::test]
async fn what_is_kept_is_answered_as_the_source_says() {
    let (gateway, sink) = start().await;
    let payment = event("evt_kept", "payment.succeeded");
    let reply = send(&gateway, "/in", &payment, |request| request).await;
    taken("kept", &reply, 200, "OK");
    assert!(!reply.is_duplicate());
    let copy = send(&gateway, "/in", &payment, |request| request).await;
    taken("duplicate", &copy, 200, "OK");
    assert!(copy.is_duplicate());
    assert_eq!(copy.header("hookward-event-id"), reply.header("hookward-event-id"), "a copy names the first");
    taken(
        "unrouted",
        &send(&gateway, "/in", &event("evt_unrouted", "user.created"), |request| request).await,
        200,
        "OK",
    );
    let polite = send(&gateway, "/polite", &payment, |request| request).await;
    taken("respond", &polite, 202, r#"{"received":true}"#);
    assert_eq!(polite.header("content-type"), "application/json");
    assert_eq!(
        sink.wait_for(2).await.len(),
        2,
        "the routed event of each source, and neither the copy nor the unrouted"
    );
    gateway.drained(crate::support::PATIENCE).await;
    assert_eq!(sink.count(), 2);
}

#[tokio::test]
async fn what_is_no_genuine_event_is_refused_with_400_or_401() {
    let (gateway, sink) = start().await;
    let body = event("evt_1", "payment.succeeded");
    let altered = Bytes::from(String::from_utf8(body.to_vec()).unwrap().replace("payment", "paymemt"));
    let none = |request: Builder| request;
    for (name, body, status, code) in [
        ("not JSON", "{\"id\": \"evt_1\", ", 400, "body_not_json"),
        ("JSON, then more", "{\"id\":\"evt_1\",\"type\":\"a\"} x", 400, "body_not_json"),
        ("empty", "", 400, "body_not_json"),
        ("no id", "{\"type\":\"a\",\"data\":{}}", 400, "event_id_missing"),
        ("empty id", "{\"id\":\"\",\"type\":\"a\"}", 400, "event_id_missing"),
        ("no type", "{\"id\":\"evt_1\",\"data\":{}}", 400, "event_type_missing"),
        ("two ids", "{\"id\":\"evt_1\",\"type\":\"a\",\"id\":\"evt_2\"}", 400, "body_duplicate_key"),
    ] {
        refused(name, &send(&gateway, "/in", &Bytes::from_static(body.as_bytes()), none).await, status, code);
    }
    let reply = send(&gateway, "/in", &body, |request| request.header("x-appmint-event-id", "evt_2")).await;
    refused("another id in the header", &reply, 400, "event_id_mismatch");

    let with = |signature: &str| {
        let signature = signature.to_owned();
        move |request: Builder| {
            let mut request = request;
            request.headers_mut().unwrap().remove("x-appmint-signature");
            if signature.is_empty() { request } else { request.header("x-appmint-signature", signature) }
        }
    };
    let genuine = sign(SECRET, &body);
    for (name, signature, code) in [
        ("missing", String::new(), "signature_missing"),
        ("no prefix", genuine.replace("sha256=", ""), "signature_malformed"),
        ("other algorithm", genuine.replace("sha256=", "sha1="), "signature_malformed"),
        ("short", genuine[..40].to_owned(), "signature_malformed"),
        ("not hex", format!("sha256={}", "z".repeat(64)), "signature_malformed"),
        ("empty", "sha256=".to_owned(), "signature_malformed"),
        ("wrong secret", sign("another", &body), "signature_mismatch"),
        ("of another body", sign(SECRET, &altered), "signature_mismatch"),
    ] {
        refused(name, &send(&gateway, "/in", &body, with(&signature)).await, 401, code);
    }
    let twice = |request: Builder| request.header("x-appmint-signature", genuine.clone());
    refused("two signatures", &send(&gateway, "/in", &body, twice).await, 401, "signature_malformed");
    assert_eq!(send(&gateway, "/in", &body, none).await.status, 200, "and the genuine one is taken");
    assert_eq!(sink.wait_for(1).await[0].body, body);
}

/// A Standard Webhooks request signed so many seconds from now.
async fn standard(gateway: &Gateway, id: &str, seconds_from_now: i64) -> Reply {
    use base64::Engine as _;
    use hmac::{Hmac, KeyInit, Mac};
    let body = event(id, "payment.succeeded");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let timestamp = now.checked_add_signed(seconds_from_now).unwrap().to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(STANDARD_KEY).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&body);
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let change = |request: Builder| {
        let mut request = request;
        request.headers_mut().unwrap().remove("x-appmint-signature");
        request
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", format!("v1,{signature}"))
    };
    send(gateway, "/standard", &body, change).await
}

#[tokio::test]
async fn a_signed_time_is_taken_within_five_minutes_and_refused_beyond() {
    let (gateway, _sink) = start().await;
    taken("now", &standard(&gateway, "msg_now", 0).await, 200, "OK");
    taken("old", &standard(&gateway, "msg_old", -290).await, 200, "OK");
    taken("fast clock", &standard(&gateway, "msg_fast", 290).await, 200, "OK");
    refused("too old", &standard(&gateway, "msg_stale", -310).await, 401, "timestamp_too_old");
    refused("in the future", &standard(&gateway, "msg_future", 310).await, 401, "timestamp_in_future");
}

#[tokio::test]
async fn who_may_not_send_there_is_told_so_by_status_alone() {
    let (gateway, _sink) = start().await;
    let body = event("evt_1", "payment.succeeded");
    let from = |address: &'static str| move |request: Builder| request.header("x-forwarded-for", address);
    for (name, path, address, status, code) in [
        ("stranger", "/listed", "203.0.113.9", 403, "address_not_allowed"),
        ("stranger behind a listed one", "/listed", "52.89.214.238, 203.0.113.9", 403, "address_not_allowed"),
        ("no address", "/listed", "unknown", 403, "address_not_allowed"),
        ("unknown path", "/nowhere", "203.0.113.9", 404, "unknown_path"),
        ("path below", "/in/deeper", "203.0.113.9", 404, "unknown_path"),
    ] {
        refused(name, &send(&gateway, path, &body, from(address)).await, status, code);
    }
    for address in ["52.89.214.238", "::ffff:52.89.214.238", "2001:db8::17", "203.0.113.9, 52.89.214.238"] {
        assert_eq!(send(&gateway, "/listed", &body, from(address)).await.status, 200, "{address}");
    }
    let reply = send(&gateway, "/in", &body, |request| request.method("PUT")).await;
    refused("wrong method", &reply, 405, "method_not_allowed");
    assert_eq!(reply.header("allow"), "POST");
}

#[tokio::test]
async fn too_many_requests_are_refused_by_address_and_verified_ones_by_source() {
    let (gateway, _sink) = start().await;
    let body = |number: usize| event(&format!("evt_{number}"), "payment.succeeded");
    let from = |address: &'static str| move |request: Builder| request.header("x-forwarded-for", address);
    assert_eq!(send(&gateway, "/limited", &body(1), from("203.0.113.1")).await.status, 200);
    refused("same address", &send(&gateway, "/limited", &body(2), from("203.0.113.1")).await, 429, "rate_limited");
    assert_eq!(send(&gateway, "/limited", &body(2), from("203.0.113.2")).await.status, 200, "another address");
    assert_eq!(send(&gateway, "/limited", &body(3), from("2001:db8:1:1::1")).await.status, 200);
    let neighbour = send(&gateway, "/limited", &body(4), from("2001:db8:1:1::2")).await;
    refused("same /64", &neighbour, 429, "rate_limited");

    // Strangers cannot exhaust what is counted by source: only verified requests count.
    for _ in 0..20 {
        let forged = send(&gateway, "/busy", &body(1), |request| request.header("x-appmint-signature", "x")).await;
        assert_eq!(forged.status, 401);
        let mut stranger = Sender::to(gateway.ingress(), "/busy", "wrong");
        assert_eq!(stranger.send(&body(1)).await.status, 401);
    }
    assert_eq!(send(&gateway, "/busy", &body(1), |request| request).await.status, 200);
    refused("source", &send(&gateway, "/busy", &body(2), |request| request).await, 429, "rate_limited");
}

#[tokio::test]
async fn what_is_too_large_or_of_the_wrong_kind_is_refused() {
    let (gateway, _sink) = start().await;
    let body = event("evt_1", "payment.succeeded");
    let large = Bytes::from(vec![b' '; 5000]);
    refused("large", &send(&gateway, "/in", &large, |request| request).await, 413, "body_too_large");
    let typed = |content_type: &'static str| {
        move |request: Builder| {
            let mut request = request;
            request.headers_mut().unwrap().remove("content-type");
            request.header("content-type", content_type)
        }
    };
    let reply = send(&gateway, "/in", &body, typed("text/plain")).await;
    refused("wrong type", &reply, 415, "content_type_not_allowed");
    let reply = send(&gateway, "/in", &body, |request| request.header("content-encoding", "lzma")).await;
    refused("undecodable", &reply, 415, "content_encoding_unknown");
    let reply = send(&gateway, "/in", &body, typed("application/json; charset=utf-8")).await;
    assert_eq!(reply.status, 200, "a parameter does no harm");

    let signature = sign(SECRET, &body);
    let head = "POST /in HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
    let answer = raw(
        gateway.ingress(),
        format!(
            "{head}x-appmint-signature: {signature}\r\ntransfer-encoding: chunked\r\n\r\n1388\r\n{}",
            " ".repeat(5000)
        )
        .as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "chunked beyond the limit: {answer}");
    let answer = raw(gateway.ingress(), format!("{head}x-long: {}\r\n\r\n", "x".repeat(70_000)).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "headers beyond the limit: {answer}");
}

#[tokio::test]
async fn requests_that_can_be_read_in_two_ways_are_refused_with_400_and_the_connection_is_closed() {
    let (gateway, sink) = start().await;
    let body = event("evt_1", "payment.succeeded");
    let body = std::str::from_utf8(&body).unwrap();
    let signature = sign(SECRET, body.as_bytes());
    let (length, chunked) = (body.len(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    let head = format!("content-type: application/json\r\nx-appmint-signature: {signature}\r\n");
    for (name, request) in [
        ("no host", format!("POST /in HTTP/1.1\r\n{head}content-length: {length}\r\n\r\n{body}")),
        (
            "two hosts",
            format!("POST /in HTTP/1.1\r\nhost: a\r\nhost: b\r\n{head}content-length: {length}\r\n\r\n{body}"),
        ),
        (
            "two lengths",
            format!(
                "POST /in HTTP/1.1\r\nhost: a\r\n{head}content-length: {length}\r\ncontent-length: 3\r\n\r\n{body}"
            ),
        ),
        (
            "length and chunked",
            format!(
                "POST /in HTTP/1.1\r\nhost: a\r\n{head}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n{chunked}"
            ),
        ),
        (
            "chunked not last",
            format!("POST /in HTTP/1.1\r\nhost: a\r\n{head}transfer-encoding: chunked, gzip\r\n\r\n{chunked}"),
        ),
        (
            "space before the colon",
            format!("POST /in HTTP/1.1\r\nhost: a\r\n{head}x-odd : 1\r\ncontent-length: {length}\r\n\r\n{body}"),
        ),
        (
            "folded header",
            format!("POST /in HTTP/1.1\r\nhost: a\r\n{head}x-odd: 1\r\n 2\r\ncontent-length: {length}\r\n\r\n{body}"),
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned()),
    ] {
        let answer = raw(gateway.ingress(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer:?}");
    }
    let good =
        format!("POST /in HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{head}content-length: {length}\r\n\r\n{body}");
    assert!(raw(gateway.ingress(), good.as_bytes()).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(sink.wait_for(1).await.len(), 1);
}

#[tokio::test]
async fn what_is_too_slow_is_answered_408_before_and_after_its_first_byte() {
    let (gateway, _sink) = start().await;
    let body = event("evt_1", "payment.succeeded");
    let signature = sign(SECRET, &body);
    let head = format!(
        "POST /in HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-appmint-signature: {signature}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    for (name, sent) in [("not a byte", ""), ("half a head", &head[..40]), ("no body", &head)] {
        let answer = raw(gateway.ingress(), sent.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{name}: {answer:?}");
        assert!(answer.to_lowercase().contains("connection: close"), "{name}: {answer:?}");
    }
}
