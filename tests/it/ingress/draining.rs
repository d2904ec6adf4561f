//! F50: shutting down cuts nobody off before its time. F41: running out of file descriptors is survived.

use std::io::ErrorKind;
use std::time::Duration;

use hookward::ingress::Config;
use hookward::telemetry::task;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::gate::short;
use super::{Gate, request};

#[tokio::test]
async fn f50_what_is_in_flight_is_finished_and_closed() {
    let mut gate = Gate::open(Config { request_timeout: Duration::from_secs(20), ..short() }).await;
    let mut in_flight = gate.connect().await;
    in_flight.write(request("/slow", "x")).await;
    gate.slow_begun.notified().await;
    let mut sending = gate.connect().await;
    sending.write("POST /hook HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf").await;
    let mut idle = gate.connect().await;
    idle.write(request("/hook", "")).await;
    assert!(!idle.answer().await.closes());

    gate.shut_down();
    // Nobody is listening any more once the draining has begun.
    while TcpStream::connect(gate.address).await.is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
    // A request on a connection that is open is served, and told that it is the last one.
    idle.write(request("/hook", "again")).await;
    let answer = idle.answer().await;
    assert_eq!((answer.status, answer.closes()), (200, true));
    idle.closed().await;
    sending.write("+ half").await;
    let answer = sending.answer().await;
    assert_eq!((answer.body.as_str(), answer.closes()), ("127.0.0.1 10", true));
    sending.closed().await;
    gate.release.notify_one();
    let answer = in_flight.answer().await;
    assert_eq!((answer.body.as_str(), answer.closes()), ("slow", true));
    in_flight.closed().await;
    gate.ended().await;
}

#[tokio::test]
async fn a_sender_that_is_still_writing_is_not_reset_by_the_last_answer() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("POST /hook HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    peer.write(request("/hook", "").repeat(2000)).await;
    // A reset would show here: most senders write everything before they read, and give up where that fails.
    for _ in 0..5 {
        sleep(Duration::from_millis(20)).await;
        peer.write(request("/hook", "")).await;
    }
    let answer = peer.answer().await;
    assert_eq!((answer.status, answer.closes()), (200, true));
    peer.closed().await;
}

#[tokio::test]
async fn f50_connections_that_ask_nothing_do_not_hold_up_the_end() {
    let mut gate = Gate::open(Config {
        idle_timeout: Duration::from_secs(60),
        header_timeout: Duration::from_secs(60),
        ..short()
    })
    .await;
    let mut idle = gate.connect().await;
    idle.write(request("/hook", "")).await;
    assert_eq!(idle.answer().await.status, 200);
    let mut fresh = gate.connect().await;
    // Served, so that the one before it has been accepted too.
    assert_eq!(gate.send(request("/hook", "")).await.status, 200);
    gate.shut_down();
    idle.closed().await;
    fresh.closed().await;
    gate.ended().await;
}

#[tokio::test]
async fn f50_past_the_deadline_what_is_in_flight_gets_503() {
    let drain_timeout = Duration::from_millis(300);
    let mut gate = Gate::open(Config { drain_timeout, request_timeout: Duration::from_secs(60), ..short() }).await;
    let mut in_flight = gate.connect().await;
    in_flight.write(request("/slow", "x")).await;
    gate.slow_begun.notified().await;
    gate.shut_down();
    let answer = in_flight.answer().await;
    assert_eq!((answer.status, answer.code(), answer.closes()), (503, "draining", true));
    assert!(answer.head.contains("\r\nretry-after: "), "{}", answer.head);
    in_flight.closed().await;
    assert_eq!(gate.refusals(), ["draining"]);
    gate.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f50_under_load_no_request_is_reset_or_lost() {
    for _ in 0..5 {
        let mut gate = Gate::open(short()).await;
        let mut senders = Vec::new();
        for _ in 0..16 {
            let address = gate.address;
            senders.push(task::spawn("sender", async move { send_until_closed(address).await }));
        }
        // Enough of them are well under way.
        while gate.metrics.connections_accepted.get() < 16 {
            tokio::task::yield_now().await;
        }
        gate.shut_down();
        let mut answered = 0;
        for sender in senders {
            answered += sender.await.unwrap();
        }
        assert!(answered >= 16, "each is served at least once: {answered}");
        gate.ended().await;
    }
}

/// Sends request after request on one connection until it is told to close; panics on anything rude.
async fn send_until_closed(address: std::net::SocketAddr) -> usize {
    let mut stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return 0,
        Err(error) => panic!("{error}"),
    };
    let (mut answered, mut bytes) = (0, vec![0; 4096]);
    loop {
        stream.write_all(request("/hook", "hello").as_bytes()).await.expect("a request is taken");
        let mut text = String::new();
        while !text.ends_with("127.0.0.1 5") {
            let count = stream.read(&mut bytes).await.expect("no reset");
            assert!(count > 0, "closed in front of a request");
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        answered += 1;
        if text.contains("connection: close") {
            return answered;
        }
    }
}
