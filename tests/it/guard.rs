//! The guards as another app uses them: axum's router behind them, hyper's server in front, a real socket.

mod hmac_vectors;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use hookward::domain::{Clock, Facts, Secret, Timestamp};
use hookward::guard::signature::{self, Signing, Verifier, presets};
use hookward::guard::{
    AllowIps, AllowIpsLayer, BodyBudget, BodyLayer, Declared, DeclaredLayer, Dedup, DedupLayer, Envelope,
    EnvelopeLayer, GuardLayer, RateLimit, RateLimitLayer, ReplayWindow, ReplayWindowLayer, Signature, SignatureHead,
    SignatureHeadLayer, SignatureLayer, allow_ips, declared, dedup, envelope, rate_limit, replay_window,
};
use http::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::{ServiceExt, service_fn};

const NOW: Timestamp = Timestamp(1_763_900_000_000);
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

struct App {
    address: SocketAddr,
    verifier: Arc<Verifier>,
    _server: JoinSet<()>,
}

impl App {
    /// An axum app behind every guard in the order of the design, on a port of its own.
    async fn start(networks: &str, requests: u32) -> Self {
        let clock = Clock::manual(NOW);
        let scheme = presets::STANDARD_WEBHOOKS.scheme();
        let config = signature::Config { scheme, secrets: vec![Secret::new(SECRET)], public_url: None };
        let verifier = Arc::new(Verifier::new(&config).expect("a verifier"));
        let requests = NonZeroU32::new(requests).expect("not zero");
        let limit = |by| RateLimit::new(&rate_limit::Config::new(requests, Duration::from_secs(60), by), clock.clone());
        let declared = declared::Config { body_bytes_max: 1024, content_types: Some(vec!["application/json".into()]) };
        let dedup = dedup::Config::default();
        let marks = Arc::new(dedup::MemoryMarks::new(1024, dedup.window, clock.clone()));
        let before_body = (
            AllowIpsLayer::new(AllowIps::new(&allow_ips::Config::parse_list(networks).expect("a list"))),
            RateLimitLayer::new(limit(rate_limit::By::Ip)),
            DeclaredLayer::new(Declared::new(declared)),
            SignatureHeadLayer::new(SignatureHead(Arc::clone(&verifier))),
            BodyLayer::new(1024, Duration::from_secs(8), BodyBudget::new(1 << 20)),
        );
        let after_body = (
            SignatureLayer::new(Signature(Arc::clone(&verifier))),
            ReplayWindowLayer::new(ReplayWindow::new(replay_window::Config::default(), clock.clone())),
            EnvelopeLayer::new(Envelope::new(envelope::Config::of(&presets::STANDARD_WEBHOOKS.scheme()))),
            RateLimitLayer::new(limit(rate_limit::By::Source)),
            GuardLayer::new(Dedup::new(&dedup, "in", [7; 16])),
            DedupLayer::new(marks),
        );
        let app = Router::new().route("/in", post(|body: String| async move { body })).layer((before_body, after_body));

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.expect("accepted");
                connections.spawn(serve(stream, peer.ip(), app.clone()));
            }
        });
        Self { address, verifier, _server: server }
    }

    /// The head and the body of an event, signed.
    fn event(&self, id: &str, signed_at: Timestamp, body: &str) -> String {
        let (method, uri) = (Method::POST, Uri::from_static("/in"));
        let signing = Signing {
            body: body.as_bytes(),
            id: Some(id),
            signed_at,
            method: &method,
            uri: &uri,
            headers: &http::HeaderMap::new(),
        };
        let mut request = format!(
            "POST /in HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in self.verifier.sign(&signing, 0).expect("signed") {
            request += &format!("{name}: {}\r\n", value.to_str().expect("text"));
        }
        request + "\r\n" + body
    }

    /// Sends bytes and nothing more; the status and the whole answer.
    async fn send(&self, bytes: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(bytes.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer)
    }

    #[track_caller]
    fn check(answer: &(u16, String), status: u16, contains: &str) {
        assert!(answer.0 == status && answer.1.contains(contains), "expected {status} and `{contains}`: {}", answer.1);
    }
}

/// Serves a connection; a server that knows its peers says who they are.
async fn serve(stream: TcpStream, client: IpAddr, app: Router) {
    let app = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Facts { client: Some(client), ..Facts::default() });
        app.clone().oneshot(request.map(Body::new))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    drop(connection.await);
}

const BODY: &str = r#"{"type":"contact.created","data":{}}"#;

#[tokio::test]
async fn a_genuine_event_gets_through_once() {
    let app = App::start("127.0.0.0/8", 100).await;
    let event = app.event("msg_1", NOW, BODY);
    App::check(&app.send(&event).await, 200, BODY);
    let copy = app.send(&event).await;
    App::check(&copy, 200, "hookward-duplicate: true");
    assert!(!copy.1.contains(BODY));
    App::check(&app.send(&app.event("msg_2", NOW, BODY)).await, 200, BODY);
}

#[tokio::test]
async fn what_is_not_genuine_is_refused_with_its_status() {
    let app = App::start("127.0.0.0/8", 100).await;
    let event = app.event("msg_1", NOW, BODY);
    App::check(&app.send(&event.replace("created", "deleted")).await, 401, "signature_mismatch");
    App::check(&app.send(&event.replace("msg_1", "msg_2")).await, 401, "signature_mismatch");
    App::check(&app.send(&app.event("msg_1", Timestamp(NOW.0 - 301_000), BODY)).await, 401, "timestamp_too_old");
    App::check(&app.send(&app.event("msg_1", Timestamp(NOW.0 + 301_000), BODY)).await, 401, "timestamp_in_future");
    App::check(&app.send(&app.event("msg_1", NOW, r#"{"type":"a","type":"b"}"#)).await, 400, "body_duplicate_key");
    App::check(&app.send(&event).await, 200, BODY);
}

#[tokio::test]
async fn what_can_be_refused_before_the_body_is_refused_before_it_is_sent() {
    let app = App::start("127.0.0.0/8", 100).await;
    let event = app.event("msg_1", NOW, BODY);
    let (head, _) = event.split_once("\r\n\r\n").expect("a head");
    // The sender waits for leave to send its body, and is refused instead.
    let head = format!("{head}\r\nexpect: 100-continue\r\n\r\n");
    App::check(&app.send(&head.replace("application/json", "text/plain")).await, 415, "content_type_not_allowed");
    App::check(&app.send(&head.replace("content-length: 36", "content-length: 1025")).await, 413, "body_too_large");
    App::check(&app.send(&head.replace("webhook-signature", "x")).await, 401, "signature_missing");
    App::check(&app.send(&head.replace("v1,", "v9,")).await, 401, "signature_malformed");

    let elsewhere = App::start("192.0.2.0/24", 100).await;
    App::check(&elsewhere.send(&head).await, 403, "address_not_allowed");
}

#[tokio::test]
async fn who_sends_too_fast_is_told_when_to_come_again() {
    let app = App::start("127.0.0.0/8", 2).await;
    for id in ["msg_1", "msg_2"] {
        App::check(&app.send(&app.event(id, NOW, BODY)).await, 200, BODY);
    }
    let answer = app.send(&app.event("msg_3", NOW, BODY)).await;
    App::check(&answer, 429, "retry-after: 30\r\n");
    App::check(&answer, 429, "rate_limited");
}
