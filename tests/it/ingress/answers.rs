//! What ordinary requests get: keep-alive, pipelining, HTTP/1.0, chunked bodies, 100-continue, half-closed peers.

use tokio::io::AsyncWriteExt;

use hookward::guard::{AllowIps, AllowIpsLayer, allow_ips};
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
