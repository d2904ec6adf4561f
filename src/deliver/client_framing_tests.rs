//! The client against hyper's server, which knows nothing of it, and against answers at the wrong time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client_tests::{Sink, TIMEOUT, check, client, deliver};
use crate::domain::OutcomeClass;

type Body = BoxBody<Bytes, Infallible>;

/// Pieces that hyper sends as chunks, and a trailer behind them.
struct Pieces(Vec<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.pop().map(|piece| Ok(Frame::data(piece))))
    }
}

/// Answers with what was sent, framed in another way each time.
async fn echo(request: Request<Incoming>, number: usize) -> Response<Body> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("1"));
    let mut response = Response::new(match number % 3 {
        0 => Full::new(body).boxed(),
        1 => Pieces(body.chunks(1000).rev().map(Bytes::copy_from_slice).collect()).boxed(),
        _ => Full::new(body).with_trailers(async move { Some(Ok(trailers)) }).boxed(),
    });
    response.headers_mut().insert("trailer", HeaderValue::from_static("x-checksum"));
    response.headers_mut().insert("x-number", HeaderValue::from(number));
    response
}

#[tokio::test]
async fn hypers_server_gets_what_was_sent_and_is_understood() {
    let served = Arc::new(AtomicUsize::new(0));
    let sink = Sink::start(move |peer| {
        let served = Arc::clone(&served);
        async move {
            let service = service_fn(move |request| {
                let number = served.fetch_add(1, Ordering::SeqCst);
                async move { Ok::<_, Infallible>(echo(request, number).await) }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(peer.stream), service);
            connection.await.unwrap_or_default();
        }
    })
    .await;
    let (client, mut connection) = (client(), None);
    let mut endpoint = sink.endpoint();
    endpoint.timeout = Duration::from_secs(20);
    endpoint.response_bytes_max = 4 << 20;
    for (number, bytes) in [0, 1, 999, 1000, 65_536, 100_000, 3 << 20, 0, 7, 70_000].into_iter().enumerate() {
        let body: Vec<u8> = (0..=255).cycle().take(bytes).collect();
        let attempt = deliver(&client, &endpoint, &mut connection, &body).await;
        assert_eq!((attempt.outcome, attempt.status), (OutcomeClass::Succeeded, Some(200)), "{number}: {attempt:?}");
        assert!(attempt.response_body == body, "{number}: the answer's body differs");
        assert_eq!(attempt.response_headers.get("x-number"), Some(number.to_string().as_bytes()));
    }
    assert_eq!(sink.counts().0, 1, "all over one connection");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_answers_nothing() {
    let sink = Sink::start(|mut peer| async move {
        while peer.request().await.is_some() {
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            // As a load balancer says good-bye to an idle client.
            peer.send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let (client, mut connection) = (client(), None);
    for _ in 0..5 {
        check(&deliver(&client, &sink.endpoint(), &mut connection, b"{}").await, OutcomeClass::Succeeded, Some(200));
        if let Some(mut idle) = connection.take() {
            client.closed(&mut idle).await;
            connection = Some(idle);
        }
    }
    assert_eq!(sink.counts(), (5, 5), "each over a connection of its own");
}

#[tokio::test]
async fn an_early_answer_is_read_to_its_end_while_the_request_still_goes_out() {
    let sink = Sink::start(|mut peer| async move {
        let mut first = [0; 1];
        peer.stream.read_exact(&mut first).await.unwrap();
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
        // The second half comes only after the whole request.
        let mut rest = vec![0; 8 << 20];
        peer.stream.read_exact(&mut rest).await.unwrap();
        peer.send(b"half").await;
        peer.stream.shutdown().await.unwrap();
    })
    .await;
    let mut endpoint = sink.endpoint();
    endpoint.timeout = Duration::from_secs(20);
    let mut connection = None;
    let attempt = deliver(&client(), &endpoint, &mut connection, &vec![b'x'; 8 << 20]).await;
    assert_eq!((attempt.outcome, &*attempt.response_body), (OutcomeClass::Succeeded, &b"halfhalf"[..]), "{attempt:?}");
}

#[tokio::test]
async fn a_connection_whose_request_was_not_written_whole_is_not_used_again() {
    let sink = Sink::start(|mut peer| async move {
        let mut first = [0; 1];
        peer.stream.read_exact(&mut first).await.unwrap();
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut connection = None;
    let attempt = deliver(&client(), &sink.endpoint(), &mut connection, &vec![b'x'; 8 << 20]).await;
    check(&attempt, OutcomeClass::Succeeded, Some(200));
    assert!(connection.is_none());
}

#[tokio::test]
async fn a_request_that_is_not_taken_costs_the_timeout_and_says_so() {
    let sink = Sink::start(|peer| async move {
        std::future::pending::<()>().await;
        drop(peer);
    })
    .await;
    let attempt = deliver(&client(), &sink.endpoint(), &mut None, &vec![b'x'; 32 << 20]).await;
    check(&attempt, OutcomeClass::Timeout, None);
    assert!(attempt.duration >= TIMEOUT);
    assert!(attempt.error.unwrap().contains("the request was not taken"));
}
