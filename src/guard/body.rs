//! Guard 5: the whole body in memory, bounded in bytes, in total time, and in memory over all requests.
//!
//! - Larger than `bytes_max`: 413, before anything is read where the length is declared, otherwise as soon as
//!   it is exceeded.
//! - Not whole after `timeout`, counted from the request's beginning (from the first poll where nobody says when that
//!   was) to the last byte and not from byte to byte, so that a dripping body does not pass: 408. What has come by then
//!   is read first.
//! - No room left in the shared [`BodyBudget`]: 503 with `Retry-After`. A body takes its share as its bytes
//!   come, so that promises alone take nothing from others, and gives it back when its request is answered.
//! - The sender went away, or its chunks are not chunks: 400, for the ledger more than for the sender.
//!
//! The body is first polled here. A server that answers `Expect: 100-continue` at the first poll, as hyper
//! does, therefore refuses before the body is sent whatever a layer further out refuses. Trailers are
//! no part of it: they stand in [`Facts::trailers`].
//!
//! The gateway's own stack uses [`ReceiveLayer`] around it, which holds no large body in memory where the service behind
//! takes it piece by piece.
//!
//! The next service gets a [`Buffered`], which is a body again, in any app:
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::Router;
//! use axum::body::{Body, Bytes};
//! use axum::routing::post;
//! use hookward::guard::{BodyBudget, BodyLayer};
//! use http::{Request, StatusCode};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let budget = BodyBudget::new(64 << 20);
//! let app = Router::new()
//!     .route("/hook", post(|body: Bytes| async move { body.len().to_string() }))
//!     .layer(BodyLayer::new(1024, Duration::from_secs(8), budget));
//!
//! let send = |body: String| app.clone().oneshot(Request::post("/hook").body(Body::from(body)).unwrap());
//! assert_eq!(send("x".repeat(1024)).await?.status(), StatusCode::OK);
//! assert_eq!(send("x".repeat(1025)).await?.status(), StatusCode::PAYLOAD_TOO_LARGE);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod buffered;
mod live;
mod looks;
mod received;
mod receiving;
mod spool;

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

pub use self::budget::BodyBudget;
use self::budget::Share;
use self::buffered::Buffer;
pub use self::buffered::Buffered;
use self::buffered::Full;
pub use self::looks::Looks;
pub use self::received::Received;
pub use self::receiving::{LARGE_BYTES, Large, ReceiveLayer, Receiving};
pub use self::spool::Spool;
use super::layer::refuse;
use crate::deadline::Deadline;
use crate::domain::{Facts, Reason, Refused, Rejection};

/// Collects request bodies; clones share the budget.
#[derive(Clone, Debug)]
pub struct BodyLayer {
    bytes_max: usize,
    timeout: Duration,
    budget: BodyBudget,
}

/// A service that gets whole bodies.
#[derive(Clone, Debug)]
pub struct Collecting<S> {
    inner: S,
    layer: BodyLayer,
}

pin_project! {
    /// The answer of the service behind, or why the body was refused.
    pub struct Collected<B, S>
    where
        S: Service<Request<Buffered>>,
    {
        #[pin]
        body: Option<B>,
        #[pin]
        limit: Option<Deadline>,
        timeout: Duration,
        reading: Option<Reading<S>>,
        #[pin]
        answer: Option<S::Future>,
        share: Option<Share>,
    }
}

/// What is needed until the body is whole.
struct Reading<S> {
    head: Parts,
    buffer: Buffer,
    service: S,
    declared_too_large: bool,
}

/// What a sender is asked to wait when the budget is used up: the time in which bodies come and go.
const RETRY_AFTER: Duration = Duration::from_secs(1);

// === impl BodyLayer ===

impl BodyLayer {
    /// Bodies of at most `bytes_max` bytes that are whole within `timeout`, all together within `budget`.
    #[must_use]
    pub fn new(bytes_max: usize, timeout: Duration, budget: BodyBudget) -> Self {
        Self { bytes_max, timeout, budget }
    }
}

impl<S> Layer<S> for BodyLayer {
    type Service = Collecting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Collecting { inner, layer: self.clone() }
    }
}

// === impl Collecting ===

impl<S, B, ResB> Service<Request<B>> for Collecting<S>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    S: Service<Request<Buffered>, Response = Response<ResB>> + Clone,
    ResB: From<Bytes>,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = Collected<B, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let BodyLayer { bytes_max, timeout, budget } = &self.layer;
        let (head, body) = request.into_parts();
        let declared_too_large = body.size_hint().lower() > *bytes_max as u64;
        let buffer = Buffer::new(*bytes_max, body.size_hint().upper(), budget.share());
        // The service that was asked whether it is ready is the one to be called.
        let next = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, next);
        Collected {
            body: Some(body),
            limit: None,
            timeout: *timeout,
            reading: Some(Reading { head, buffer, service, declared_too_large }),
            answer: None,
            share: None,
        }
    }
}

// === impl Collected ===

impl<B, S, ResB> Future for Collected<B, S>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    S: Service<Request<Buffered>, Response = Response<ResB>>,
    ResB: From<Bytes>,
{
    type Output = Result<Response<ResB>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.reading.is_some() {
            let whole = ready!(self.as_mut().poll_whole(cx));
            let mut this = self.as_mut().project();
            // Nothing more is wanted of the sender.
            this.body.set(None);
            this.limit.set(None);
            let Some(Reading { head, buffer, mut service, .. }) = this.reading.take() else { return Poll::Pending };
            if let Err(rejection) = whole {
                return Poll::Ready(Ok(refused(head, rejection)));
            }
            let (body, share) = buffer.finish();
            *this.share = Some(share);
            this.answer.set(Some(service.call(Request::from_parts(head, body))));
        }
        match self.project().answer.as_pin_mut() {
            Some(answer) => answer.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<B, S> Collected<B, S>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    S: Service<Request<Buffered>>,
{
    /// Reads until the body is whole or must be refused.
    fn poll_whole(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        let mut this = self.project();
        let Some(reading) = this.reading else { return Poll::Pending };
        if reading.declared_too_large {
            return Poll::Ready(Err(Rejection::new(Reason::BodyTooLarge, "declared length above the limit")));
        }
        let Some(mut body) = this.body.as_mut().as_pin_mut() else { return Poll::Pending };
        while !body.is_end_stream() {
            let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
                let came = reading.buffer.len() as u64;
                if this.limit.is_none() {
                    this.limit.set(Some(Deadline::new(began(&reading.head) + *this.timeout)));
                }
                if let Some(limit) = this.limit.as_mut().as_pin_mut() {
                    ready!(limit.poll_passed(cx, came));
                }
                return Poll::Ready(Err(too_late(came)));
            };
            match frame {
                None => break,
                Some(Err(error)) => return Poll::Ready(Err(broken(&*error.into()))),
                Some(Ok(frame)) => {
                    let data = match frame.into_data() {
                        Ok(data) => data,
                        Err(other) => {
                            note_trailers(&mut reading.head, other);
                            continue;
                        }
                    };
                    if let Err(full) = reading.buffer.push(data) {
                        return Poll::Ready(Err(overfull(full)));
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Notes what came behind a body, for a service that passes it on.
fn note_trailers(head: &mut Parts, frame: Frame<Bytes>) {
    if let Ok(trailers) = frame.into_trailers() {
        head.extensions.get_or_insert_default::<Facts>().trailers = Some(Box::new(trailers));
    }
}

/// When the request began, where somebody knows. The ingress has a deadline of its own for the whole request: counted
/// from the same moment, the one here comes first and says that it is the body that is late.
fn began(head: &Parts) -> Instant {
    let hop = head.extensions.get::<Facts>().and_then(|facts| facts.hop.as_ref());
    hop.map_or_else(Instant::now, |hop| Instant::from_std(hop.began))
}

/// The answer to a request whose body did not come whole.
fn refused<RB: From<Bytes>>(head: Parts, rejection: Rejection) -> Response<RB> {
    let Parts { method, uri, headers, extensions, .. } = head;
    let client = extensions.get::<Facts>().and_then(|facts| facts.client);
    // Half a body is nothing that could be let in afterwards.
    refuse(Refused { rejection, method, uri, headers, body: Bytes::new(), client })
}

fn too_late(came: u64) -> Rejection {
    Rejection::new(Reason::BodyTimeout, format!("{came} bytes came within the time"))
}

fn overfull(full: Full) -> Rejection {
    match full {
        Full::TooLarge => Rejection::new(Reason::BodyTooLarge, "body above the limit"),
        Full::Memory => Rejection::new(Reason::BodyMemoryFull, "body_memory_max is used up").retry_after(RETRY_AFTER),
    }
}

/// A body that ended in an error: its framing was broken, or the sender went away.
fn broken(error: &(dyn Error + 'static)) -> Rejection {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let kind = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).next();
    match kind {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
            Rejection::new(Reason::MalformedRequest, "body framing broken")
        }
        _ => Rejection::new(Reason::BodyIncomplete, "the sender went away"),
    }
}

#[cfg(test)]
#[path = "body/tests.rs"]
mod tests;
