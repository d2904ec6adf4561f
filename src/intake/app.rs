//! The seam to whatever speaks with the app of a proxy-mode source.

use std::future::Future;
use std::io;

use bytes::Bytes;
use http::{Method, Response};
use http_body::Body;
use tokio::time::Instant;

use crate::domain::{HeaderBlock, Reason, Rejection};

/// An app that requests are passed on to.
pub trait App: Send + Sync + 'static {
    /// The body of an answer that is not whole when its head is there.
    type Body: Body<Data = Bytes, Error = io::Error> + Unpin + Send + 'static;

    /// Passes a request on, once, and gives the head of the answer; head and body come by `deadline`, or fail.
    ///
    /// # Errors
    /// [`AppError`]; a body that breaks off later ends in an error itself.
    fn pass(
        &self,
        onward: Onward<'_>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Response<AppBody<Self::Body>>, AppError>> + Send;
}

/// A request as the app gets it.
#[derive(Clone, Debug)]
pub struct Onward<'a> {
    /// The method.
    pub method: &'a Method,
    /// What stands behind `?`.
    pub query: Option<&'a str>,
    /// All fields but `Host` and `Content-Length`.
    pub headers: &'a HeaderBlock,
    /// The body.
    pub body: Bytes,
}

/// The body of the app's answer.
#[derive(Debug)]
pub enum AppBody<B> {
    /// All of it.
    Whole(Bytes),
    /// As it comes.
    Streamed(B),
}

/// Why there is no answer; the words are for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// Nothing was sent.
    #[error("{0}")]
    Unreachable(Box<str>),
    /// It broke off, or said what is not HTTP; it may have seen the request.
    #[error("{0}")]
    Broken(Box<str>),
    /// The deadline passed.
    #[error("{0}")]
    TooSlow(Box<str>),
}

// === impl AppError ===

impl From<AppError> for Rejection {
    fn from(error: AppError) -> Self {
        let reason = match &error {
            AppError::Unreachable(_) => Reason::AppUnreachable,
            AppError::Broken(_) => Reason::AppBroken,
            AppError::TooSlow(_) => Reason::AppTooSlow,
        };
        Self::new(reason, error.to_string())
    }
}
