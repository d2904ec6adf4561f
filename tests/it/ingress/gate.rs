//! A running ingress for one test, and raw connections to it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hookward::domain::Facts;
use hookward::guard::{BodyBudget, BodyLayer, Buffered};
use hookward::ingress::{Config, Ledger, Listener, RequestBody, Router, Server, Table, TurnedAway};
use hookward::telemetry::{IngressMetrics, task};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower::{Layer, service_fn};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running ingress. `/hook` answers with the client's address and the body's length; `/slow` answers when
/// [`Gate::release`] is called; `/never` never does. All take POST.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) limits: Arc<ArcSwap<Config>>,
    pub(crate) budget: BodyBudget,
    pub(crate) metrics: IngressMetrics,
    pub(crate) turned_away: Arc<Mutex<Vec<TurnedAway>>>,
    pub(crate) slow_begun: Arc<Notify>,
    pub(crate) release: Arc<Notify>,
    shutdown: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

/// A raw connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Short limits, so that no test takes long; the rest as it is by default.
pub(crate) fn short() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        header_timeout: Duration::from_millis(500),
        request_timeout: Duration::from_millis(900),
        idle_timeout: Duration::from_millis(1200),
        drain_timeout: Duration::from_secs(5),
        body_bytes_max: 100_000,
        ..Config::default()
    }
}

/// A POST to `path` with `body`.
pub(crate) fn request(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Sends `drip` again and again until the other side has answered or closed.
pub(crate) async fn drip_until_answered(peer: &mut Peer, drip: &str) -> Answer {
    let (reader, mut writer) = std::mem::replace(&mut peer.stream, loopback().await).into_split();
    let drip = drip.to_owned();
    let dripping = task::spawn("drip", async move {
        while writer.write_all(drip.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    // Only the reading half is waited on; the writing half goes on as an attacker's would.
    let answer = peer.answer_from(reader).await;
    dripping.abort();
    answer
}

async fn loopback() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
}

type Whole = Request<Buffered>;
type Reply = Response<Full<Bytes>>;
type Boxed = tower::util::BoxCloneSyncService<Request<RequestBody>, Reply, Infallible>;

// === impl Gate ===

impl Gate {
    pub(crate) async fn open(config: Config) -> Self {
        Self::open_behind(config, |service| service).await
    }

    /// With `wrap` around every service: a guard in front of the body, say.
    pub(crate) async fn open_behind(config: Config, wrap: impl Fn(Boxed) -> Boxed) -> Self {
        let listener = Listener::bind(config.listen).unwrap();
        let address = listener.local_addr();
        let budget = BodyBudget::new(config.body_memory_max);
        let body = BodyLayer::new(config.body_bytes_max, config.request_timeout, budget.clone());
        let (slow_begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let hook = body.layer(service_fn(|request: Whole| async move {
            let client = request.extensions().get::<Facts>().unwrap().client.unwrap();
            let text = format!("{client} {}", request.body().bytes().len());
            Ok::<_, Infallible>(Response::new(Full::from(text)))
        }));
        let (begun, released) = (Arc::clone(&slow_begun), Arc::clone(&release));
        let slow = body.layer(service_fn(move |_: Whole| {
            let (begun, released) = (Arc::clone(&begun), Arc::clone(&released));
            async move {
                begun.notify_one();
                released.notified().await;
                Ok::<_, Infallible>(Response::new(Full::from("slow")))
            }
        }));
        let never = body.layer(service_fn(|_: Whole| std::future::pending::<Result<Reply, Infallible>>()));
        let post = || vec![Method::POST];
        let table = Table::new([
            (Box::from("/hook"), post(), wrap(Boxed::new(hook))),
            (Box::from("/slow"), post(), wrap(Boxed::new(slow))),
            (Box::from("/never"), post(), wrap(Boxed::new(never))),
        ])
        .unwrap();
        let router = Router::new(Arc::new(ArcSwap::from_pointee(table)));
        let limits = Arc::new(ArcSwap::from_pointee(config));
        let (metrics, turned_away) = (IngressMetrics::default(), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&turned_away);
        let ledger = Ledger::new(move |turned| {
            kept.lock().unwrap().push(turned);
            Some(HeaderValue::from_static("rejection_test"))
        });
        let server = Server::new(listener, Arc::clone(&limits)).ledger(ledger).metrics(metrics.clone());
        let (shutdown, asked) = oneshot::channel();
        let serving = task::spawn("gate", async move {
            server.serve(router, async { drop(asked.await) }).await;
        });
        let shutdown = Some(shutdown);
        Self { address, limits, budget, metrics, turned_away, slow_begun, release, shutdown, serving }
    }

    pub(crate) async fn connect(&self) -> Peer {
        Peer::over(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut peer = self.connect().await;
        peer.write(bytes).await;
        peer.answer().await
    }

    pub(crate) fn shut_down(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    /// Waits until `serve` has returned.
    pub(crate) async fn ended(self) {
        timeout(PATIENCE, self.serving).await.expect("the server ends").unwrap();
    }

    /// The codes of what the ingress refused by itself.
    pub(crate) fn refusals(&self) -> Vec<&'static str> {
        self.turned_away.lock().unwrap().iter().map(|turned| turned.refused.rejection.reason.code()).collect()
    }
}

// === impl Peer ===

impl Peer {
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer; panics where the connection ends without one.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("an answer")
    }

    /// The next answer, or nothing where the connection ends before it begins.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let head_end = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more().await {
                assert!(self.unread.is_empty(), "half a head: {:?}", String::from_utf8_lossy(&self.unread));
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..head_end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.to_lowercase();
        let length = length
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        while self.unread.len() < length {
            assert!(self.more().await, "half a body");
        }
        let body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        Some(Answer { status, head, body })
    }

    /// The next answer out of another reader, while this peer's own stream is busy elsewhere.
    pub(crate) async fn answer_from(&mut self, mut reader: impl AsyncRead + Unpin) -> Answer {
        let mut bytes = Vec::new();
        // A reset after the answer is the attacker's own doing.
        drop(timeout(PATIENCE, reader.read_to_end(&mut bytes)).await.expect("the end"));
        self.unread = bytes;
        self.answer().await
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8(std::mem::take(&mut self.unread)).unwrap()
    }

    /// Waits for the other side to close; panics on anything else, a reset included.
    pub(crate) async fn closed(&mut self) {
        assert!(!self.more().await, "not closed: {:?}", String::from_utf8_lossy(&self.unread));
    }

    async fn more(&mut self) -> bool {
        let mut bytes = vec![0; 16 << 10];
        let count = timeout(PATIENCE, self.stream.read(&mut bytes)).await.expect("bytes or the end").unwrap();
        self.unread.extend_from_slice(&bytes[..count]);
        count > 0
    }
}

// === impl Answer ===

impl Answer {
    /// The `code` of the problem+json.
    pub(crate) fn code(&self) -> &str {
        self.body.split(r#""code":""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default()
    }

    pub(crate) fn closes(&self) -> bool {
        self.head.to_lowercase().contains("\r\nconnection: close\r\n")
    }
}
