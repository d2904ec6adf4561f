//! The admin port as the gateway serves it: emissions on a short way of their own, everything else through the router.
//!
//! An emission stays on the thread of its connection from the first byte to the answer, as what comes in at the ingress
//! does. Everything else goes over to the runtime: a list that someone looks at holds up no connection of that
//! thread.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{Method, Request};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tower_service::Service;

use super::access::Gate;
use super::body::JsonBytes;
use super::emit;
use super::params::Query;
use super::problem::Problem;
use super::project::Project;
use super::router::{admin, bare};
use super::state::State;
use super::surface::{Found, Operation};
use crate::ingress::Arrival;
use crate::store::Store;
use crate::telemetry::task;

/// The service of the admin port for [`Server`](crate::ingress::Server).
pub struct Door<S> {
    router: axum::Router,
    emission: Option<Arc<Emission<S>>>,
    runtime: Handle,
}

/// What stands in front of whoever emits.
struct Emission<S> {
    gate: Arc<Gate<S>>,
    operation: Operation,
}

/// Where events are emitted.
const EMIT: &str = "/v1/events";

/// The service; what is no emission runs on the runtime that asks for it.
pub fn door<S: Store>(state: State<S>) -> Door<S> {
    let (router, gate) = admin(state);
    let operation = match gate.table.find(EMIT, &Method::POST) {
        Found::Operation(operation) => Some(operation.clone()),
        _ => None,
    };
    let emission = operation.map(|operation| Arc::new(Emission { gate, operation }));
    Door { router, emission, runtime: Handle::current() }
}

// === impl Door ===

impl<S: Store, B> Service<Request<B>> for Door<S>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(emission) = &self.emission
            && request.method() == Method::POST
            && request.uri().path() == EMIT
        {
            let emission = Arc::clone(emission);
            return Box::pin(async move {
                let emitted = task::caught("emission", emission.answer(request)).await;
                let mut response = emitted.unwrap_or_else(|_panicked| Problem::broken().into_response());
                bare(response.headers_mut());
                Ok(response)
            });
        }
        let mut router = self.router.clone();
        let runtime = self.runtime.clone();
        Box::pin(async move {
            // Aborted where whoever asked has gone.
            let mut asked = JoinSet::new();
            asked.spawn_on(async move { router.call(request.map(Body::new)).await }, &runtime);
            match asked.join_next().await {
                Some(Ok(answered)) => answered,
                Some(Err(_)) | None => Ok(Problem::broken().into_response()),
            }
        })
    }
}

impl<S> Clone for Door<S> {
    fn clone(&self) -> Self {
        Self { router: self.router.clone(), emission: self.emission.clone(), runtime: self.runtime.clone() }
    }
}

// === impl Emission ===

impl<S: Store> Emission<S> {
    async fn answer<B>(&self, request: Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<axum::BoxError>,
    {
        self.emit(request).await.unwrap_or_else(Problem::into_response)
    }

    /// As the router would: who asks, whether they may, and what they say.
    async fn emit<B>(&self, request: Request<B>) -> Result<Response, Problem>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<axum::BoxError>,
    {
        let (head, body) = request.into_parts();
        let address = head.extensions.get::<Arrival>().map(|arrival| arrival.peer.ip());
        let caller = self.gate.caller(address, &head.headers).await?;
        self.operation.permits(&caller)?;
        let Project(project) = Project::of(&caller, &head.headers)?;
        let query = Query::of(&head.uri);
        let body = JsonBytes::collect(&head.headers, body).await?;
        emit::emit_in(&self.gate.state, project, &head.headers, &query, &body).await
    }
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
