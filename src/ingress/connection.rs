//! One connection from its first byte to its end: hyper's HTTP/1.1 state machine, one timer, one drain signal.
//!
//! The timer is set once and looks at [`Progress`] when it fires, so that a request costs no timer: it never
//! sleeps longer than the shortest limit, and so never past a deadline that was set while it slept. A deadline that has
//! passed counts when what had come was read ([`Lateness`]).

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower_service::Service;

use super::answer::Ledger;
use super::body::RequestBody;
use super::drain::Drain;
use super::opening::Origin;
use super::prefixed::Prefixed;
use super::progress::{Overdue, Progress};
use super::service::{Adapter, Shared};
use super::stream::Stream;
use super::{Config, http2};
use crate::deadline::Lateness;
use crate::domain::{Reason, Rejection};
use crate::telemetry::{IngressMetrics, Protocol};

/// What every connection is given.
#[derive(Clone, Debug)]
pub(super) struct Setup<S> {
    pub(super) service: S,
    pub(super) limits: Arc<ArcSwap<Config>>,
    pub(super) drain: Arc<Drain>,
    pub(super) ledger: Ledger,
    pub(super) metrics: Arc<IngressMetrics>,
}

/// How a connection came to its end.
enum End {
    /// hyper is done with it and has said goodbye.
    Closed,
    /// Its head is late.
    HeadLate,
    /// Nobody waits for a word.
    Quiet,
    /// It has not begun: what is spoken is HTTP/2.
    Http2,
}

/// After the last answer what is still on its way is read and dropped for this long: closing at once would reset
/// the connection and take the answer from the sender. A sender that closes too ends it.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// And not more than this, in bytes.
pub(super) const LINGER_BYTES_MAX: usize = 1 << 20;

/// What is read and dropped at a time, in bytes.
const LINGER_BUFFER_BYTES: usize = 8 << 10;

/// The smallest buffer that hyper takes, in bytes.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// Serves one connection to its end.
pub(super) async fn drive<T, S, B>(io: T, origin: Origin, setup: Setup<S>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let config = setup.limits.load_full();
    let (service, shared) = Shared::new(origin, setup);
    let shared = Arc::new(shared);
    let stream = Stream::new(io, Arc::clone(&shared));
    let adapter = Adapter { service: RefCell::new(service), shared: Arc::clone(&shared) };
    let mut connection = http1::Builder::new()
        // Our own timer does this, with an answer.
        .header_read_timeout(None)
        .max_header_size(config.headers_bytes_max)
        .max_buf_size(config.headers_bytes_max.max(BUFFER_BYTES_MIN))
        // A sender that closes its writing side still gets its answer.
        .half_close(true)
        // Most answers are a few bytes: copied behind their head they go out in one plain write.
        .writev(false)
        .serve_connection(TokioIo::new(stream), adapter);
    let Shared { progress, drain, metrics, .. } = &*shared;
    let end = until_its_end(&mut connection, progress, &config, drain).await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    let late = match end {
        End::Http2 => {
            let (io, first) = stream.into_parts();
            metrics.protocols.count(Protocol::Http2, None);
            let service = parts.service.service.into_inner();
            return Box::pin(http2::drive(Prefixed::new(first, io), service, Arc::clone(&shared))).await;
        }
        End::Quiet => return,
        End::HeadLate if progress.is_write_blocked() => return,
        End::HeadLate => {
            Some(stream.refuse_head(Rejection::new(Reason::HeaderTimeout, "head incomplete at header_timeout")))
        }
        // Whether more is on its way nobody knows: a refused body, a pipelined request.
        End::Closed => None,
    };
    let (mut io, _) = stream.into_parts();
    if let Some(answer) = late {
        if !matches!(timeout(LINGER, io.write_all(&answer)).await, Ok(Ok(()))) {
            return;
        }
        metrics.bytes_out.inc_by(answer.len() as u64);
    }
    linger(io, metrics).await;
}

/// Polls hyper's connection until it is done or a deadline has passed that no answer can follow.
async fn until_its_end<C: Future + Unpin>(
    connection: &mut C,
    progress: &Progress,
    config: &Config,
    drain: &Drain,
) -> End {
    let mut wakes = pin!(drain.wakes());
    let mut timer = pin!(Timer::new(config));
    let mut seen = None;
    poll_fn(|cx| {
        loop {
            if Pin::new(&mut *connection).poll(cx).is_ready() {
                return Poll::Ready(End::Closed);
            }
            if progress.is_http2() {
                return Poll::Ready(End::Http2);
            }
            if seen != Some(drain.stage()) {
                // Polled only when there is something to hear: the waker of a task stays the same.
                if wakes.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(End::Quiet);
                }
                // Read after the signal is armed: a change in between would wake nobody.
                seen = Some(drain.stage());
                timer.as_mut().look_again();
            }
            match timer.as_mut().poll_overdue(cx, progress, config, drain) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Overdue::Request) if !progress.is_expired() => progress.expire(),
                Poll::Ready(Overdue::Head) => return Poll::Ready(End::HeadLate),
                Poll::Ready(Overdue::Request | Overdue::Quiet) => return Poll::Ready(End::Quiet),
            }
        }
    })
    .await
}

/// Says goodbye and drops what is still on its way, bounded in time and bytes.
pub(super) async fn linger<T: AsyncRead + AsyncWrite + Unpin>(mut io: T, metrics: &IngressMetrics) {
    let reading = async {
        // A peer that is gone already makes this fail, and there is nothing left to do then.
        if io.shutdown().await.is_err() {
            return;
        }
        // Not an array: it would lie in every connection's task all the time.
        let mut dropped = vec![0; LINGER_BUFFER_BYTES];
        let mut left = LINGER_BYTES_MAX;
        while let Ok(count @ 1..) = io.read(&mut dropped).await {
            metrics.bytes_in.inc_by(count as u64);
            match left.checked_sub(count) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    drop(timeout(LINGER, reading).await);
}

pin_project! {
    /// The connection's one timer.
    struct Timer {
        #[pin]
        sleep: Sleep,
        nap_max: Duration,
        look_again: bool,
        lateness: Lateness,
    }
}

// === impl Timer ===

impl Timer {
    fn new(config: &Config) -> Self {
        let nap_max = config.header_timeout.min(config.request_timeout).min(config.idle_timeout);
        Self { sleep: sleep(nap_max), nap_max, look_again: false, lateness: Lateness::default() }
    }

    /// Makes the next poll look at the deadline whatever the time: it may have moved to an earlier one.
    fn look_again(self: Pin<&mut Self>) {
        *self.project().look_again = true;
    }

    fn poll_overdue(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        progress: &Progress,
        config: &Config,
        drain: &Drain,
    ) -> Poll<Overdue> {
        let mut this = self.project();
        loop {
            if !std::mem::take(this.look_again) {
                ready!(this.sleep.as_mut().poll(cx));
            }
            let (deadline, overdue) = progress.deadline(config, drain);
            let now = Instant::now();
            let next = if now < deadline {
                Some(deadline.min(now + *this.nap_max))
            } else {
                this.lateness.look_again(deadline, now, progress.reads())
            };
            match next {
                Some(at) => this.sleep.as_mut().reset(at),
                None => {
                    *this.look_again = true;
                    return Poll::Ready(overdue);
                }
            }
        }
    }
}
