//! The whole surface of the admin port in one place.

use std::any::Any;

use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;

use super::problem::Problem;
use super::state::State;
use super::{access, configured, deliveries, emit, events, health, rejections, replays, webhooks};
use crate::store::Store;

/// The service of the admin port.
pub fn router<S: Store>(state: State<S>) -> axum::Router {
    axum::Router::new()
        // Open to everybody who reaches the port.
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz::<S>))
        .route("/healthz", get(health::readyz::<S>))
        .route("/metrics", get(health::scrape::<S>))
        // What was received.
        .route("/v1/events", get(events::list::<S>).post(emit::emit::<S>))
        .route("/v1/events/{id}", get(events::show::<S>))
        .route("/v1/events/{id}/body", get(events::body::<S>))
        .route("/v1/events/{id}/replay", post(events::replay::<S>))
        // What became of it.
        .route("/v1/deliveries", get(deliveries::list::<S>))
        .route("/v1/deliveries/{id}", get(deliveries::show::<S>))
        .route("/v1/deliveries/{id}/redeliver", post(deliveries::redeliver::<S>))
        .route("/v1/deliveries/{id}/cancel", post(deliveries::cancel::<S>))
        // What was refused, and what is configured.
        .route("/v1/rejections", get(rejections::list::<S>))
        .route("/v1/rejections/{id}", get(rejections::show::<S>))
        .route("/v1/sources", get(configured::sources::<S>))
        .route("/v1/destinations", get(configured::destinations::<S>))
        .route("/v1/stats", get(configured::stats::<S>))
        // What is sent, and to whom.
        .route("/v1/event-types", get(emit::event_types::<S>))
        .route("/v1/test-events", post(emit::test::<S>))
        .route("/v1/webhooks", get(webhooks::list::<S>).post(webhooks::create::<S>))
        .route("/v1/webhooks/{id}", get(webhooks::show::<S>).patch(webhooks::update::<S>).delete(webhooks::delete::<S>))
        .route("/v1/webhooks/{id}/rotate-secret", post(webhooks::rotate::<S>))
        .route("/v1/webhooks/{id}/pause", post(webhooks::pause::<S>))
        .route("/v1/webhooks/{id}/resume", post(webhooks::resume::<S>))
        .route("/v1/webhooks/{id}/deliveries", get(webhooks::log::<S>))
        .route("/v1/webhooks/{id}/stats", get(webhooks::stats::<S>))
        // Many at once.
        .route("/v1/replays", post(replays::start::<S>))
        .route("/v1/replays/{id}", get(replays::show::<S>))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        // Around the fallbacks too: what does not exist is not told to strangers.
        .layer(middleware::from_fn_with_state(state.clone(), access::check::<S>))
        .with_state(state)
        .layer(middleware::from_fn(bare))
        // Outermost: whatever breaks is still answered.
        .layer(CatchPanicLayer::custom(broken))
}

async fn no_such_path() -> Problem {
    Problem::not_found("such path")
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
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
