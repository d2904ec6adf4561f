//! The innermost service of a source, whichever its mode.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use super::app::App;
use super::keep::Keep;
use super::pass::Pass;
use crate::domain::{AnswerBody, RequestBody};
use crate::store::Store;

/// Keeps events, or passes them on; a clone is cheap.
pub enum Intake<S, A> {
    /// `mode: queue`.
    Keep(Arc<Keep<S>>),
    /// `mode: proxy`.
    Pass(Arc<Pass<S, A>>),
}

// === impl Intake ===

impl<S, A> Clone for Intake<S, A> {
    fn clone(&self) -> Self {
        match self {
            Self::Keep(keep) => Self::Keep(Arc::clone(keep)),
            Self::Pass(pass) => Self::Pass(Arc::clone(pass)),
        }
    }
}

impl<S, A, B> Service<Request<B>> for Intake<S, A>
where
    S: Store,
    A: App,
    B: AsRef<Bytes> + Into<RequestBody> + Send + 'static,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self {
            Self::Keep(keep) => {
                let keep = Arc::clone(keep);
                Box::pin(async move { Ok(keep.keep(request).await.map(AnswerBody::Whole)) })
            }
            Self::Pass(pass) => {
                let pass = Arc::clone(pass);
                Box::pin(async move { Ok(pass.pass(request).await) })
            }
        }
    }
}
