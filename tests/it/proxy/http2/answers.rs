//! Requests and answers over HTTP/2: their fields, bodies that stream both ways within the windows, trailers, and their ends.

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Response};

use super::super::app::Talk;
use super::super::signed;
use super::{App, start};
use crate::support::{Gateway, event, event_of_bytes, sha256};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn fields_are_those_of_http_2() {
    let (mut app, gateway, sender) = start(100).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "TE: trailers\r\nConnection: TE, X-Hop\r\nX-Hop: 1\r\nX-Two: a\r\nX-Two: b\r\n"))
        .await;
    let mut asked = app.asked().await;
    let uri = asked.request.uri();
    assert_eq!((uri.scheme_str(), uri.path()), (Some("http"), "/in"));
    assert_eq!(uri.authority().map(|authority| format!("http://{authority}")), Some(app.url()));
    let headers = asked.headers();
    for absent in ["connection", "host", "x-hop", "transfer-encoding", "keep-alive"] {
        assert_eq!(headers.get(absent), None, "{absent}");
    }
    let all = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((all("te"), all("x-two")), (vec!["trailers"], vec!["a", "b"]));
    assert_eq!((all("via"), all("x-forwarded-host")), (vec!["1.1 hookward"], vec!["shop.example"]));
    let length = all("content-length").concat();
    let body = asked.body().await;
    assert_eq!((length, &body[..]), (body.len().to_string(), &event("evt_1", "order.paid")[..]));
    asked.begin(&[("x-app", "yes"), ("hookward-x", "no")]).send_data(Bytes::from_static(b"hi"), true).unwrap();
    let answer = talk.message().await;
    assert_eq!((answer.head[0].as_str(), &*answer.body), ("HTTP/1.1 200 OK", b"hi".as_slice()));
    assert_eq!((answer.field("x-app"), answer.field("hookward-x")), (Some("yes"), None));
}

#[tokio::test]
async fn an_answer_streams_with_its_trailers() {
    let (mut app, gateway, sender) = start(100).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "TE: trailers\r\nConnection: TE\r\n")).await;
    let mut asked = app.asked().await;
    let mut stream = asked.begin(&[("trailer", "x-sum, content-type")]);
    stream.send_data(Bytes::from_static(b"first"), false).unwrap();
    talk.until(b"first\r\n").await;
    stream.send_data(Bytes::from_static(b"second"), false).unwrap();
    talk.until(b"second\r\n").await;
    let mut trailers = HeaderMap::new();
    for name in ["x-sum", "content-type", "x-undeclared"] {
        trailers.insert(name, HeaderValue::from_static("42"));
    }
    stream.send_trailers(trailers).unwrap();
    assert_eq!(String::from_utf8(talk.until(b"\r\n\r\n").await).unwrap(), "0\r\nx-sum: 42\r\n\r\n");
}

#[tokio::test]
async fn interim_answers_are_passed_on() {
    let (mut app, gateway, sender) = start(100).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut asked = app.asked().await;
    let hints = Response::builder().status(103).header("link", "</a>").header("hookward-x", "1").body(()).unwrap();
    asked.respond.send_informational(hints).unwrap();
    let hints = String::from_utf8(talk.until(b"\r\n\r\n").await).unwrap();
    assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    asked.answer("OK");
    assert_eq!(talk.message().await.body, b"OK");
    // More than anybody needs are no answer.
    talk.say(signed(&sender, "evt_2", "")).await;
    let mut asked = app.asked().await;
    for _ in 0..17 {
        asked.respond.send_informational(Response::builder().status(102).body(()).unwrap()).unwrap();
    }
    for _ in 0..16 {
        talk.until(b"HTTP/1.1 102 Processing\r\n\r\n").await;
    }
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 502 Bad Gateway");
}

#[tokio::test]
async fn an_answer_with_a_length_ends_with_its_stream_and_one_that_breaks_off_breaks_off() {
    let (mut app, gateway, sender) = start(100).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut asked = app.asked().await;
    let mut stream = asked.begin(&[("content-length", "10")]);
    stream.send_data(Bytes::from_static(b"01234"), false).unwrap();
    let head = String::from_utf8(talk.until(b"01234").await).unwrap();
    assert!(head.contains("content-length: 10\r\n"), "{head}");
    stream.send_data(Bytes::from_static(b"56789"), false).unwrap();
    // Its end comes in a frame of its own.
    stream.send_data(Bytes::new(), true).unwrap();
    talk.until(b"56789").await;
    talk.say(signed(&sender, "evt_2", "")).await;
    let mut asked = app.asked().await;
    let mut stream = asked.begin(&[]);
    stream.send_data(Bytes::from_static(b"half"), false).unwrap();
    talk.until(b"half\r\n").await;
    stream.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(String::from_utf8_lossy(&talk.rest().await), "", "no end that would make it look whole");
    // The mark is free.
    let mut again = Talk::to(gateway.ingress()).await;
    again.say(signed(&sender, "evt_2", "")).await;
    app.asked().await.answer("OK");
    assert_eq!(again.message().await.head[0], "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn an_answer_is_held_back_where_its_sender_does_not_read() {
    let (mut app, gateway, sender) = start(100).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut asked = app.asked().await;
    let mut stream = asked.begin(&[]);
    // As much as the sockets on the way take; then the window is used up, and no more is sent.
    let mut sent = 0;
    while sent < 64 * MIB {
        stream.reserve_capacity(MIB);
        let capacity = tokio::time::timeout(
            std::time::Duration::from_millis(500),
            std::future::poll_fn(|context| stream.poll_capacity(context)),
        );
        let Ok(capacity) = capacity.await else { break };
        let count = capacity.unwrap().unwrap().min(MIB);
        stream.send_data(Bytes::from(vec![b'x'; count]), false).unwrap();
        sent += count;
    }
    assert!(sent < 32 * MIB, "{sent}");
    // Others go on meanwhile over the same connection.
    let mut other = Talk::to(gateway.ingress()).await;
    other.say(signed(&sender, "evt_2", "")).await;
    let asked = app.asked().await;
    assert_eq!(asked.connection, 0);
    asked.answer("OK");
    assert_eq!(other.message().await.body, b"OK");
    drop(talk);
    let reason = std::future::poll_fn(|context| stream.poll_reset(context)).await.unwrap();
    assert_eq!(reason, Reason::CANCEL, "whoever leaves ends its stream");
}

/// A source that asks nothing of a body, so that it is handed on as it comes.
fn open(app: &App) -> String {
    format!(
        "ingress: {{ listen: \"@INGRESS@\", request_timeout: 60s }}\nsources: {{ open: {{ path: /in, mode: proxy, \
         app: {{ url: \"{}\", http: 2 }}, dedup: off, body_bytes_max: 25MiB, verify: {{ scheme: none }} }} }}\n",
        app.url()
    )
}

#[tokio::test]
async fn a_large_body_goes_out_as_the_app_takes_it() {
    let mut app = App::listen(100).await;
    let gateway = Gateway::start(&open(&app)).await;
    let body = event_of_bytes("evt_1", "order.paid", 4 * MIB);
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(format!("POST /in HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    let mut asked = app.asked().await;
    assert_eq!(asked.headers()["content-length"], body.len().to_string());
    let (written, got) = tokio::join!(talk.say(&body), async { asked.body().await });
    assert_eq!((written, sha256(&got)), ((), sha256(&body)));
    asked.answer("OK");
    assert_eq!(talk.message().await.body, b"OK");
}

#[tokio::test]
async fn a_sender_that_stops_in_the_middle_resets_its_stream() {
    let mut app = App::listen(100).await;
    let gateway = Gateway::start(&open(&app)).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say("POST /in HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\nbegun").await;
    let mut asked = app.asked().await;
    assert_eq!(asked.request.body_mut().data().await.unwrap().unwrap(), "begun");
    drop(talk);
    let end = asked.request.body_mut().data().await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn an_app_may_answer_before_it_has_read() {
    let mut app = App::listen(100).await;
    let gateway = Gateway::start(&open(&app)).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say("POST /in HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\nbegun").await;
    let mut asked = app.asked().await;
    asked.begin(&[]).send_data(Bytes::from_static(b"enough"), true).unwrap();
    // Whoever has answered and reads no more says so: RST_STREAM with NO_ERROR (RFC 9113 section 8.1).
    drop(asked);
    let answer = talk.message().await;
    assert_eq!((answer.head[0].as_str(), &*answer.body), ("HTTP/1.1 200 OK", b"enough".as_slice()));
}
