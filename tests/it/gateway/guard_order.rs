//! The order of the guards: a request that offends several of them hears of the first, and what can be refused
//! before the body is read is refused before a byte of it has come.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Gateway, SECRET, Sender, Sink, event, sign};

/// Longer than any refusal takes, shorter than the time-out for the body.
const REFUSED_WITHIN: Duration = Duration::from_secs(4);

/// What a request can do wrong, in the order in which the guards look, and the status that it gets for it.
const OFFENCES: [(&str, u16); 8] = [
    ("path", 404),
    ("method", 405),
    ("address", 403),
    ("rate", 429),
    ("size", 413),
    ("content type", 415),
    ("no signature", 401),
    ("body never comes", 408),
];

async fn start() -> (Gateway, Sink) {
    let sink = Sink::start().await;
    let config = format!(
        r#"
ingress: {{ listen: "@INGRESS@", trusted_proxies: [127.0.0.1], body_bytes_max: 4KiB, request_timeout: 6s }}
sources:
  appmint:
    path: /in
    allow_ips: [198.51.100.0/24]
    rate_limit: {{ requests: 1, per: 1h, burst: 1, by: ip }}
    verify: {{ scheme: appmint, secrets: ["{SECRET}"] }}
routes:
  - {{ from: appmint, to: [crm] }}
destinations:
  crm: {{ url: "{}" }}
"#,
        sink.url("/hook")
    );
    (Gateway::start(&config).await, sink)
}

/// The head of a request that commits these offences; its body is announced and never sent.
fn head(offends: impl Fn(&str) -> bool, host: u8) -> String {
    let body = event("evt_1", "payment.succeeded");
    let path = if offends("path") { "/nowhere" } else { "/in" };
    let method = if offends("method") { "PUT" } else { "POST" };
    // The first address of the allowed net has used up its rate.
    let address = match (offends("address"), offends("rate")) {
        (true, _) => "203.0.113.1".to_owned(),
        (false, true) => "198.51.100.1".to_owned(),
        (false, false) => format!("198.51.100.{host}"),
    };
    let length = if offends("size") { 5000 } else { body.len() };
    let content_type = if offends("content type") { "text/plain" } else { "application/json" };
    let signature = match offends("no signature") {
        true => String::new(),
        false => format!("x-appmint-signature: {}\r\n", sign(SECRET, &body)),
    };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {address}\r\ncontent-type: {content_type}\r\n\
         {signature}content-length: {length}\r\n\r\n"
    )
}

/// The status that comes although the body does not.
async fn status_without_body(gateway: &Gateway, head: &str, patience: Duration) -> u16 {
    let mut stream = TcpStream::connect(gateway.ingress()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = tokio::time::timeout(patience, stream.read_exact(&mut answer)).await;
    read.unwrap_or_else(|_| panic!("no answer before the body: {head}")).unwrap();
    std::str::from_utf8(&answer).unwrap()["HTTP/1.1 ".len()..].parse().unwrap()
}

#[tokio::test]
async fn the_first_offended_guard_answers_and_none_waits_for_the_body() {
    let (gateway, _sink) = start().await;
    let mut sender = Sender::to(gateway.ingress(), "/in", SECRET);
    let body = event("evt_0", "payment.succeeded");
    let first = sender.request(&body).header("x-forwarded-for", "198.51.100.1");
    assert_eq!(sender.send_as(first, &body).await.status, 200);

    for (first, (name, status)) in OFFENCES.iter().enumerate() {
        // Everything from this guard on is wrong, and everything before it is right.
        let all_later = head(|offence| OFFENCES.iter().skip(first).any(|(name, _)| *name == offence), 10 + first as u8);
        let alone = head(|offence| offence == *name, 100 + first as u8);
        let patience = if *status == 408 { Duration::from_secs(15) } else { REFUSED_WITHIN };
        for head in [all_later, alone] {
            assert_eq!(status_without_body(&gateway, &head, patience).await, *status, "{name}: {head}");
        }
    }
}

#[tokio::test]
async fn the_signature_is_judged_before_the_envelope() {
    let (gateway, _sink) = start().await;
    for (host, body, secret, status) in [
        (1, "no JSON at all", "wrong", 401),
        (2, "no JSON at all", SECRET, 400),
        (3, "{\"id\":\"a\",\"type\":\"b\"}", SECRET, 200),
    ] {
        let mut sender = Sender::to(gateway.ingress(), "/in", secret);
        let body = bytes::Bytes::from_static(body.as_bytes());
        let request = sender.request(&body).header("x-forwarded-for", format!("198.51.100.{host}"));
        assert_eq!(sender.send_as(request, &body).await.status, status);
    }
}
