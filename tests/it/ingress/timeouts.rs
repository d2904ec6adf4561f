//! Every time-out: S01 and what it takes to hold a connection open. The configured times are short; nothing
//! here asserts how long something took, only what came of it.

use std::time::Duration;

use hookward::ingress::Config;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::gate::{drip_until_answered, short};
use super::{Gate, request};

#[tokio::test]
async fn s01_a_connection_without_a_first_byte_is_408() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.code(), answer.closes()), (408, "header_timeout", true));
    peer.closed().await;
    assert_eq!(gate.refusals(), ["header_timeout"]);
}

#[tokio::test]
async fn s01_half_a_head_is_408() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("POST /hook HTTP/1.1\r\nHost: te").await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.code(), answer.closes()), (408, "header_timeout", true));
    assert!(answer.head.contains("\r\nhookward-rejection-id: rejection_test\r\n"), "{}", answer.head);
    peer.closed().await;
}

#[tokio::test]
async fn s01_a_dripping_head_is_408() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("POST /hook HTTP/1.1\r\n").await;
    let answer = drip_until_answered(&mut peer, "X-Drip: x\r\n").await;
    assert_eq!((answer.status, answer.code()), (408, "header_timeout"));
}

#[tokio::test]
async fn s01_a_second_head_on_a_connection_has_a_deadline_too() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write(request("/hook", "")).await;
    assert_eq!(peer.answer().await.status, 200);
    peer.write("POST /ho").await;
    assert_eq!(peer.answer().await.status, 408);
    peer.closed().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write(request("/hook", "")).await;
    assert_eq!(peer.answer().await.status, 200);
    peer.closed().await;
    assert!(gate.refusals().is_empty());
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout() {
    let gate = Gate::open(Config { header_timeout: Duration::from_millis(100), ..short() }).await;
    let mut peer = gate.connect().await;
    peer.write(request("/hook", "")).await;
    assert_eq!(peer.answer().await.status, 200);
    sleep(Duration::from_millis(300)).await;
    peer.write(request("/hook", "x")).await;
    assert_eq!(peer.answer().await.status, 200);
}

#[tokio::test]
async fn a_request_has_its_whole_time_on_a_connection_that_was_opened_before() {
    // The shortest limit is how often the timer looks.
    let idle_timeout = Duration::from_millis(50);
    let gate = Gate::open(Config { header_timeout: Duration::from_secs(5), idle_timeout, ..short() }).await;
    let mut peer = gate.connect().await;
    sleep(gate.limits.load().request_timeout + Duration::from_millis(100)).await;
    peer.write(request("/slow", "x")).await;
    gate.slow_begun.notified().await;
    sleep(idle_timeout * 4).await;
    gate.release.notify_one();
    assert_eq!(peer.answer().await.status, 200);
}

#[tokio::test]
async fn s01_a_body_that_stops_is_408() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("POST /hook HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf").await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.code(), answer.closes()), (408, "body_timeout", true));
    peer.closed().await;
    assert_eq!(gate.budget.used(), 0);
}

#[tokio::test]
async fn s01_a_dripping_body_is_408_in_total_time() {
    let gate = Gate::open(short()).await;
    for (head, drip) in [("Content-Length: 5000", "x"), ("Transfer-Encoding: chunked", "1\r\nx\r\n")] {
        let mut peer = gate.connect().await;
        peer.write(format!("POST /hook HTTP/1.1\r\nHost: test\r\n{head}\r\n\r\n")).await;
        let answer = drip_until_answered(&mut peer, drip).await;
        assert_eq!((answer.status, answer.code()), (408, "body_timeout"));
    }
}

#[tokio::test]
async fn a_service_without_an_answer_is_503_with_retry_after() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write(request("/never", "x")).await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.code()), (503, "request_timeout"));
    assert!(answer.head.contains("\r\nretry-after: "), "{}", answer.head);
    // The request came whole, so the connection is as good as before.
    peer.write(request("/hook", "x")).await;
    assert_eq!(peer.answer().await.status, 200);
    assert_eq!(gate.refusals(), ["request_timeout"]);
    let turned = gate.turned_away.lock().unwrap().remove(0);
    let asked = (turned.refused.method.as_str(), turned.refused.uri.path(), turned.version);
    assert_eq!(asked, ("POST", "/never", Some(http::Version::HTTP_11)), "the head is known, though the service has it");
    assert_eq!(turned.bytes_out, answer.body.len() as u64);
    assert!(turned.arrival.began.elapsed() >= gate.limits.load().request_timeout);
}

#[tokio::test]
async fn s01_a_sender_that_never_reads_is_cut() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    // Answers pile up until the socket's buffers are full on both sides; then our writing stands still.
    let batch = request("/nowhere", "").repeat(500);
    let pushed = async { while peer.stream.write_all(batch.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(super::gate::PATIENCE, pushed).await.expect("the connection is cut");
    assert_eq!(gate.send(request("/hook", "")).await.status, 200);
}

#[tokio::test]
async fn a_sender_that_goes_away_in_its_body_leaves_nothing_behind() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("POST /hook HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf").await;
    peer.stream.shutdown().await.unwrap();
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.code()), (400, "body_incomplete"));
    peer.closed().await;
    assert_eq!(gate.budget.used(), 0);
}
