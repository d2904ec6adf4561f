//! What ordinary requests get: keep-alive, pipelining, HTTP/1.0, chunked bodies, 100-continue, half-closed peers.

use std::time::Duration;

use hookward::guard::{AllowIps, AllowIpsLayer, allow_ips};
use hookward::ingress::Config;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;
use tower::Layer;
use tower::util::BoxCloneSyncService;

use super::gate::short;
use super::{Gate, request};

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    for body in ["", "x", "hello"] {
        peer.write(request("/hook", body)).await;
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.body), (200, format!("127.0.0.1 {}", body.len())));
        assert!(answer.head.contains("\r\ndate: "), "{}", answer.head);
    }
    assert_eq!(gate.metrics.connections_accepted.get(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    let chunked = "POST /hook HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: t\r\n\r\n";
    let all = [&request("/hook", "1"), chunked, &request("/nowhere", "22"), &request("/hook", "4444")].concat();
    peer.write(all).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let answer = peer.answer().await;
        seen.push((answer.status, answer.body.len(), answer.closes()));
    }
    assert_eq!(seen[0], (200, "127.0.0.1 1".len(), false));
    assert_eq!(seen[1], (200, "127.0.0.1 3".len(), false));
    assert_eq!((seen[2].0, seen[2].2), (404, false));
    assert_eq!(seen[3], (200, "127.0.0.1 4".len(), false));
}

#[tokio::test]
async fn a_request_byte_by_byte_is_a_request() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    for byte in request("/hook", "hello").bytes() {
        peer.write([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.answer().await.body, "127.0.0.1 5");
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("POST /hook HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi").await;
    let answer = peer.answer().await;
    assert_eq!(answer.body, "127.0.0.1 2");
    assert!(answer.head.starts_with("HTTP/1.0 200"), "{}", answer.head);
    peer.closed().await;
}

#[tokio::test]
async fn a_peer_that_closes_its_side_still_gets_its_answer() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write(request("/slow", "hi")).await;
    peer.stream.shutdown().await.unwrap();
    gate.slow_begun.notified().await;
    gate.release.notify_one();
    assert_eq!(peer.answer().await.body, "slow");
    peer.closed().await;
}

#[tokio::test]
async fn rfc9110_10_1_1_the_100_comes_when_the_body_is_wanted() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("POST /hook HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    assert_eq!(peer.answer().await.status, 100);
    peer.write("hi").await;
    assert_eq!(peer.answer().await.body, "127.0.0.1 2");
}

#[tokio::test]
async fn rfc9110_10_1_1_a_refusal_comes_without_100() {
    let gate = Gate::open(short()).await;
    let head = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
    };
    for (path, length, status) in [("/nowhere", 2, 404), ("/hook", 100_001, 413)] {
        let mut peer = gate.connect().await;
        peer.write(head(path, length)).await;
        let answer = peer.answer().await;
        assert_eq!(answer.status, status);
        assert!(answer.closes());
        peer.closed().await;
    }
}

#[tokio::test]
async fn a_guard_over_the_head_refuses_before_the_100_and_before_the_body() {
    let nobody = AllowIpsLayer::new(AllowIps::new(&allow_ips::Config::default()));
    let gate = Gate::open_behind(short(), |service| BoxCloneSyncService::new(nobody.layer(service))).await;
    let mut peer = gate.connect().await;
    peer.write("POST /hook HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.code(), answer.closes()), (403, "address_not_allowed", true));
    peer.closed().await;
    // The body that came with its head does not cost the connection.
    let mut peer = gate.connect().await;
    for _ in 0..2 {
        peer.write(request("/hook", "hello")).await;
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.closes()), (403, false));
    }
}

#[tokio::test]
async fn answers_and_bytes_are_counted_as_they_pass_the_wire() {
    let gate = Gate::open(Config { connections_max: 1, ..short() }).await;
    let (mut sent, mut received) = (0, 0);
    for (request, status) in [
        // Answered by the service, by the router, by the ingress in place of hyper, by the timer; and with a body
        // that goes on after its answer.
        (request("/hook", "hello"), 200),
        (request("/nowhere", ""), 404),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("POST /hook HTTP/1.1\r\nHost: te".to_owned(), 408),
        (format!("POST /hook HTTP/1.1\r\nHost: t\r\nContent-Length: 100001\r\n\r\n{}", "x".repeat(50_000)), 413),
        (request("/never", "x"), 503),
    ] {
        let mut peer = gate.connect().await;
        peer.write(&request).await;
        sent += request.len();
        let answer = peer.answer().await;
        assert_eq!(answer.status, status);
        received += answer.head.len() + answer.body.len();
        drop(peer);
        while gate.metrics.connections_open.get() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(gate.metrics.bytes_in.get(), sent as u64);
    assert_eq!(gate.metrics.bytes_out.get(), received as u64);
    let answers = || [200, 302, 404, 503].map(|status| gate.metrics.responses.like(status.try_into().unwrap()));
    assert_eq!(answers(), [1, 0, 4, 1]);
    // One connection too many gets an answer, too.
    let mut first = gate.connect().await;
    first.write(request("/hook", "x")).await;
    first.answer().await;
    assert_eq!(gate.connect().await.answer().await.status, 503);
    assert_eq!(answers(), [2, 0, 4, 2]);
}
