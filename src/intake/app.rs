//! The seam to whatever speaks with the app of a proxy-mode source.

use std::future::Future;

use http::{Method, Response};
use tokio::time::Instant;

use crate::domain::interim::OnInterim;
use crate::domain::{AnswerBody, AppError, HeaderBlockBuilder, RequestBody};

/// An app that requests are passed on to.
pub trait App: Send + Sync + 'static {
    /// Passes a request on, once, and gives the head of the answer; head and body come by `deadline`, or fail.
    ///
    /// # Errors
    /// [`AppError`]; a body that breaks off later ends in an error itself.
    fn pass(
        &self,
        onward: Onward<'_>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Response<AnswerBody>, AppError>> + Send;
}

/// A request as the app gets it.
pub struct Onward<'a> {
    /// The method.
    pub method: &'a Method,
    /// What stands behind `?`.
    pub query: Option<&'a str>,
    /// All fields but `Host` and `Content-Length`.
    pub headers: &'a HeaderBlockBuilder,
    /// The body.
    pub body: RequestBody,
    /// Hears the app's interim answers, where the sender can be told of them.
    pub interim: Option<OnInterim<'a>>,
}
