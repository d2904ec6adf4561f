//! The layer that waits for a certificate, before the signature is asked for: a guard never waits.
//!
//! Only requests of sources whose scheme needs certificates wait here, and only for one that is not there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::Odd;
use super::certificates::Certificates;
use crate::guard::layer::Head;

/// Fetches what the signature guard needs.
#[derive(Clone, Debug)]
pub struct FetchingLayer(Option<(Odd, Arc<Certificates>)>);

/// A service whose requests' certificates are there.
#[derive(Clone, Debug)]
pub struct Fetching<S> {
    inner: S,
    needed: Option<(Odd, Arc<Certificates>)>,
}

pin_project! {
    /// The answer of the service behind.
    pub struct Waiting<F, O> {
        #[pin]
        by: By<F, O>,
    }
}

pin_project! {
    #[project = ByProjection]
    enum By<F, O> {
        Straight { #[pin] future: F },
        Fetching { future: Pin<Box<dyn Future<Output = O> + Send>> },
    }
}

// === impl FetchingLayer ===

impl FetchingLayer {
    /// For a source whose scheme may need certificates; without them every request passes at once.
    #[must_use]
    pub fn new(odd: Option<Odd>, certificates: &Arc<Certificates>) -> Self {
        let needs = odd.filter(|odd| odd.has_certificate());
        Self(needs.map(|odd| (odd, Arc::clone(certificates))))
    }
}

impl<S> Layer<S> for FetchingLayer {
    type Service = Fetching<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Fetching { inner, needed: self.0.clone() }
    }
}

impl<S, B> Service<Request<B>> for Fetching<S>
where
    S: Service<Request<B>, Future: Send> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Send,
    B: AsRef<[u8]> + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Waiting<S::Future, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some((odd, certificates)) = &self.needed else {
            return Waiting { by: By::Straight { future: self.inner.call(request) } };
        };
        // What is wrong with the request, the guard says behind this.
        let wanted = odd.certificate(Head::of(&request), request.body().as_ref()).ok().flatten();
        let Some(url) = wanted else { return Waiting { by: By::Straight { future: self.inner.call(request) } } };
        let certificates = Arc::clone(certificates);
        // The service that was asked whether it is ready is the one to be called.
        let next = self.inner.clone();
        let mut service = std::mem::replace(&mut self.inner, next);
        let future = Box::pin(async move {
            certificates.ensure(&url).await;
            service.call(request).await
        });
        Waiting { by: By::Fetching { future } }
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
            ByProjection::Fetching { future } => future.as_mut().poll(context),
        }
    }
}
