//! Promise 3 in proxy mode: what was sent is what the app gets, and what it answers is what the sender gets.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;

use super::{signed, start, to_app};
use crate::proxy::app::Talk;
use crate::support::{Answer, Client, Gateway, Sender, Sink, event, event_of_bytes};

#[tokio::test]
async fn request_and_answer_go_through_unchanged_but_for_what_belongs_to_one_hop() {
    let (app, gateway, sender) = start().await;
    let body = event("evt_1", "order.paid");
    let mut talk = Talk::to(gateway.ingress()).await;
    let request = String::from_utf8(signed(&sender, "evt_1", "X-Twice: one\r\nX-Twice: two  words\r\nAccept: */*\r\n"));
    talk.say(request.unwrap().replace("POST /in ", "POST /in?b=%20&&a=1&b=?/ ")).await;
    let mut passed = app.accept().await;
    let seen = passed.message().await;
    assert_eq!(seen.head[0], "POST /in?b=%20&&a=1&b=?/ HTTP/1.1");
    assert_eq!(seen.body, body);
    assert_eq!(seen.fields("x-twice"), ["one", "two  words"]);
    assert_eq!(seen.field("accept"), Some("*/*"));
    assert_eq!(seen.field("content-type"), Some("application/json"));
    assert_eq!(seen.field("x-appmint-signature"), Some(crate::support::sign(crate::support::SECRET, &body).as_str()));
    assert_eq!(format!("http://{}", seen.field("host").unwrap()), app.url());
    assert_eq!(seen.field("hookward-source"), Some("appmint"));
    assert_eq!(seen.field("hookward-source-event-id"), Some("evt_1"));
    assert_eq!(seen.field("hookward-event-type"), Some("order.paid"));
    assert!(seen.field("hookward-received-at").unwrap().ends_with('Z'));
    let id = seen.field("hookward-event-id").unwrap().to_owned();

    passed
        .say(
            b"HTTP/1.1 201 Made\r\nContent-Length: 6\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: app\r\n\
             Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nKeep-Alive: timeout=9\r\nHookward-Event-Id: evt_of_the_app\r\n\r\na\0b\r\n\xff" as &[u8],
        )
        .await;
    let answer = talk.until(b"\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    for line in [
        "HTTP/1.1 201 Created",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "server: app",
        "date: Sun, 06 Nov 1994 08:49:37 GMT",
        "content-length: 6",
        &format!("hookward-event-id: {id}"),
    ] {
        assert_eq!(answer.matches(&format!("{line}\r\n")).count(), 1, "{line} in {answer}");
    }
    assert!(!answer.contains("keep-alive") && !answer.contains("evt_of_the_app"), "{answer}");
    assert_eq!(talk.until(b"\r\n").await, b"a\0b\r\n");
}

#[tokio::test]
async fn a_body_of_several_mebibytes_comes_through_and_so_does_the_answer() {
    let sink = Sink::answering(|hit| Answer::status(200).body(hit.body.clone())).await;
    let limit = "    body_bytes_max: 8MiB\n";
    let gateway = Gateway::start(&super::to_app_with(&sink.url(""), limit)).await;
    let body = event_of_bytes("evt_large", "order.paid", 5 << 20);
    let reply = Sender::new(&gateway).send(&body).await;
    assert_eq!((reply.status, reply.body == body), (200, true));
    assert_eq!(sink.hits()[0].body, body);
}

#[tokio::test]
async fn every_method_of_a_source_is_passed_on_with_or_without_a_body() {
    let sink = Sink::answering(|hit| Answer::status(200).body(hit.method.to_string())).await;
    let gateway = Gateway::start(&format!(
        "sources:\n  a: {{ path: /in, mode: proxy, app: \"{}\", verify: {{ scheme: none }}, methods: [GET, PUT, DELETE, PATCH, POST], dedup: off }}\n",
        sink.url("/base/")
    ))
    .await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::POST] {
        for body in ["", "{}"] {
            let request = Request::builder().method(&method).uri("/in?x").body(Full::new(Bytes::from(body))).unwrap();
            let reply = Client::new(gateway.ingress()).send(request).await.unwrap();
            assert_eq!((reply.status, &*reply.body), (200, method.as_str().as_bytes()));
            let hit = sink.hits().pop().unwrap();
            assert_eq!((hit.uri.to_string().as_str(), &*hit.body), ("/base/in?x", body.as_bytes()), "{method}");
        }
    }
    assert_eq!(sink.count(), 10);
}

#[tokio::test]
async fn a_redirect_goes_back_and_is_not_followed() {
    let sink = Sink::answering(|_| Answer::status(302).header("location", "http://127.0.0.1:1/")).await;
    let gateway = Gateway::start(&to_app(&sink.url(""))).await;
    let reply = Sender::new(&gateway).send(&event("evt_1", "order.paid")).await;
    assert_eq!((reply.status, reply.header("location")), (302, "http://127.0.0.1:1/"));
    assert_eq!(sink.count(), 1);
}
