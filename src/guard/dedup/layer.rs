//! Dedup as a tower layer for any app: claim, ask, settle.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::marks::{Claim, Marks};
use crate::domain::{Facts, Reason, Rejection};

/// Lets every event through once. The key comes from the [`Dedup`](super::Dedup) guard further out; requests
/// without one pass.
#[derive(Debug)]
pub struct DedupLayer<M> {
    marks: Arc<M>,
}

/// A service that sees every event once.
#[derive(Debug)]
pub struct Deduplicated<S, M> {
    inner: S,
    marks: Arc<M>,
}

pin_project! {
    /// The answer of a [`Deduplicated`] service.
    pub struct Answer<S, B, M>
    where
        S: Service<Request<B>>,
        M: Marks,
    {
        #[pin]
        step: Step<S, B, M>,
        claimed: Option<Claimed<M>>,
        marks: Arc<M>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<S, B, M>
    where
        S: Service<Request<B>>,
        M: Marks,
    {
        Claiming { #[pin] claiming: M::Claiming, key: [u8; 16], waiting: Option<(S, Request<B>)> },
        Asking { #[pin] asking: S::Future },
        Settling { #[pin] settling: M::Settling, answer: Option<Result<S::Response, S::Error>> },
    }
}

/// A claim that is abandoned unless it is settled.
struct Claimed<M: Marks> {
    marks: Arc<M>,
    key: [u8; 16],
    is_settled: bool,
}

/// When a copy of an event in flight may come again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

const DUPLICATE: HeaderName = HeaderName::from_static("hookward-duplicate");

// === impl DedupLayer ===

impl<M> DedupLayer<M> {
    /// A layer over these marks.
    #[must_use]
    pub fn new(marks: Arc<M>) -> Self {
        Self { marks }
    }
}

impl<M> Clone for DedupLayer<M> {
    fn clone(&self) -> Self {
        Self { marks: Arc::clone(&self.marks) }
    }
}

impl<S, M> Layer<S> for DedupLayer<M> {
    type Service = Deduplicated<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Deduplicated { inner, marks: Arc::clone(&self.marks) }
    }
}

// === impl Deduplicated ===

impl<S: Clone, M> Clone for Deduplicated<S, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), marks: Arc::clone(&self.marks) }
    }
}

impl<S, B, RB, M> Service<Request<B>> for Deduplicated<S, M>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    RB: From<Bytes>,
    M: Marks,
{
    type Response = Response<RB>;
    type Error = S::Error;
    type Future = Answer<S, B, M>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let marks = Arc::clone(&self.marks);
        let step = match request.extensions().get::<Facts>().and_then(|facts| facts.dedup_key) {
            None => Step::Asking { asking: self.inner.call(request) },
            Some(key) => {
                // The clone takes the next request; the service that was found ready takes this one.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                Step::Claiming { claiming: marks.claim(key), key, waiting: Some((ready, request)) }
            }
        };
        Answer { step, claimed: None, marks }
    }
}

// === impl Answer ===

impl<S, B, RB, M> Future for Answer<S, B, M>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: From<Bytes>,
    M: Marks,
{
    type Output = Result<Response<RB>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.step.as_mut().project() {
                StepProjection::Claiming { claiming, key, waiting } => {
                    let claim = ready!(claiming.poll(context));
                    let Some((mut service, request)) = waiting.take() else { return Poll::Pending };
                    match claim {
                        Claim::First => {
                            let marks = Arc::clone(this.marks);
                            *this.claimed = Some(Claimed { marks, key: *key, is_settled: false });
                            Step::Asking { asking: service.call(request) }
                        }
                        claim => return Poll::Ready(Ok(refusal(claim))),
                    }
                }
                StepProjection::Asking { asking } => {
                    let answer = ready!(asking.poll(context));
                    let Some(mut claimed) = this.claimed.take() else { return Poll::Ready(answer) };
                    claimed.is_settled = true;
                    let was_kept = answer.as_ref().is_ok_and(|response| response.status().is_success());
                    let settling = claimed.marks.settle(claimed.key, was_kept);
                    Step::Settling { settling, answer: Some(answer) }
                }
                StepProjection::Settling { settling, answer } => {
                    ready!(settling.poll(context));
                    return answer.take().map_or(Poll::Pending, Poll::Ready);
                }
            };
            this.step.set(next);
        }
    }
}

/// The answer to a request that does not reach the app.
fn refusal<RB: From<Bytes>>(claim: Claim) -> Response<RB> {
    let (reason, detail) = match claim {
        Claim::First | Claim::Copy => {
            let mut response = Response::new(RB::from(Bytes::new()));
            response.headers_mut().insert(DUPLICATE, HeaderValue::from_static("true"));
            return response;
        }
        Claim::InFlight => (Reason::DuplicateInFlight, "the first copy is being worked on"),
        Claim::Unavailable => (Reason::StoreUnavailable, "the marks cannot be read"),
    };
    Rejection::new(reason, detail).retry_after(RETRY_AFTER).to_response()
}

// === impl Claimed ===

impl<M: Marks> Drop for Claimed<M> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.marks.abandon(self.key);
        }
    }
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
