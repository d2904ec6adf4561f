//! Header rules of RFC 9110 and RFC 7239 as far as they concern a proxy, a test a row; the many forms of each are tried in
//! `src/intake/onward_tests.rs`.

use super::app::{App, Talk, Wire};
use super::{signed, start, to_app};
use crate::support::{Gateway, Sender};

/// What the app gets of a request with these fields, whose `Host` is `shop.example`, from 127.0.0.1.
async fn passed(trusted: bool, fields: &str) -> Wire {
    let app = App::listen().await;
    let proxies = if trusted { "127.0.0.1" } else { "10.0.0.1" };
    let ingress = format!("ingress: {{ listen: \"@INGRESS@\", trusted_proxies: [{proxies}] }}\n");
    let gateway = Gateway::start(&format!("{ingress}{}", to_app(&app.url()))).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&Sender::new(&gateway), "evt_1", fields)).await;
    app.accept().await.message().await
}

#[tokio::test]
async fn rfc9110_7_6_1_fields_of_the_connection_end_here_and_others_cannot_be_made_to() {
    let seen = passed(
        false,
        "Connection: X-Hop, keep-alive, X-Appmint-Signature, Content-Type, Host, X-Forwarded-For\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: websocket\r\nTE: gzip\r\n",
    )
    .await;
    for gone in ["connection", "x-hop", "keep-alive", "proxy-connection", "upgrade", "te", "transfer-encoding"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    for there in ["x-appmint-signature", "content-type", "host", "x-forwarded-for", "content-length"] {
        assert!(seen.field(there).is_some(), "{there}");
    }
}

#[tokio::test]
async fn rfc9110_7_6_3_via_says_which_way_a_request_came() {
    assert_eq!(passed(false, "").await.fields("via"), ["1.1 hookward"]);
    let chain = passed(false, "Via: 1.0 fred, 1.1 p.example\r\n").await;
    assert_eq!(chain.fields("via"), ["1.0 fred, 1.1 p.example", "1.1 hookward"]);
}

#[tokio::test]
async fn rfc9112_7_1_a_chunked_request_goes_on_with_a_length() {
    let (app, gateway, sender) = start().await;
    let request = signed(&sender, "evt_1", "");
    let end = memchr::memmem::find(&request, b"\r\n\r\n").unwrap() + 4;
    let (head, body) = request.split_at(end);
    let head = String::from_utf8(head.to_vec()).unwrap();
    let head =
        head.replace(&format!("content-length: {}", body.len()), "Transfer-Encoding: chunked\r\nTrailer: X-Evil");
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(head).await;
    talk.say(format!("{:x};ext=1\r\n", body.len())).await;
    talk.say(body).await;
    talk.say("\r\n0\r\nX-Evil: 1\r\n\r\n").await;
    let seen = app.accept().await.message().await;
    assert_eq!(seen.field("content-length"), Some(body.len().to_string().as_str()));
    assert_eq!((seen.field("transfer-encoding"), seen.field("trailer"), seen.field("x-evil")), (None, None, None));
    assert_eq!(seen.body, body);
}

#[tokio::test]
async fn rfc7239_a_strangers_forwarding_is_overwritten_and_a_trusted_proxys_continued() {
    let said = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: pay.example\r\nX-Real-IP: ::1\r\n";
    let mine = "for=127.0.0.1;host=\"shop.example\";proto=http";
    for (trusted, expected) in [
        (false, [Some("127.0.0.1"), Some("http"), Some("shop.example"), Some(mine), None]),
        (
            true,
            [
                Some("203.0.113.9, 127.0.0.1"),
                Some("https"),
                Some("pay.example"),
                Some(&*format!("for=203.0.113.9, {mine}")),
                Some("::1"),
            ],
        ),
    ] {
        let seen = passed(trusted, said).await;
        let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-real-ip"];
        assert_eq!(names.map(|name| seen.field(name)), expected, "trusted: {trusted}");
    }
}

#[tokio::test]
async fn hookwards_own_fields_cannot_be_forged() {
    let seen =
        passed(false, "Hookward-Event-Id: evt_forged\r\nHookward-Source: other\r\nHookward-Duplicate: true\r\n").await;
    assert_ne!(seen.field("hookward-event-id"), Some("evt_forged"));
    assert_eq!((seen.field("hookward-source"), seen.field("hookward-duplicate")), (Some("appmint"), None));
}

#[tokio::test]
async fn rfc9110_15_3_5_and_15_4_5_answers_without_a_body_end_with_their_head() {
    let app = App::listen().await;
    let gateway = Gateway::start(&format!(
        "sources:\n  a: {{ path: /in, mode: proxy, app: \"{}\", verify: {{ scheme: none }}, methods: [GET], dedup: off }}\n",
        app.url()
    ))
    .await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say("GET /in HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"1\"\r\n\r\n").await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 77\r\n\r\n").await;
    let head = String::from_utf8(talk.until(b"\r\n\r\n").await).unwrap();
    assert!(head.starts_with("HTTP/1.1 304") && head.contains("etag: \"1\""), "{head}");
    talk.say("GET /in HTTP/1.1\r\nHost: a\r\n\r\n").await;
    passed.message().await;
    passed.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    let head = String::from_utf8(talk.until(b"\r\n\r\n").await).unwrap();
    assert!(head.starts_with("HTTP/1.1 204") && !head.contains("content-length"), "{head}");
}
