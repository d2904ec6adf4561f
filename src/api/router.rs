//! The whole surface of the admin port in one place.

use std::any::Any;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;

use super::access::Gate;
use super::failures::Failures;
use super::idempotency::Keys;
use super::problem::Problem;
use super::state::State;
use super::surface::{ADMINS, EVERYBODY, Operation, PUBLISHERS, READERS, Surface};
use super::{access, configured, deliveries, emit, events, health, rejections, replays, webhooks};
use crate::store::Store;

/// The service of the admin port.
pub fn router<S: Store>(state: State<S>) -> axum::Router {
    let (handlers, table) = surface::<S>().into_parts();
    let gate = Gate { state: state.clone(), table, failures: Failures::default(), keys: Keys::default() };
    handlers
        .fallback(no_such_path)
        // Around the fallback too: what does not exist is not told to strangers.
        .layer(middleware::from_fn_with_state(Arc::new(gate), access::check::<S>))
        .with_state(state)
        .layer(middleware::from_fn(bare))
        // Outermost: whatever breaks is still answered.
        .layer(CatchPanicLayer::custom(broken))
}

/// The table: what there is, and who may use it. What names no roles is nobody's.
fn surface<S: Store>() -> Surface<S> {
    Surface::new()
        // Open to everybody who reaches the port.
        .with(get("/livez").open(), health::livez)
        .with(get("/readyz").open(), health::readyz::<S>)
        .with(get("/healthz").open(), health::readyz::<S>)
        .with(get("/metrics").open(), health::scrape::<S>)
        // What was received or emitted.
        .with(get("/v1/events").roles(READERS).within_project(), events::list::<S>)
        .with(get("/v1/events/{id}").roles(READERS).within_project(), events::show::<S>)
        .with(get("/v1/events/{id}/body").roles(READERS).within_project(), events::body::<S>)
        .with(post("/v1/events/{id}/replay").roles(ADMINS).within_project(), events::replay::<S>)
        // What became of it.
        .with(get("/v1/deliveries").roles(READERS).within_project(), deliveries::list::<S>)
        .with(get("/v1/deliveries/{id}").roles(READERS).within_project(), deliveries::show::<S>)
        .with(post("/v1/deliveries/{id}/redeliver").roles(ADMINS).within_project(), deliveries::redeliver::<S>)
        .with(post("/v1/deliveries/{id}/cancel").roles(ADMINS).within_project(), deliveries::cancel::<S>)
        // What was refused, and what is configured: the operator's, of no project.
        .with(get("/v1/rejections").roles(READERS), rejections::list::<S>)
        .with(get("/v1/rejections/{id}").roles(READERS), rejections::show::<S>)
        .with(get("/v1/sources").roles(READERS), configured::sources::<S>)
        .with(get("/v1/destinations").roles(READERS), configured::destinations::<S>)
        .with(get("/v1/stats").roles(READERS), configured::stats::<S>)
        // What is sent.
        .with(post("/v1/events").roles(PUBLISHERS).within_project().keeps_keys(), emit::emit::<S>)
        .with(post("/v1/test-events").roles(PUBLISHERS).within_project(), emit::test::<S>)
        .with(get("/v1/event-types").roles(EVERYBODY).within_project(), emit::event_types::<S>)
        // To whom.
        .with(get("/v1/webhooks").roles(READERS).within_project(), webhooks::list::<S>)
        .with(post("/v1/webhooks").roles(ADMINS).within_project(), webhooks::create::<S>)
        .with(get("/v1/webhooks/{id}").roles(READERS).within_project(), webhooks::show::<S>)
        .with(Operation::patch("/v1/webhooks/{id}").roles(ADMINS).within_project(), webhooks::update::<S>)
        .with(Operation::delete("/v1/webhooks/{id}").roles(ADMINS).within_project(), webhooks::delete::<S>)
        .with(post("/v1/webhooks/{id}/rotate-secret").roles(ADMINS).within_project(), webhooks::rotate::<S>)
        .with(post("/v1/webhooks/{id}/pause").roles(ADMINS).within_project(), webhooks::pause::<S>)
        .with(post("/v1/webhooks/{id}/resume").roles(ADMINS).within_project(), webhooks::resume::<S>)
        .with(get("/v1/webhooks/{id}/deliveries").roles(READERS).within_project(), webhooks::log::<S>)
        .with(get("/v1/webhooks/{id}/stats").roles(READERS).within_project(), webhooks::stats::<S>)
        // Many at once.
        .with(post("/v1/replays").roles(ADMINS).within_project(), replays::start::<S>)
        .with(get("/v1/replays/{id}").roles(READERS).within_project(), replays::show::<S>)
}

fn get(path: &'static str) -> Operation {
    Operation::get(path)
}

fn post(path: &'static str) -> Operation {
    Operation::post(path)
}

async fn no_such_path() -> Problem {
    Problem::not_found("such path")
}

/// Nothing here is for caches, and nothing is what a browser guesses.
async fn bare(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[allow(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn broken(panic: Box<dyn Any + Send + 'static>) -> Response {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = said.unwrap_or_default(), "a handler of the admin port panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something broke; the log says what").into_response()
}
