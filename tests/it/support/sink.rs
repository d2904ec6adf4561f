//! A destination in the test's own process: notes every request that reaches it and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::{Port, eventually, sha256};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) sha256: [u8; 32],
    /// When the body was whole.
    pub(crate) at: Instant,
    /// For how long it was kept waiting.
    pub(crate) held: Held,
    /// The status that was decided on; 0 where there is no answer.
    pub(crate) status: u16,
}

impl Hit {
    /// A header's value, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("(not ASCII)"))
    }

    /// What `Hookward-Attempt` says.
    pub(crate) fn attempt(&self) -> u32 {
        self.header("hookward-attempt").parse().unwrap_or_else(|_| panic!("no number of the attempt in {self:?}"))
    }
}

/// From the moment when a request's head had been read until its answer was written, or given up.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    from: Instant,
    until: Arc<OnceLock<Instant>>,
}

/// What a sink does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Answers with this status, these headers and this body, after a while.
    Reply { status: u16, headers: Vec<(&'static str, String)>, body: Bytes, delay: Duration },
    /// Never answers; ends when the other side gives up.
    Hang,
    /// Closes the connection without a word.
    Close,
}

// === impl Held ===

impl Held {
    /// From now on.
    fn begin() -> Self {
        Self { from: Instant::now(), until: Arc::default() }
    }

    /// One that is over.
    pub(crate) fn between(from: Instant, until: Instant) -> Self {
        Self { from, until: Arc::new(OnceLock::from(until)) }
    }

    pub(crate) fn from(&self) -> Instant {
        self.from
    }

    /// Now, where it is not over.
    pub(crate) fn until(&self) -> Instant {
        self.until.get().copied().unwrap_or_else(Instant::now)
    }
}

/// Ends a [`Held`] when it goes: when the answer is there, or when nobody waits for it any more.
struct Ends(Held);

impl Drop for Ends {
    fn drop(&mut self) {
        let _already = self.0.until.set(Instant::now());
    }
}

impl Answer {
    /// A bare status.
    pub(crate) fn status(status: u16) -> Self {
        Self::Reply { status, headers: Vec::new(), body: Bytes::new(), delay: Duration::ZERO }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Self::Reply { headers, .. } = &mut self {
            headers.push((name, value.to_string()));
        }
        self
    }

    /// With a body.
    pub(crate) fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        if let Self::Reply { body, .. } = &mut self {
            *body = bytes.into();
        }
        self
    }

    /// Later.
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        if let Self::Reply { delay, .. } = &mut self {
            *delay = wait;
        }
        self
    }
}

type Decide = dyn Fn(&Hit) -> Answer + Send + Sync;

struct State {
    hits: Mutex<Vec<Hit>>,
    decide: Mutex<Arc<Decide>>,
    connections: AtomicUsize,
    forgets: AtomicBool,
}

/// A running destination.
pub(crate) struct Sink {
    address: SocketAddr,
    _port: Arc<Port>,
    state: Arc<State>,
    server: Option<JoinHandle<()>>,
}

impl fmt::Debug for Sink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sink").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Sink {
    /// A sink that answers 200 to everything.
    pub(crate) async fn start() -> Self {
        Self::answering(|_| Answer::status(200)).await
    }

    /// A sink that decides by the request.
    pub(crate) async fn answering(decide: impl Fn(&Hit) -> Answer + Send + Sync + 'static) -> Self {
        let port = Port::take();
        Self::at(port.address(), Arc::new(port), Arc::new(decide)).await
    }

    /// Another one that answers 200 to everything, at the same port of another address of this machine.
    pub(crate) async fn beside(&self, address: Ipv4Addr) -> Self {
        let address = (address, self.address.port()).into();
        Self::at(address, Arc::clone(&self._port), Arc::new(|_: &Hit| Answer::status(200))).await
    }

    async fn at(address: SocketAddr, port: Arc<Port>, decide: Arc<Decide>) -> Self {
        let state = Arc::new(State {
            hits: Mutex::default(),
            decide: Mutex::new(decide),
            connections: AtomicUsize::new(0),
            forgets: AtomicBool::new(false),
        });
        let mut sink = Self { address, _port: port, state, server: None };
        sink.up().await;
        sink
    }

    /// A sink that gives these answers in turn, and then 200.
    pub(crate) async fn scripted(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Mutex::new(answers.into_iter().collect::<VecDeque<_>>());
        Self::answering(move |_| script.lock().unwrap().pop_front().unwrap_or_else(|| Answer::status(200))).await
    }

    /// Decides otherwise from now on.
    pub(crate) fn answer(&self, decide: impl Fn(&Hit) -> Answer + Send + Sync + 'static) {
        *self.state.decide.lock().unwrap() = Arc::new(decide);
    }

    /// Goes away: connections are closed, new ones refused.
    pub(crate) async fn down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _aborted = server.await;
        }
        self.state.connections.store(0, Ordering::SeqCst);
    }

    /// Comes back at the same address.
    pub(crate) async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let state = Arc::clone(&self.state);
        self.server = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        state.connections.fetch_add(1, Ordering::SeqCst);
                        connections.spawn(serve(accepted.unwrap().0, Arc::clone(&state)));
                    }
                    Some(_) = connections.join_next() => { state.connections.fetch_sub(1, Ordering::SeqCst); }
                }
            }
        }));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Keeps nothing from now on: for long runs, whose tests note what they need when they decide.
    pub(crate) fn forget(&self) {
        self.state.forgets.store(true, Ordering::SeqCst);
    }

    /// Everything that arrived, in order.
    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.state.hits.lock().unwrap().clone()
    }

    /// How much arrived.
    pub(crate) fn count(&self) -> usize {
        self.state.hits.lock().unwrap().len()
    }

    /// Waits until this much has arrived and gives it.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Hit> {
        let what = format!("{count} requests at the sink");
        eventually(&what, async || (self.count() >= count).then(|| self.hits())).await
    }

    /// Waits until all connections are closed: the gateway is dead and all that it had sent is noted.
    pub(crate) async fn quiet(&self) {
        eventually("the end of the dead gateway's connections", async || {
            (self.state.connections.load(Ordering::SeqCst) == 0).then_some(())
        })
        .await;
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let _nodelay = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    let _closed = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Why a connection ends without an answer; hyper wants an error for that.
#[derive(Debug, thiserror::Error)]
#[error("the sink closes the connection")]
struct Closed;

impl From<Infallible> for Closed {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Closed> {
    let held = Held::begin();
    let _ends = Ends(held.clone());
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Err(Closed) };
    let body = body.to_bytes();
    let mut hit = Hit {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        sha256: sha256(&body),
        body,
        at: Instant::now(),
        held,
        status: 0,
    };
    let decide = Arc::clone(&state.decide.lock().unwrap());
    let answer = decide(&hit);
    if let Answer::Reply { status, .. } = answer {
        hit.status = status;
    }
    if !state.forgets.load(Ordering::SeqCst) {
        state.hits.lock().unwrap().push(hit);
    }
    match answer {
        Answer::Reply { status, headers, body, delay } => {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(body)).unwrap())
        }
        Answer::Hang => std::future::pending().await,
        Answer::Close => Err(Closed),
    }
}
