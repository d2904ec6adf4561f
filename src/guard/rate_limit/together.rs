//! A limit that several gateways keep together: whoever counts for all of them is asked, and waited for.
//!
//! A guard never waits, so this is a layer of its own ([`TogetherLayer`]), which stands where the limits stand. It waits
//! only for what it cannot know: a client that was refused is refused here until its time has come, since the others can
//! only have made that later. So a flood costs whoever counts one question in the time of one turn, and a gateway.
//!
//! Where nobody can count for all, each gateway counts for itself, with the whole limit.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::RateLimit;
use crate::domain::{Facts, Rejection, Turn};
use crate::guard::allow_ips::AllowIps;
use crate::guard::layer::{self, Guard, Head};
use crate::guard::report::Reporter;

/// Counts for several gateways.
pub trait Counter: Send + Sync {
    /// Takes a turn: how long to wait for the next one, or zero where it may go on. `None`: nobody can tell now.
    fn take(&self, turn: Turn) -> Taking;
}

/// The answer to a turn that was asked for.
pub type Taking = Pin<Box<dyn Future<Output = Option<Duration>> + Send>>;

/// Asks limits that several gateways keep together, in their order; without any every request passes at once.
#[derive(Clone, Debug)]
pub struct TogetherLayer {
    limits: Arc<[Arc<RateLimit>]>,
    /// Whom this one refuses anyway, nobody counts.
    before: Option<Arc<AllowIps>>,
    reporter: Option<Reporter>,
}

/// A service behind such limits.
#[derive(Clone, Debug)]
pub struct Together<S> {
    inner: S,
    layer: TogetherLayer,
}

pin_project! {
    /// The answer of the service behind, or a refusal.
    pub struct Waiting<F, O> {
        #[pin]
        by: By<F, O>,
    }
}

pin_project! {
    #[project = ByProjection]
    enum By<F, O> {
        Straight { #[pin] future: F },
        Asking { future: Pin<Box<dyn Future<Output = O> + Send>> },
        Refused { answer: Option<O> },
    }
}

/// What the counter, or what is known of it, says of a request.
struct Said(Option<Rejection>);

// === impl TogetherLayer ===

impl TogetherLayer {
    /// A layer of those of these limits that are kept together.
    #[must_use]
    pub fn new(limits: &[Arc<RateLimit>]) -> Self {
        let limits = limits.iter().filter(|limit| limit.is_kept_together()).cloned().collect();
        Self { limits, before: None, reporter: None }
    }

    /// The same behind an allowlist that is asked again further in: whom it refuses, nobody counts.
    #[must_use]
    pub fn behind(self, before: Option<Arc<AllowIps>>) -> Self {
        Self { before, ..self }
    }

    /// The same, which refuses nothing where there is somebody to report to.
    #[must_use]
    pub fn reporting(self, reporter: Option<Reporter>) -> Self {
        Self { reporter, ..self }
    }

    fn is_refused_anyway<B>(&self, request: &Request<B>) -> bool {
        let before = self.before.as_ref().filter(|_| self.reporter.is_none());
        before.is_some_and(|before| {
            let client = request.extensions().get::<Facts>().and_then(|facts| facts.client);
            before.check(Head::of(request), &(), &mut Facts { client, ..Facts::default() }).is_err()
        })
    }
}

impl<S> Layer<S> for TogetherLayer {
    type Service = Together<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Together { inner, layer: self.clone() }
    }
}

// === impl Together ===

impl<S, B, RB> Service<Request<B>> for Together<S>
where
    S: Service<Request<B>, Response = Response<RB>, Future: Send> + Clone + Send + 'static,
    S::Error: Send,
    B: Send + 'static,
    RB: From<Bytes> + Send,
{
    type Response = Response<RB>;
    type Error = S::Error;
    type Future = Waiting<S::Future, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.layer.limits.is_empty() || self.layer.is_refused_anyway(&request) {
            return Waiting { by: By::Straight { future: self.inner.call(request) } };
        }
        let keys: Vec<u64> = {
            let nothing = Facts::default();
            let facts = request.extensions().get::<Facts>().unwrap_or(&nothing);
            self.layer.limits.iter().map(|limit| limit.key(Head::of(&request), facts)).collect()
        };
        let known = self.layer.limits.iter().zip(&keys).find_map(|(limit, key)| limit.refused_before(*key));
        let reporter = self.layer.reporter.clone();
        if let Some(rejection) = known {
            let by = match layer::ask(&Said(Some(rejection)), reporter.as_ref(), request) {
                Ok(request) => By::Straight { future: self.inner.call(request) },
                Err(response) => By::Refused { answer: Some(Ok(*response)) },
            };
            return Waiting { by };
        }
        // The service that was asked whether it is ready is the one to be called.
        let next = self.inner.clone();
        let mut service = std::mem::replace(&mut self.inner, next);
        let limits = Arc::clone(&self.layer.limits);
        let future = Box::pin(async move {
            let mut said = Said(None);
            for (limit, key) in limits.iter().zip(keys) {
                said = Said(limit.take(key).await.err());
                if said.0.is_some() {
                    break;
                }
            }
            match layer::ask(&said, reporter.as_ref(), request) {
                Ok(request) => service.call(request).await,
                Err(response) => Ok(*response),
            }
        });
        Waiting { by: By::Asking { future } }
    }
}

impl<B> Guard<B> for Said {
    fn check(&self, _head: Head<'_>, _body: &B, _facts: &mut Facts) -> Result<(), Rejection> {
        self.0.clone().map_or(Ok(()), Err)
    }
}

impl<F, O> Future for Waiting<F, O>
where
    F: Future<Output = O>,
{
    type Output = O;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<O> {
        match self.project().by.project() {
            ByProjection::Straight { future } => future.poll(context),
            ByProjection::Asking { future } => future.as_mut().poll(context),
            // Polled again after the end, it waits for ever: nothing is left to say.
            ByProjection::Refused { answer } => answer.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}
