//! The accept loop: takes connections in, counts them, and lets them finish at shutdown.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Body;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

use super::Config;
use super::answer::Ledger;
use super::body::RequestBody;
use super::connection::{Setup, drive};
use super::drain::Drain;
use super::listener::Listener;
use super::opening::{self, Origin, open};
use crate::telemetry::{Cores, IngressMetrics};

/// A listening port with its limits, ready to [`serve`](Self::serve).
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    limits: Arc<ArcSwap<Config>>,
    ledger: Ledger,
    metrics: Arc<IngressMetrics>,
    cores: Cores,
}

/// After the drain deadline requests in flight are told so; this long for their answers to get out.
const CUT_GRACE: Duration = Duration::from_millis(500);

/// At shutdown connections that the kernel has accepted for us are taken in until none comes for this long.
const BACKLOG_QUIET: Duration = Duration::from_millis(20);

/// And for this long at the most: senders that go on coming must not keep the gateway from ending.
const BACKLOG_TIME_MAX: Duration = Duration::from_millis(250);

/// What a connection too many is told, where it listens.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n";

/// One open connection in the gauge.
struct Counted(Arc<IngressMetrics>);

// === impl Server ===

impl Server {
    /// Serves what comes in on `listener` within `limits`. Storing other limits changes everything but
    /// `listen` while it runs: the time-outs for new connections, the rest at once.
    #[must_use]
    pub fn new(listener: Listener, limits: Arc<ArcSwap<Config>>) -> Self {
        Self { listener, limits, ledger: Ledger::default(), metrics: Arc::default(), cores: Cores::default() }
    }

    /// Tells `ledger` what is refused before the service sees it.
    #[must_use]
    pub fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    /// Counts with `metrics`.
    #[must_use]
    pub fn metrics(mut self, metrics: IngressMetrics) -> Self {
        self.metrics = Arc::new(metrics);
        self
    }

    /// Serves connections on these threads.
    #[must_use]
    pub fn cores(mut self, cores: Cores) -> Self {
        self.cores = cores;
        self
    }

    /// Accepts and serves until `shutdown` completes; then stops accepting, closes each connection with its
    /// answer, and returns when all are closed, at the latest `drain_timeout` (plus half a second for the
    /// 503s of what was cut) later.
    ///
    /// Each connection has a clone of `service` of its own, which is called with requests whose extensions hold [`Facts`](crate::domain::Facts)
    /// with the client's address and an [`Arrival`](super::Arrival).
    pub async fn serve<S, B>(self, service: S, shutdown: impl Future<Output = ()>)
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { listener, limits, ledger, metrics, cores } = self;
        let drain = Arc::new(Drain::new());
        let setup = Setup { service, limits, drain: Arc::clone(&drain), ledger, metrics: Arc::clone(&metrics) };
        let mut open = Open { tasks: JoinSet::new(), cores, setup };
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                (stream, peer) = listener.accept(&metrics) => open.take_in(stream, peer),
                Some(ended) = open.tasks.join_next(), if !open.tasks.is_empty() => log_panic(ended),
            }
        }
        drain.begin();
        let backlog_ends = Instant::now() + BACKLOG_TIME_MAX;
        while let Ok((stream, peer)) = timeout(BACKLOG_QUIET, listener.accept(&metrics)).await {
            open.take_in(stream, peer);
            if Instant::now() > backlog_ends {
                break;
            }
        }
        drop(listener);
        let drain_timeout = open.setup.limits.load().drain_timeout;
        let mut deadline = pin!(sleep(drain_timeout));
        tokio::select! {
            () = all_ended(&mut open.tasks) => return,
            () = &mut deadline => {}
        }
        tracing::warn!(connections = open.tasks.len(), "drain deadline passed, cutting what is left");
        drain.cut();
        if timeout(CUT_GRACE, all_ended(&mut open.tasks)).await.is_err() {
            open.tasks.shutdown().await;
        }
    }
}

/// The open connections.
struct Open<S> {
    tasks: JoinSet<()>,
    cores: Cores,
    setup: Setup<S>,
}

// === impl Open ===

impl<S, B> Open<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn take_in(&mut self, stream: TcpStream, peer: SocketAddr) {
        let metrics = &self.setup.metrics;
        let limits = self.setup.limits.load();
        if self.tasks.len() >= limits.connections_max {
            metrics.connections_refused.inc();
            // What fits into the socket's buffer is said, for the rest nobody waits.
            if let Ok(bytes) = stream.try_write(TOO_MANY) {
                metrics.responses.count(StatusCode::SERVICE_UNAVAILABLE);
                metrics.bytes_out.inc_by(bytes as u64);
            }
            return;
        }
        metrics.connections_accepted.inc();
        let counted = Counted::new(metrics);
        let origin = Origin { peer, accepted: Instant::now(), secure: None };
        let moving = match Moving::begin(stream, self.cores.is_here()) {
            Ok(moving) => moving,
            Err(error) => return not_moved(metrics, &error),
        };
        let setup = self.setup.clone();
        // Two tasks rather than one that decides: nothing of the way through TLS is in a plain connection's memory.
        if opening::is_needed(&limits) {
            self.cores.spawn_in(&mut self.tasks, async move {
                match moving.end() {
                    Ok(stream) => open(stream, origin, setup).await,
                    Err(error) => not_moved(&setup.metrics, &error),
                }
                drop(counted);
            });
        } else {
            // The way of plain HTTP: nothing stands between the socket and hyper.
            self.cores.spawn_in(&mut self.tasks, async move {
                match moving.end() {
                    Ok(stream) => drive(stream, origin, setup).await,
                    Err(error) => not_moved(&setup.metrics, &error),
                }
                drop(counted);
            });
        }
    }
}

/// A connection on its way from the runtime that accepted it to the one that will poll it.
enum Moving {
    /// It stays.
    Here(TcpStream),
    /// The one has forgotten it, the other does not know it yet.
    Between(std::net::TcpStream),
}

// === impl Moving ===

impl Moving {
    fn begin(stream: TcpStream, stays: bool) -> io::Result<Self> {
        if stays { Ok(Self::Here(stream)) } else { stream.into_std().map(Self::Between) }
    }

    /// Within the runtime that will poll it.
    fn end(self) -> io::Result<TcpStream> {
        match self {
            Self::Here(stream) => Ok(stream),
            Self::Between(stream) => TcpStream::from_std(stream),
        }
    }
}

/// The kernel has no memory to watch another socket: for the sender it is a connection that was not accepted.
fn not_moved(metrics: &IngressMetrics, error: &io::Error) {
    metrics.accepts_failed.inc();
    tracing::warn!(%error, "cannot watch a new connection; it was closed");
}

// === impl Counted ===

impl Counted {
    fn new(metrics: &Arc<IngressMetrics>) -> Self {
        metrics.connections_open.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections_open.dec();
    }
}

async fn all_ended(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        log_panic(ended);
    }
}

pub(super) fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
