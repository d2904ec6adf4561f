//! The admin port as one service: the operations behind the gate, and what stands around them.

use std::any::Any;
use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use tower_http::catch_panic::CatchPanicLayer;

use super::access::Gate;
use super::failures::Failures;
use super::idempotency::Keys;
use super::openapi::Document;
use super::problem::Problem;
use super::state::State;
use super::surface::Table;
use super::{access, operations};
use crate::store::Store;

/// Every operation of the admin port. The gateway serves it through the [`door`](super::door()).
pub fn router<S: Store>(state: State<S>) -> axum::Router {
    admin(state).0
}

/// The same, and the gate that it stands behind.
pub(super) fn admin<S: Store>(state: State<S>) -> (axum::Router, Arc<Gate<S>>) {
    let (handlers, table) = operations::all::<S>().into_parts();
    behind_gate(handlers, table, state)
}

/// The handlers as whoever asks reaches them: only through the table.
fn behind_gate<S: Store>(
    handlers: axum::Router<State<S>>,
    table: Table,
    state: State<S>,
) -> (axum::Router, Arc<Gate<S>>) {
    let table = Arc::new(table);
    let document = Document::new(Arc::clone(&table));
    let gate = Gate { state: state.clone(), table, failures: Failures::default(), keys: Keys::default() };
    let gate = Arc::new(gate);
    let router = handlers
        .fallback(no_such_path)
        // Around the fallback too: what does not exist is not told to strangers.
        .layer(middleware::from_fn_with_state(Arc::clone(&gate), access::check::<S>))
        .with_state(state)
        .layer(Extension(document))
        .layer(middleware::from_fn(bared))
        // Outermost: whatever breaks is still answered.
        .layer(CatchPanicLayer::custom(broken));
    (router, gate)
}

async fn no_such_path() -> Problem {
    Problem::not_found("such path")
}

async fn bared(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    bare(response.headers_mut());
    response
}

/// Nothing here is for caches, and nothing is what a browser guesses.
pub(super) fn bare(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[allow(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn broken(panic: Box<dyn Any + Send + 'static>) -> Response {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = said.unwrap_or_default(), "a handler of the admin port panicked");
    Problem::broken().into_response()
}

#[cfg(test)]
#[path = "router_tests.rs"]
pub(super) mod tests;
