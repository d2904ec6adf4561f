//! A store with events in it, and the admin port around it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use bytes::Bytes;
use hookward::api::{self, Configured, DestinationEntry, Masks, Role, SourceEntry, Token};
use hookward::domain::{
    Attempt, Clock, DeadReason, EventId, HeaderBlock, HeaderBlockBuilder, NewEvent, Next, OutcomeClass, Plan,
    PlannedDelivery, Route, Routes, Secret, Settlement, Timestamp,
};
use hookward::ingress::{Arrival, Scheme};
use hookward::store::embedded::{Config, Durability, Embedded};
use hookward::store::{Admission, Admitted, Claim, Store, TargetSettings};
use hookward::telemetry::{Metrics, Readiness};
use http::{HeaderName, Method, Request};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::support::Reply;

pub(crate) const ADMIN: &str = "canary-admin-token-5b1d";
pub(crate) const VIEWER: &str = "canary-viewer-token-77aa";
pub(crate) const PUBLISHER: &str = "canary-publisher-token-0c3e";

pub(crate) const SHOP_ADMIN: &str = "canary-shop-admin-token-91cc";
pub(crate) const SHOP_VIEWER: &str = "canary-shop-viewer-token-2d0f";
const SHOP_PUBLISHER: &str = "canary-shop-publisher-token-e47b";

/// Every token with its role, and whether it is bound to the project `shop`.
pub(crate) const TOKENS: [(&str, Role, bool); 6] = [
    (ADMIN, Role::Admin, false),
    (VIEWER, Role::Viewer, false),
    (PUBLISHER, Role::Publisher, false),
    (SHOP_ADMIN, Role::Admin, true),
    (SHOP_VIEWER, Role::Viewer, true),
    (SHOP_PUBLISHER, Role::Publisher, true),
];

/// 2026-11-23T18:00:00Z, where the fixture's clock starts.
pub(crate) const START: Timestamp = Timestamp(1_795_456_800_000);

/// The admin port of a gateway that nobody sends to.
pub(crate) struct Fixture {
    pub(crate) store: Arc<Embedded>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    router: axum::Router,
    _folder: TempDir,
}

impl Fixture {
    /// Tokens for each role; destinations `crm` and `log`.
    pub(crate) async fn new() -> Self {
        let tokens = TOKENS.map(|(token, role, bound)| {
            let own = Token::new(role.as_str(), &Secret::new(token), role);
            if bound { own.of_project("shop".into()) } else { own }
        });
        Self::with(tokens.to_vec(), true).await
    }

    /// Nobody has a token.
    pub(crate) async fn without_tokens(listens_on_loopback: bool) -> Self {
        Self::with(Vec::new(), listens_on_loopback).await
    }

    async fn with(tokens: Vec<Token>, listens_on_loopback: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, metrics, readiness) = (Clock::manual(START), Metrics::new(), Readiness::new());
        let config = Config {
            new_keys: None,
            path: folder.path().join("data"),
            bytes_max: None,
            disk_free_min: 0,
            rejections_bytes_max: 64 << 20,
            dedup_window_max: Duration::from_secs(345_600),
            durability: Durability::Strict,
            clock: clock.clone(),
            metrics: metrics.store().clone(),
        };
        let store = Arc::new(Embedded::open(config).unwrap());
        let target = |name: &str| TargetSettings {
            name: name.into(),
            queue_max: 1_000_000,
            paused: false,
            in_flight_max: None,
            ordered: false,
        };
        store.set_targets(&[target("crm"), target("log")]);
        readiness.set_started();
        let configured = Arc::new(configured(tokens));
        let router = api::router(api::State {
            store: Arc::clone(&store),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            clock: clock.clone(),
            configured: Arc::new(move || Arc::clone(&configured)),
            listens_on_loopback,
            sending: None,
            replays: Arc::default(),
            tail: ended(),
            pauses: api::Pauses { is_paused: Arc::new(|_| false), set: Arc::new(|_, _| Box::pin(async { Ok(()) })) },
        });
        Self { store, clock, metrics, readiness, router, _folder: folder }
    }

    /// Keeps an event for these destinations.
    pub(crate) async fn admit(&self, event: NewEvent, targets: &[&str]) -> EventId {
        let deliveries = targets.iter().map(|target| planned(target)).collect();
        let admission = Admission { id: None, event, plan: Plan { deliveries }, dedup: None, also: None };
        match self.store.admit(admission).await.unwrap() {
            Admitted::Kept(id) => id,
            Admitted::Duplicate(id) => panic!("{id} is a duplicate"),
        }
    }

    /// Takes the target's due deliveries.
    pub(crate) async fn claim(&self, target: &str) -> Vec<Claim> {
        self.store.claim(target, 1000, Duration::from_secs(60)).await.unwrap()
    }

    /// Asks as the admin.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, &[("authorization", &format!("Bearer {ADMIN}"))]).await
    }

    /// Asks as the admin.
    pub(crate) async fn post(&self, path: &str) -> Reply {
        self.ask(Method::POST, path, &[("authorization", &format!("Bearer {ADMIN}"))]).await
    }

    /// Asks with these headers only.
    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Serves the admin port on a free port of loopback.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                // Tells who asks, as the gateway's own server does.
                let arrival = Arrival { peer, scheme: Scheme::Http, began: tokio::time::Instant::now() };
                let service = TowerToHyperService::new(router.clone().layer(Extension(arrival)));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        address
    }
}

fn configured(tokens: Vec<Token>) -> Configured {
    let routes = Routes(vec![Route { from: None, types: None, to: vec!["log".into()], delay: None, expires: None }]);
    let destination = |name: &str| DestinationEntry {
        name: name.into(),
        url: format!("http://user:canary-password-e1@{name}.internal/hook?key=canary-key-9f").into(),
        concurrency: 32,
        queue_max: 1_000_000,
    };
    Configured {
        tokens,
        sources: vec![SourceEntry {
            name: "appmint".into(),
            path: "/webhooks/appmint".into(),
            scheme: "appmint".into(),
            fails_open: false,
            mode: "queue",
            feeds: Vec::new(),
            app: None,
        }],
        destinations: vec![destination("crm"), destination("log")],
        masks: Masks::new([HeaderName::from_static("x-gitlab-token")]),
        diagnose: Box::new(|_rejection| None),
        readmit: Box::new(|_| Box::pin(async { Err(api::NotReadmitted::Impossible("nobody sends here")) })),
        feeds: Box::new(Vec::new),
        plan: Box::new(move |event, now| {
            routes.plan(&event.received.source, event.received.event_type.as_deref(), now)
        }),
    }
}

pub(crate) fn planned(target: &str) -> PlannedDelivery {
    PlannedDelivery {
        target: target.into(),
        route: 0,
        not_before: None,
        expires_at: None,
        order_key: None,
        batch_key: None,
    }
}

fn headers(fields: &[(&str, &str)]) -> HeaderBlock {
    let mut block = HeaderBlockBuilder::default();
    for (name, value) in fields {
        assert!(block.try_add(name.as_bytes(), value.as_bytes()));
    }
    block.finish()
}

/// An event of the source `appmint`, received now, with credentials in its headers.
pub(crate) fn event(clock: &Clock, id: &str, event_type: &str) -> NewEvent {
    let headers = headers(&[
        ("content-type", "application/json"),
        ("authorization", "Basic canary-basic-11"),
        ("cookie", "session=canary-cookie-22"),
        ("x-gitlab-token", "canary-scheme-33"),
    ]);
    NewEvent {
        source: "appmint".into(),
        source_event_id: Some(id.into()),
        event_type: Some(event_type.into()),
        project: "default".into(),
        received_at: clock.now(),
        method: Method::POST,
        query: Some("a=1".into()),
        headers,
        body: Bytes::from(format!(r#"{{"id":"{id}","type":"{event_type}"}}"#)),
        signed_at: None,
        secret_index: Some(0),
    }
}

/// One attempt that was answered with this status and body.
pub(crate) fn settled(claim: &Claim, clock: &Clock, status: u16, body: &[u8], next: Next) -> Settlement {
    let attempt = Attempt {
        number: claim.attempt,
        started_at: clock.now(),
        duration: Duration::from_millis(12),
        outcome: if status < 300 { OutcomeClass::Succeeded } else { OutcomeClass::Status },
        status: Some(status),
        response_headers: headers(&[("set-cookie", "sid=canary-set-cookie-44"), ("x-served-by", "crm-1")]),
        response_body: Bytes::copy_from_slice(body),
        error: (status >= 300).then(|| format!("answered {status}").into()),
    };
    Settlement { attempt, next }
}

/// Given up after this attempt.
pub(crate) const DEAD: Next = Next::Dead(DeadReason::Exhausted);

/// Streams end at once: nothing happens here.
fn ended() -> Arc<hookward::telemetry::Tail> {
    let tail = Arc::new(hookward::telemetry::Tail::default());
    tail.end();
    tail
}
