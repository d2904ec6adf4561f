//! The client against servers that misbehave (RELIABILITY.md F30 to F34), over real sockets.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::{Client, Connection, Endpoint, EndpointUrl, KeepSignatures, Parcel};
use crate::domain::{Attempt, Clock, Event, HeaderBlock, IdMint, NewEvent, OutcomeClass, Seq, Timestamp};
use crate::telemetry::task;

pub(super) const TIMEOUT: Duration = Duration::from_millis(300);

/// A server that answers each connection with `script`; counts connections.
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Sink {
    pub(super) async fn start<F, Answer>(script: F) -> Self
    where
        F: Fn(Peer<TcpStream>) -> Answer + Send + 'static,
        Answer: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (opened, asked) = (Arc::clone(&connections), Arc::clone(&requests));
        task::spawn("sink", async move {
            while let Ok((stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                task::spawn("sink connection", script(Peer { stream, requests: Arc::clone(&asked) }));
            }
        });
        Self { address, connections, requests }
    }

    /// Answers every request of a connection with the same bytes.
    pub(super) async fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |mut peer| async move {
            while peer.request().await.is_some() {
                peer.send(answer).await;
            }
        })
        .await
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        endpoint(&format!("http://{}/hook", self.address))
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

pub(super) struct Peer<S> {
    pub(super) stream: S,
    pub(super) requests: Arc<AtomicUsize>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Reads one request; `None` at the end of the connection.
    pub(super) async fn request(&mut self) -> Option<Vec<u8>> {
        let mut read = Vec::new();
        loop {
            if self.stream.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
            let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            while read.len() < end + 4 + length {
                if self.stream.read_buf(&mut read).await.ok()? == 0 {
                    return None;
                }
            }
            self.requests.fetch_add(1, Ordering::SeqCst);
            return Some(read);
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Sends the same bytes until nobody listens any more.
    async fn flood(&mut self, bytes: &[u8], pause: Duration) {
        while self.send(bytes).await {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

pub(super) fn endpoint(url: &str) -> Endpoint {
    let mut endpoint = Endpoint::new(EndpointUrl::parse(url).unwrap());
    endpoint.timeout = TIMEOUT;
    endpoint
}

pub(super) fn client() -> Client {
    Client::new(Clock::machine(), Arc::new(KeepSignatures))
}

fn event(body: &[u8]) -> Event {
    let seq = Seq::first_at(Timestamp(1_763_921_045_678));
    let received = NewEvent {
        source: Arc::from("appmint"),
        source_event_id: None,
        event_type: None,
        project: Arc::from("default"),
        received_at: seq.time(),
        method: Method::POST,
        query: None,
        headers: HeaderBlock::default(),
        body: Bytes::copy_from_slice(body),
        signed_at: None,
        secret_index: None,
    };
    Event { id: IdMint::new([7; 16]).event(seq), seq, received }
}

pub(super) async fn deliver(
    client: &Client,
    endpoint: &Endpoint,
    connection: &mut Option<Connection>,
    body: &[u8],
) -> Attempt {
    let event = event(body);
    let delivery = IdMint::new([7; 16]).delivery(event.seq, 0);
    client.attempt(endpoint, connection, Parcel { event: &event, delivery, attempt: 1 }, Instant::now()).await
}

#[track_caller]
pub(super) fn check(attempt: &Attempt, outcome: OutcomeClass, status: Option<u16>) {
    assert_eq!((attempt.outcome, attempt.status), (outcome, status), "{attempt:?}");
    assert!(attempt.duration < TIMEOUT + Duration::from_millis(500), "{attempt:?}");
}

/// One attempt over a new connection: what came of it, and whether the connection stayed.
async fn attempt_against<F, Answer>(script: F) -> (Attempt, bool)
where
    F: Fn(Peer<TcpStream>) -> Answer + Send + 'static,
    Answer: Future<Output = ()> + Send + 'static,
{
    let sink = Sink::start(script).await;
    let mut connection = None;
    let attempt = deliver(&client(), &sink.endpoint(), &mut connection, b"{}").await;
    (attempt, connection.is_some())
}

#[tokio::test]
async fn connections_are_reused() {
    let sink = Sink::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let (client, mut connection) = (client(), None);
    for _ in 0..50 {
        let attempt = deliver(&client, &sink.endpoint(), &mut connection, b"{}").await;
        check(&attempt, OutcomeClass::Succeeded, Some(200));
        assert_eq!((&*attempt.response_body, attempt.error), (&b"ok"[..], None));
    }
    assert_eq!(sink.counts(), (1, 50));
}

#[tokio::test]
async fn bytes_arrive_as_they_were() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let sink = Sink::start(move |mut peer| {
        let sender = sender.clone();
        async move {
            sender.send(peer.request().await.unwrap()).await.unwrap();
            peer.send(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let attempt = deliver(&client(), &sink.endpoint(), &mut None, &body).await;
    check(&attempt, OutcomeClass::Succeeded, Some(204));
    let request = receiver.recv().await.unwrap();
    let head = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert!(request.starts_with(b"POST /hook HTTP/1.1\r\n"));
    assert!(String::from_utf8_lossy(&request[..head]).contains("content-length: 100000\r\n"));
    assert!(request[head..] == body, "the body changed on the way");
}

#[tokio::test]
async fn an_empty_body_says_that_it_is_empty() {
    let sink = Sink::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (client, mut connection) = (client(), None);
    for _ in 0..2 {
        let attempt = deliver(&client, &sink.endpoint(), &mut connection, b"").await;
        check(&attempt, OutcomeClass::Succeeded, Some(200));
    }
    assert_eq!(sink.counts(), (1, 2));
}

#[tokio::test]
async fn redirects_and_refusals_are_answers_like_any_other() {
    for (answer, status) in [
        (&b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"[..], 302),
        (b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", 410),
        (b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", 503),
    ] {
        let sink = Sink::answering(answer).await;
        let attempt = deliver(&client(), &sink.endpoint(), &mut None, b"{}").await;
        check(&attempt, OutcomeClass::Status, Some(status));
        assert_eq!(sink.counts(), (1, 1), "nothing was followed");
        assert_eq!(attempt.response_headers.get("retry-after").is_some(), status == 503);
    }
}

#[tokio::test]
async fn a_server_that_is_silent_costs_the_timeout() {
    let (attempt, _) = attempt_against(|mut peer| async move {
        peer.request().await;
        std::future::pending::<()>().await;
    })
    .await;
    check(&attempt, OutcomeClass::Timeout, None);
    assert!(attempt.duration >= TIMEOUT);
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_a_failed_attempt() {
    let (closed, _) = attempt_against(|mut peer| async move {
        peer.request().await;
    })
    .await;
    check(&closed, OutcomeClass::Protocol, None);
    let (reset, _) = attempt_against(|mut peer| async move {
        peer.request().await;
        socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    check(&reset, OutcomeClass::Protocol, None);
    assert!(reset.error.unwrap().contains("reset"));
}

#[tokio::test]
async fn half_a_close_does_not_hinder_the_answer() {
    let (attempt, stays) = attempt_against(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
        peer.stream.shutdown().await.unwrap();
    })
    .await;
    check(&attempt, OutcomeClass::Succeeded, Some(200));
    assert_eq!((&*attempt.response_body, stays), (&b"until the end"[..], false));
}

#[tokio::test]
async fn a_dripping_answer_ends_at_the_timeout() {
    let head = |mut peer: Peer<TcpStream>| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\nx: ").await;
        peer.flood(b"x", Duration::from_millis(20)).await;
    };
    check(&attempt_against(head).await.0, OutcomeClass::Timeout, None);
    let (attempt, stays) = attempt_against(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        peer.flood(b"x", Duration::from_millis(20)).await;
    })
    .await;
    check(&attempt, OutcomeClass::Timeout, Some(200));
    assert!(!stays && attempt.response_body.len() > 1);
}

#[tokio::test]
async fn an_answer_that_lies_about_its_length_is_not_whole() {
    let (short, stays) = attempt_against(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nonly").await;
    })
    .await;
    check(&short, OutcomeClass::Protocol, Some(200));
    assert_eq!((&*short.response_body, stays), (&b"only"[..], false));
    // What comes after the announced length must not become the answer to the next request.
    let sink = Sink::answering(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let (client, mut connection) = (client(), None);
    for _ in 0..3 {
        let attempt = deliver(&client, &sink.endpoint(), &mut connection, b"{}").await;
        check(&attempt, OutcomeClass::Succeeded, Some(200));
    }
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_read() {
    let sink = Sink::start(|mut peer| async move {
        let mut first = [0; 1];
        peer.stream.read_exact(&mut first).await.unwrap();
        peer.send(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        tokio::time::sleep(TIMEOUT).await;
    })
    .await;
    let mut connection = None;
    let attempt = deliver(&client(), &sink.endpoint(), &mut connection, &vec![b'x'; 8 << 20]).await;
    check(&attempt, OutcomeClass::Status, Some(413));
    assert!(connection.is_none());
}

#[tokio::test]
async fn interim_answers_are_skipped_but_not_for_ever() {
    let (attempt, _) = attempt_against(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    check(&attempt, OutcomeClass::Succeeded, Some(200));
    let (without_end, _) = attempt_against(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    check(&without_end, OutcomeClass::Timeout, None);
    let (endless, _) = attempt_against(|mut peer| async move {
        peer.request().await;
        peer.flood(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(500), Duration::ZERO).await;
    })
    .await;
    check(&endless, OutcomeClass::Protocol, None);
}

#[tokio::test]
async fn heads_and_bodies_without_end_are_bounded() {
    let (many, _) = attempt_against(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\n").await;
        peer.flood(&b"x-filler: 0123456789\r\n".repeat(100), Duration::ZERO).await;
    })
    .await;
    check(&many, OutcomeClass::Protocol, None);
    let (long, _) = attempt_against(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\nx: ").await;
        peer.flood(&[b'x'; 4096], Duration::ZERO).await;
    })
    .await;
    check(&long, OutcomeClass::Protocol, None);
    let (body, stays) = attempt_against(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        peer.flood(&[b"1000\r\n", &[b'x'; 4096][..], b"\r\n"].concat(), Duration::ZERO).await;
    })
    .await;
    check(&body, OutcomeClass::Succeeded, Some(200));
    assert_eq!((body.response_body.len(), stays), (Endpoint::RESPONSE_BYTES_MAX, false));
}

#[tokio::test]
async fn broken_chunks_and_other_protocols_are_failures() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nxx\r\n"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\0\0",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let sink = Sink::start(move |mut peer| async move {
            peer.request().await;
            peer.send(answer).await;
        })
        .await;
        let mut connection = None;
        let attempt = deliver(&client(), &sink.endpoint(), &mut connection, b"{}").await;
        assert!(matches!(attempt.outcome, OutcomeClass::Protocol | OutcomeClass::Status), "{attempt:?}");
        assert!(connection.is_none(), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_body_over_the_bound_keeps_its_beginning_and_the_connection() {
    let sink = Sink::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz").await;
    let (client, mut connection) = (client(), None);
    let mut endpoint = sink.endpoint();
    endpoint.response_bytes_max = 3;
    for _ in 0..2 {
        let attempt = deliver(&client, &endpoint, &mut connection, b"{}").await;
        assert_eq!(&*attempt.response_body, b"abc");
    }
    endpoint.response_bytes_max = 0;
    assert!(deliver(&client, &endpoint, &mut connection, b"{}").await.response_body.is_empty());
    assert_eq!(sink.counts(), (1, 3));
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_nothing() {
    let sink = Sink::start(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let (client, mut connection) = (client(), None);
    for _ in 0..20 {
        let attempt = deliver(&client, &sink.endpoint(), &mut connection, b"{}").await;
        check(&attempt, OutcomeClass::Succeeded, Some(200));
        if let Some(mut idle) = connection.take() {
            client.closed(&mut idle).await;
            connection = Some(idle);
        }
    }
    assert_eq!(sink.counts(), (20, 20), "nothing was lost and nothing sent twice");
}

#[tokio::test]
async fn a_request_that_was_written_is_not_written_again() {
    let sink = Sink::start(|mut peer| async move {
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        peer.request().await;
    })
    .await;
    let (client, mut connection) = (client(), None);
    check(&deliver(&client, &sink.endpoint(), &mut connection, b"{}").await, OutcomeClass::Succeeded, Some(200));
    check(&deliver(&client, &sink.endpoint(), &mut connection, b"{}").await, OutcomeClass::Protocol, None);
    assert_eq!(sink.counts(), (1, 2));
}

#[tokio::test]
async fn a_connection_that_grew_old_is_replaced_so_that_names_are_looked_up_again() {
    let sink = Sink::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (client, mut connection) = (client(), None);
    deliver(&client, &sink.endpoint(), &mut connection, b"{}").await;
    connection.as_mut().unwrap().grow_old();
    deliver(&client, &sink.endpoint(), &mut connection, b"{}").await;
    assert_eq!(sink.counts(), (2, 2));
}

#[tokio::test]
async fn a_new_url_gets_a_new_connection() {
    let first = Sink::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let second = Sink::answering(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await;
    let (client, mut connection) = (client(), None);
    check(&deliver(&client, &first.endpoint(), &mut connection, b"{}").await, OutcomeClass::Succeeded, Some(200));
    check(&deliver(&client, &second.endpoint(), &mut connection, b"{}").await, OutcomeClass::Succeeded, Some(201));
}

#[tokio::test]
async fn what_cannot_be_reached_is_classed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = deliver(&client(), &endpoint(&format!("http://{address}/")), &mut None, b"{}").await;
    check(&refused, OutcomeClass::Connect, None);
    assert!(refused.error.unwrap().contains(&address.to_string()));
    let mut nowhere = endpoint("http://does-not-exist.invalid/");
    nowhere.timeout = Duration::from_secs(20);
    let unknown = deliver(&client(), &nowhere, &mut None, b"{}").await;
    assert_eq!(unknown.outcome, OutcomeClass::Dns, "{unknown:?}");
    assert!(unknown.error.unwrap().contains("does-not-exist.invalid"));
}

#[tokio::test]
async fn a_name_with_several_addresses_is_tried_in_turn() {
    let sink = Sink::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    // localhost is ::1 and 127.0.0.1 on most machines; the sink listens on the second only.
    let attempt =
        deliver(&client(), &endpoint(&format!("http://localhost:{}/", sink.address.port())), &mut None, b"{}").await;
    check(&attempt, OutcomeClass::Succeeded, Some(200));
}

#[tokio::test]
async fn a_full_backlog_costs_the_timeout() {
    // A listener that nobody accepts from: once its backlog is full, connections are not made any more.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        filling.push(stream);
    }
    let attempt = deliver(&client(), &endpoint(&format!("http://{address}/")), &mut None, b"{}").await;
    check(&attempt, OutcomeClass::Timeout, None);
}
