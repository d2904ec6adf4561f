//! Every limit in bytes and numbers: S02, S03, the body memory, the connections.

use std::sync::Arc;
use std::time::Duration;

use hookward::ingress::Config;
use tokio::time::sleep;

use super::gate::{Peer, short};
use super::{Gate, request};

async fn refused(gate: &Gate, bytes: impl AsRef<[u8]>, status: u16, code: &str) {
    let mut peer = gate.connect().await;
    // The answer may come before everything is written.
    drop(peer.stream.try_write(bytes.as_ref()));
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.head);
    assert!(answer.head.contains("\r\ncontent-type: application/problem+json\r\n"), "{}", answer.head);
    assert!(answer.closes(), "{}", answer.head);
    peer.closed().await;
}

#[tokio::test]
async fn s02_heads_beyond_their_limits_are_431_or_414() {
    let gate = Gate::open(Config { headers_bytes_max: 32 << 10, ..short() }).await;
    let head = |more: String| format!("POST /hook HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n{more}\r\n");
    let large = |bytes: usize| head(format!("X-Large: {}\r\n", "x".repeat(bytes)));
    let many = |count: usize| head((0..count).map(|number| format!("X-{number}: y\r\n")).collect());
    assert_eq!(gate.send(large(31 << 10)).await.status, 200);
    assert_eq!(gate.send(many(98)).await.status, 200);
    refused(&gate, large(33 << 10), 431, "headers_too_large").await;
    refused(&gate, many(99), 431, "headers_too_large").await;
    // Never complete: refused without waiting for an end.
    refused(&gate, format!("POST /hook HTTP/1.1\r\nX: {}", "x".repeat(40 << 10)), 431, "headers_too_large").await;
    let long =
        |bytes: usize| format!("POST /hook?{} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n", "q".repeat(bytes));
    assert_eq!(gate.send(long(8000)).await.status, 200);
    refused(&gate, long(8200), 414, "uri_too_long").await;
    refused(&gate, format!("POST /{}", "x".repeat(40 << 10)), 414, "uri_too_long").await;
    assert_eq!(gate.refusals().len(), 5);
}

#[tokio::test]
async fn s03_a_body_that_says_it_is_too_large_is_413_before_it_is_read() {
    let gate = Gate::open(short()).await;
    refused(&gate, "POST /hook HTTP/1.1\r\nHost: test\r\nContent-Length: 100001\r\n\r\n", 413, "body_too_large").await;
    refused(
        &gate,
        "POST /hook HTTP/1.1\r\nHost: test\r\nContent-Length: 18446744073709551615\r\n\r\n",
        413,
        "body_too_large",
    )
    .await;
    assert_eq!(gate.send(request("/hook", &"x".repeat(100_000))).await.status, 200);
}

#[tokio::test]
async fn s03_a_chunked_body_is_413_as_soon_as_it_is_too_large() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("POST /hook HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("{:x}\r\n{}\r\n", 50_000, "x".repeat(50_000));
    peer.write(&chunk).await;
    peer.write(&chunk).await;
    peer.write("1\r\nx\r\n").await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.code(), answer.closes()), (413, "body_too_large", true));
    // What is still on its way does not become a reset: a sender that fails to write never reads its answer.
    for _ in 0..5 {
        sleep(Duration::from_millis(20)).await;
        peer.write("1\r\nx\r\n").await;
    }
    peer.closed().await;
    assert_eq!(gate.budget.used(), 0);
}

#[tokio::test]
async fn a_refused_sender_that_goes_on_sending_reads_its_answer() {
    let gate = Gate::open(short()).await;
    let body = "x".repeat(100_000);
    for path in ["/nowhere", "/hook?x"] {
        let mut peer = gate.connect().await;
        peer.write(format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 100001\r\n\r\n")).await;
        peer.write(&body).await;
        assert!([404, 413].contains(&peer.answer().await.status));
        peer.closed().await;
    }
}

#[tokio::test]
async fn bodies_that_fill_the_memory_are_503_and_give_it_back() {
    let gate = Gate::open(Config { body_memory_max: 100_000, ..short() }).await;
    let mut held = gate.connect().await;
    held.write(request("/slow", &"x".repeat(60_000))).await;
    gate.slow_begun.notified().await;
    assert!(gate.budget.used() >= 60_000);
    let answer = gate.send(request("/hook", &"y".repeat(60_000))).await;
    assert_eq!((answer.status, answer.code()), (503, "body_memory_full"));
    assert!(answer.head.contains("\r\nretry-after: 1\r\n"), "{}", answer.head);
    gate.release.notify_one();
    assert_eq!(held.answer().await.status, 200);
    assert_eq!(gate.budget.used(), 0);
    assert_eq!(gate.send(request("/hook", &"y".repeat(60_000))).await.status, 200);
}

#[tokio::test]
async fn a_promised_body_takes_no_memory_from_others() {
    let gate = Gate::open(Config { body_memory_max: 100_000, ..short() }).await;
    let mut promising = Vec::new();
    for _ in 0..20 {
        let mut peer = gate.connect().await;
        peer.write("POST /hook HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\nx").await;
        promising.push(peer);
    }
    assert_eq!(gate.send(request("/hook", &"y".repeat(60_000))).await.status, 200);
}

#[tokio::test]
async fn one_connection_too_many_is_told_and_closed_and_counted() {
    let gate = Gate::open(Config { connections_max: 3, ..short() }).await;
    let mut open: Vec<Peer> = Vec::new();
    for _ in 0..3 {
        let mut peer = gate.connect().await;
        peer.write(request("/hook", "")).await;
        assert_eq!(peer.answer().await.status, 200);
        open.push(peer);
    }
    let mut fourth = gate.connect().await;
    assert_eq!(fourth.answer().await.status, 503);
    fourth.closed().await;
    assert_eq!((gate.metrics.connections_refused.get(), gate.metrics.connections_open.get()), (1, 3));
    // The three that are open are served as before.
    open[0].write(request("/hook", "x")).await;
    assert_eq!(open[0].answer().await.status, 200);
    // A limit that was raised counts at once.
    gate.limits.store(Arc::new(Config { connections_max: 4, ..short() }));
    let mut fifth = gate.connect().await;
    fifth.write(request("/hook", "")).await;
    assert_eq!(fifth.answer().await.status, 200);
}
