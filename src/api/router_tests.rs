//! A handler that nobody has entered into the table of operations is not reached by anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::routing;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::api::{Caller, Configured, Masks, Role, Token};
use crate::domain::{Clock, Plan, Secret, Timestamp};
use crate::store::embedded::{Config, Embedded};
use crate::telemetry::{Metrics, Readiness};

pub(in crate::api) fn state(folder: &std::path::Path) -> State<Embedded> {
    let mut config = Config::new(folder);
    config.disk_free_min = 0;
    let tokens = Role::ALL.map(|role| Token::new(role.as_str(), &Secret::new(role.as_str()), role));
    let configured = Arc::new(Configured {
        tokens: tokens.to_vec(),
        sources: Vec::new(),
        destinations: Vec::new(),
        masks: Masks::default(),
        plan: Box::new(|_, _| Plan::default()),
        diagnose: Box::new(|_| None),
        readmit: Box::new(|_| Box::pin(async { Err(crate::api::NotReadmitted::Impossible("nobody sends here")) })),
        feeds: Box::new(Vec::new),
    });
    State {
        store: Arc::new(Embedded::open(config).unwrap()),
        metrics: Metrics::new(),
        readiness: Readiness::new(),
        clock: Clock::manual(Timestamp(1_795_456_800_000)),
        configured: Arc::new(move || Arc::clone(&configured)),
        listens_on_loopback: true,
        sending: None,
        replays: Arc::default(),
        tail: ended(),
        pauses: crate::api::Pauses { is_paused: Arc::new(|_| false), set: Arc::new(|_, _| Box::pin(async { Ok(()) })) },
    }
}

async fn ask(router: &axum::Router, method: Method, path: &str, token: Option<&str>) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_handler_without_an_operation_answers_403_to_every_role() {
    let folder = tempfile::tempdir().unwrap();
    let (handlers, table) = operations::all::<Embedded>().into_parts();
    let reached = Arc::new(AtomicUsize::new(0));
    let forgotten = {
        let reached = Arc::clone(&reached);
        move |_: Caller| async move { reached.fetch_add(1, Ordering::SeqCst).to_string() }
    };
    let handlers = handlers
        .route("/v1/forgotten", routing::any(forgotten.clone()))
        .route("/v1/forgotten/{id}", routing::any(forgotten.clone()))
        // Beside operations that are in the table: another method of a path that is known.
        .route("/v1/events", routing::delete(forgotten));
    let (router, _gate) = behind_gate(handlers, table, state(folder.path()));
    for role in Role::ALL {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            for path in ["/v1/forgotten", "/v1/forgotten/evt_1"] {
                let (status, body) = ask(&router, method.clone(), path, Some(role.as_str())).await;
                assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path} as {}", role.as_str());
                assert!(method == Method::HEAD || body.contains("role_not_allowed"), "{body}");
            }
        }
        let (status, _) = ask(&router, Method::DELETE, "/v1/events", Some(role.as_str())).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "as {}", role.as_str());
    }
    assert_eq!(ask(&router, Method::GET, "/v1/forgotten", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(reached.load(Ordering::SeqCst), 0, "nobody was let through");
    assert_eq!(ask(&router, Method::GET, "/v1/events", Some("viewer")).await.0, StatusCode::OK, "what is in it is");
}

/// Streams end at once: nothing happens here.
fn ended() -> Arc<crate::telemetry::Tail> {
    let tail = Arc::new(crate::telemetry::Tail::default());
    tail.end();
    tail
}
