//! Answers that come bit by bit: handed on as they come, with their trailers, and cut where the app cuts them.

use super::app::Talk;
use super::{App, signed, start, to_app};
use crate::support::{Gateway, Sender};

#[tokio::test]
async fn an_answer_is_handed_on_as_it_comes_with_its_trailers() {
    let (app, gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "TE: trailers\r\nConnection: TE\r\n")).await;
    let mut passed = app.accept().await;
    let seen = passed.message().await;
    assert_eq!((seen.field("te"), seen.field("connection")), (Some("trailers"), Some("te")));
    passed.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nfirst\r\n").await;
    let head = String::from_utf8(talk.until(b"\r\n\r\n").await).unwrap();
    assert!(head.contains("transfer-encoding: chunked") && head.contains("trailer: X-Sum"), "{head}");
    // The app has not said the rest yet: the sender has the first part nevertheless.
    talk.until(b"first\r\n").await;
    passed.say("6\r\nsecond\r\n").await;
    talk.until(b"second\r\n").await;
    passed.say("0\r\nX-Sum: 42\r\nX-Undeclared: 1\r\n\r\n").await;
    let end = String::from_utf8(talk.until(b"\r\n\r\n").await).unwrap();
    assert_eq!(end, "0\r\nx-sum: 42\r\n\r\n");
    // The connection to the app is whole and carries the next one.
    talk.say(signed(&sender, "evt_2", "")).await;
    assert_eq!(passed.message().await.field("te"), None);
    passed
        .say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
        .await;
    let answer = String::from_utf8(talk.until(b"0\r\n\r\n").await).unwrap();
    assert!(!answer.to_lowercase().contains("x-sum"), "nobody asked for trailers: {answer}");
    // Trailers that nobody announced are dropped, and the body ends all the same.
    talk.say(signed(&sender, "evt_3", "TE: trailers\r\nConnection: TE\r\n")).await;
    passed.message().await;
    passed.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n").await;
    talk.until(b"hi\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let (app, gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say("HTTP/1.1 200 OK\r\n\r\nfirst").await;
    talk.until(b"first\r\n").await;
    passed.say("last").await;
    drop(passed);
    talk.until(b"last\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_at_the_sender_and_frees_the_mark() {
    let (app, gateway, sender) = start().await;
    for (id, head, last) in [
        ("evt_1", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "short"),
        ("evt_2", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", "short\r\n"),
        ("evt_3", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nZ\r\n", ""),
    ] {
        let mut talk = Talk::to(gateway.ingress()).await;
        talk.say(signed(&sender, id, "")).await;
        let mut passed = app.accept().await;
        passed.message().await;
        passed.say(head).await;
        if last.is_empty() {
            // What is no chunk is seen with the head: nothing of the answer was sent yet.
            assert_eq!(talk.message().await.head[0], "HTTP/1.1 502 Bad Gateway");
        } else {
            talk.until(last.as_bytes()).await;
            drop(passed);
            assert_eq!(String::from_utf8_lossy(&talk.rest().await), "", "no end that would make it look whole");
        }
        let mut again = Talk::to(gateway.ingress()).await;
        again.say(signed(&sender, id, "")).await;
        let mut passed = app.accept().await;
        passed.message().await;
        passed.say("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(again.message().await.head[0], "HTTP/1.1 204 No Content");
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("hookward_app_answers_cut_total", &[("source", "appmint")]), 2.0);
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_cut_at_request_timeout() {
    let app = App::listen().await;
    let ingress = "ingress: { listen: \"@INGRESS@\", request_timeout: 1s, header_timeout: 1s }\n";
    let gateway = Gateway::start(&format!("{ingress}{}", to_app(&app.url()))).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&Sender::new(&gateway), "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await;
    talk.until(b"first").await;
    assert_eq!(talk.rest().await, b"");
    assert_eq!(passed.rest().await, b"", "the app's connection is closed too");
}
