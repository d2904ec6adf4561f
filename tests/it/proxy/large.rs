//! Bodies that are larger than what is held in memory of one: put aside until the guards have seen them, or handed on as
//! they come where no guard asks anything of them.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use tokio::task::JoinSet;

use super::app::Talk;
use super::{App, to_app_with};
use crate::support::{Answer, Gateway, SECRET, Sender, Sink, event_of_bytes, eventually, raw, sha256, sign};

const MIB: usize = 1 << 20;

/// The sections of a gateway that takes large bodies and has time.
fn patient(limits: &str) -> String {
    format!("ingress: {{ listen: \"@INGRESS@\", request_timeout: 120s, {limits} }}\n")
}

/// A source that believes everybody and asks nothing of a body.
fn unguarded(app: &App, limits: &str) -> String {
    format!(
        "{}sources:\n  open: {{ path: /in, mode: proxy, app: \"{}\", dedup: off, body_bytes_max: 25MiB, verify: {{ scheme: none }} }}\n",
        patient(limits),
        app.url()
    )
}

/// The head of a request with so many bytes.
fn head(bytes: usize) -> String {
    format!("POST /in HTTP/1.1\r\nhost: a\r\ncontent-length: {bytes}\r\n\r\n")
}

/// What the gateway's memory was at the most since it began, in bytes.
fn peak(gateway: &Gateway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_bodies_of_25_mebibytes_pass_byte_for_byte_with_flat_memory() {
    const BODIES: usize = 8;
    let sink = Sink::answering(|hit| {
        let length = hit.headers.get("content-length").and_then(|length| length.to_str().ok()).unwrap_or("none");
        Answer::status(200).body(format!("{length} {}", hex::encode(sha256(&hit.body))))
    })
    .await;
    let config = format!("{}{}", patient(""), to_app_with(&sink.url(""), "    body_bytes_max: 26MiB\n"));
    let gateway = Arc::new(Gateway::start(&config).await);
    assert_eq!(Sender::new(&gateway).send(&event_of_bytes("evt_small", "order.paid", 1000)).await.status, 200);
    let before = peak(&gateway);
    let alone = event_of_bytes("evt_alone", "order.paid", 25 * MIB);
    assert_eq!(Sender::new(&gateway).send(&alone).await.status, 200);
    let grown = peak(&gateway) - before;
    assert!(grown < 20 * MIB, "one body of 25 MiB took {} MiB", grown / MIB);
    let mut senders = JoinSet::new();
    for number in 0..BODIES {
        let gateway = Arc::clone(&gateway);
        senders.spawn(async move {
            let body = event_of_bytes(&format!("evt_{number}"), "order.paid", 25 * MIB);
            let reply = Sender::new(&gateway).send(&body).await;
            let expected = format!("{} {}", body.len(), hex::encode(sha256(&body)));
            assert_eq!((reply.status, String::from_utf8_lossy(&reply.body).as_ref()), (200, expected.as_str()));
        });
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    let grown = peak(&gateway) - before;
    // Of each some pieces are in memory, with the threads that write and read them; of none all.
    assert!(grown < 50 * MIB, "{BODIES} bodies of 25 MiB took {} MiB", grown / MIB);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("hookward_body_spool_bytes", &[]), 0.0);
    assert_eq!(metrics.sum("hookward_body_memory_bytes", &[]), 0.0);
}

#[tokio::test]
async fn the_app_hears_nothing_of_a_large_body_that_is_not_genuine() {
    let app = App::listen().await;
    let config = format!("{}{}", patient(""), to_app_with(&app.url(), "    body_bytes_max: 4MiB\n"));
    let gateway = Gateway::start(&config).await;
    let body = event_of_bytes("evt_1", "order.paid", 3 * MIB);
    let mut sender = Sender::new(&gateway);
    let forged = sender.request(&body).header("x-appmint-signature", HeaderValue::from_static("sha256=00"));
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let wrong = sign(SECRET, b"another body");
    headers.insert("x-appmint-signature", wrong.parse().unwrap());
    let mut request = forged;
    *request.headers_mut().unwrap() = headers;
    let reply = sender.send_as(request, &body).await;
    assert_eq!((reply.status, reply.code().as_str()), (401, "signature_mismatch"));
    assert!(!app.is_called().await);
}

#[tokio::test]
async fn the_guards_say_of_a_large_body_what_they_say_of_a_small_one() {
    let sink = Sink::answering(|hit| {
        let field = |name: &str| hit.headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
        Answer::status(200).body(format!("{} {}", field("hookward-event-type"), hex::encode(sha256(&hit.body))))
    })
    .await;
    let config = format!(
        "{}sources: {{ hub: {{ path: /in, mode: proxy, app: \"{}\", verify: {{ scheme: github, secrets: [\"{SECRET}\"] }} }} }}\n",
        patient(""),
        sink.url("")
    );
    let gateway = Gateway::start(&config).await;
    let mut sender = Sender::new(&gateway);
    let mut ask = async |id: &str, fields: &[(&'static str, &'static str)], body: &[u8], signed: &[u8]| {
        let body = bytes::Bytes::copy_from_slice(body);
        let mut request = http::Request::post("/in").header("x-hub-signature-256", sign(SECRET, signed));
        request = request.header("x-github-delivery", id).header("x-github-event", "push");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let reply = sender.send_as(request, &body).await;
        (reply.status, reply.is_duplicate(), String::from_utf8_lossy(&reply.body).into_owned())
    };
    let json = ("content-type", "application/json");
    let text =
        format!("{{ \"filling\": [{}], \"action\": \"fo\\u0072ced\" }}", "[\"ä\", -1.5e3, {}],".repeat(200_000) + "0");
    let body = text.as_bytes();
    assert!(body.len() > 3 * MIB);
    let taken = |kind: &str, body: &[u8]| (200, false, format!("{kind} {}", hex::encode(sha256(body))));
    assert_eq!(ask("one", &[json], body, body).await, taken("push.forced", body));
    // The id is not signed: the body is part of what tells a copy.
    assert_eq!(ask("one", &[json], body, body).await, (200, true, "OK".to_owned()));
    let other = [body, b" "].concat();
    assert_eq!(ask("one", &[json], &other, &other).await, taken("push.forced", &other));
    let form = [b"payload=", body].concat();
    let kind = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(ask("two", &[kind], &form, &form).await, taken("push", &form));
    let (status, _, said) = ask("three", &[json], body, &other).await;
    assert!(status == 401 && said.contains("signature_mismatch"), "{status} {said}");
    let (status, _, said) = ask("four", &[json, ("content-encoding", "br")], body, body).await;
    assert!(status == 200 && said.starts_with("push "), "read at once: {status} {said}");
    let deep = ["[".repeat(2 * MIB), "]".repeat(2 * MIB)].concat();
    let (status, _, said) = ask("five", &[json], deep.as_bytes(), deep.as_bytes()).await;
    assert!(status == 400 && said.contains("body_too_deep"), "{status} {said}");
}

#[tokio::test]
async fn a_body_that_no_guard_asks_about_is_handed_on_as_it_comes() {
    let app = App::listen().await;
    let gateway = Gateway::start(&unguarded(&app, "")).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(head(3 * MIB)).await;
    talk.say(vec![b'a'; MIB]).await;
    let mut passed = app.accept().await;
    let seen = String::from_utf8(passed.until(b"\r\n\r\n").await).unwrap();
    assert!(seen.contains("content-length: 3145728\r\n"), "{seen}");
    // The sender has not said the rest: the app has the first part nevertheless.
    passed.until(&[b'a'; MIB]).await;
    talk.say(vec![b'b'; 2 * MIB]).await;
    passed.until(&[b'b'; 2 * MIB]).await;
    passed.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").await;
    assert_eq!(talk.message().await.body, b"OK");
    // The connections are whole, and carry the next one.
    talk.say(head(2)).await;
    talk.say("hi").await;
    assert_eq!(passed.message().await.body, b"hi");
}

#[tokio::test]
async fn an_app_may_answer_a_large_body_before_it_has_read_it() {
    let app = App::listen().await;
    let gateway = Gateway::start(&unguarded(&app, "")).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(head(3 * MIB)).await;
    talk.say(vec![b'a'; MIB]).await;
    let mut passed = app.accept().await;
    passed.until(b"\r\n\r\n").await;
    passed.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!").await;
    let answer = talk.message().await;
    assert_eq!((answer.head[0].as_str(), &*answer.body), ("HTTP/1.1 413 Payload Too Large", b"no!".as_slice()));
    // Neither connection can be used for anything else.
    passed.rest().await;
    talk.rest().await;
}

#[tokio::test]
async fn a_sender_that_stops_in_the_middle_is_refused_and_the_app_sees_its_connection_break() {
    let app = App::listen().await;
    let config = unguarded(&app, "").replace("120s", "1s, header_timeout: 1s");
    let gateway = Gateway::start(&config).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(head(3 * MIB)).await;
    talk.say(vec![b'a'; MIB]).await;
    let mut passed = app.accept().await;
    passed.until(&[b'a'; MIB]).await;
    let answer = talk.message().await;
    assert_eq!(answer.head[0], "HTTP/1.1 408 Request Timeout");
    assert_eq!(passed.rest().await, b"", "nothing that would make the body look whole");
    let refused = gateway.list("/v1/rejections").await;
    assert_eq!(refused[0]["reason"], "body_timeout");
}

#[tokio::test]
async fn a_large_body_in_chunks_reaches_the_app_with_its_length() {
    let app = App::listen().await;
    let gateway = Gateway::start(&unguarded(&app, "")).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say("POST /in HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for byte in [b'a', b'b', b'c'] {
        talk.say("100000\r\n").await;
        talk.say(vec![byte; MIB]).await;
        talk.say("\r\n").await;
    }
    assert!(!app.is_called().await, "its length is not known yet");
    talk.say("0\r\n\r\n").await;
    let mut passed = app.accept().await;
    let seen = passed.message().await;
    assert_eq!(seen.body.len(), 3 * MIB);
    assert!(seen.body.chunks(MIB).zip(b"abc").all(|(part, byte)| part.iter().all(|found| found == byte)));
    passed.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 204 No Content");
}

#[tokio::test]
async fn bodies_beyond_body_spool_max_are_refused_and_a_file_is_gone_with_its_request() {
    let app = App::listen().await;
    let limits = "body_spool_max: 3MiB";
    let config = format!("{}{}", patient(limits), to_app_with(&app.url(), "    body_bytes_max: 3MiB\n"));
    let gateway = Gateway::start(&config).await;
    // Half-sent bodies fill the files that are set aside for all.
    let signature = sign(SECRET, b"");
    let half = format!(
        "POST /in HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-appmint-signature: {signature}\r\ncontent-length: {}\r\n\r\n",
        3 * MIB
    );
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(half).await;
    talk.say(vec![b'x'; 2 * MIB]).await;
    let spooled = async || gateway.metrics().await.sum("hookward_body_spool_bytes", &[]);
    eventually("a body in a file", async || (spooled().await > 1.5 * MIB as f64).then_some(())).await;
    let names: Vec<_> = std::fs::read_dir(gateway.store()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let open: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap().collect();
    let targets: Vec<_> = open.into_iter().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).collect();
    let unnamed = targets.iter().filter(|path| path.to_string_lossy().ends_with(" (deleted)")).count();
    assert_eq!(unnamed, 1, "a file without a name: {targets:?} beside {names:?}");
    let body = event_of_bytes("evt_1", "order.paid", 2 * MIB);
    let reply = Sender::new(&gateway).send(&body).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "body_memory_full"));
    assert!(!reply.header("retry-after").is_empty());
    drop(talk);
    eventually("the end of the file", async || (spooled().await == 0.0).then_some(())).await;
    let config =
        format!("{}{}", patient("body_spool_max: 4MiB"), to_app_with(&app.url(), "    body_bytes_max: 4MiB\n"));
    gateway.reload(&config).await;
    let task = tokio::spawn(async move { Sender::new(&gateway).send(&body).await });
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(task.await.unwrap().status, 204);
}

#[tokio::test]
async fn a_large_body_waits_for_100_continue_until_the_guards_before_it_agree() {
    let app = App::listen().await;
    let gateway = Gateway::start(&unguarded(&app, "")).await;
    let expect = head(2 * MIB).replace("host: a", "host: a\r\nexpect: 100-continue");
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(expect.as_bytes()).await;
    assert_eq!(talk.until(b"\r\n\r\n").await, b"HTTP/1.1 100 Continue\r\n\r\n");
    talk.say(vec![b'a'; 2 * MIB]).await;
    let mut passed = app.accept().await;
    let seen = passed.message().await;
    assert_eq!((seen.field("expect"), seen.body.len()), (None, 2 * MIB));
    passed.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 204 No Content");
    // Refused before one byte of the body is asked for.
    let wrong = expect.replace("/in", "/elsewhere").replace("host: a", "host: a\r\nconnection: close");
    let answer = raw(gateway.ingress(), wrong.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}
