//! One HTTP/2 connection from its preface to its end.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};
use tower_service::Service;

use super::limits::{
    CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, HEADER_LIST_FACTOR, HEADER_TABLE_BYTES, PING_INTERVAL, PING_TIMEOUT,
    RESETS_LOCAL_MAX, RESETS_PENDING_MAX, SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use super::service::Adapter;
use super::session::{Due, Session};
use super::streams::Streams;
use super::watched::Watched;
use crate::deadline::Lateness;
use crate::ingress::Config;
use crate::ingress::body::RequestBody;
use crate::ingress::drain::Stage;
use crate::ingress::service::Shared;

/// Serves one connection to its end.
pub(in crate::ingress) async fn drive<T, S, B>(io: T, service: S, shared: Arc<Shared>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let config = shared.limits.load_full();
    let session = Arc::new(Session::new(shared));
    let stream = Watched::new(io, Arc::clone(&session));
    // The service has request_timeout, and whoever reads its answer as long again.
    let streams = Streams::new(Arc::clone(&session), config.request_timeout * 2);
    let adapter =
        Adapter { service: RefCell::new(service), session: Arc::clone(&session), leftover: streams.leftover() };
    let mut connection = pin!(builder(&config, streams).serve_connection(TokioIo::new(stream), adapter));
    let drain = Arc::clone(&session.shared.drain);
    let mut wakes = pin!(drain.wakes());
    let nap_max = config.header_timeout.min(config.request_timeout).min(config.idle_timeout);
    let mut timer = pin!(sleep(nap_max));
    let mut lateness = Lateness::default();
    let mut seen = None;
    poll_fn(|cx| {
        loop {
            if connection.as_mut().poll(cx).is_ready() || wakes.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if seen != Some(drain.stage()) {
                // Read after the signal is armed: a change in between would wake nobody.
                seen = Some(drain.stage());
                if seen != Some(Stage::Open) {
                    session.closes();
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
            }
            let (deadline, due) = session.deadline(&config);
            let now = Instant::now();
            let next = if now < deadline {
                Some(deadline.min(now + nap_max))
            } else {
                lateness.look_again(deadline, now, session.reads())
            };
            match (next, due) {
                (Some(at), _) => timer.as_mut().reset(at),
                (None, Due::Close) => return Poll::Ready(()),
                (None, Due::Goodbye) => {
                    session.closes();
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// hyper's server, with nothing left to its defaults.
fn builder(config: &Config, streams: Streams) -> Builder<Streams> {
    let header_list = config.headers_bytes_max.saturating_mul(HEADER_LIST_FACTOR);
    let mut builder = Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
        .header_table_size(HEADER_TABLE_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_LOCAL_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
