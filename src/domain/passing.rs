//! What intake and deliver say to each other of a request that is passed on to an app: its body, the answer's body, and
//! why there is no answer.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{Reason, Rejection};

/// Pieces of a request's body. Where one does not come, the sender is told why; the app's connection is cut.
pub type RequestStream = Pin<Box<dyn RequestPieces>>;

/// A request's body that comes piece by piece.
pub trait RequestPieces: Body<Data = Bytes, Error = Rejection> + Send {
    /// Begins anew with the first piece; false where what has gone is gone.
    fn begin_again(self: Pin<&mut Self>) -> bool;
}

/// Pieces of an answer's body, and its trailers.
pub type AnswerStream = Pin<Box<dyn Body<Data = Bytes, Error = io::Error> + Send>>;

/// The body of a request on its way to an app.
pub enum RequestBody {
    /// All of it.
    Whole(Bytes),
    /// Piece by piece.
    Streamed {
        /// How long it is: neither less nor more comes, or an error.
        bytes: u64,
        /// The pieces, and the trailers that may be handed on.
        pieces: RequestStream,
    },
}

/// The body of an answer of a source: whole, or streaming from the app behind it.
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// As it comes.
    Streamed(AnswerStream),
}

/// Why an app gave no answer; the words are for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// There is no connection to it: it saw nothing.
    #[error("{0}")]
    Unreachable(Box<str>),
    /// No connection to it by the deadline: it saw nothing.
    #[error("{0}")]
    NoConnection(Box<str>),
    /// The connection broke, or what came back was not HTTP; it may have seen the request.
    #[error("{0}")]
    Broken(Box<str>),
    /// No answer by the deadline; it may have seen the request.
    #[error("{0}")]
    TooSlow(Box<str>),
    /// The request's own body did not come whole: the app saw a part of it and its connection break.
    #[error(transparent)]
    Sender(#[from] Rejection),
}

// === impl RequestBody ===

impl RequestBody {
    /// How long it is, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Streamed { bytes, .. } => *bytes,
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBody({} bytes)", self.bytes())
    }
}

// === impl AnswerBody ===

impl Default for AnswerBody {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl From<Bytes> for AnswerBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(pieces) => pieces.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed(pieces) => pieces.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(pieces) => pieces.size_hint(),
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "AnswerBody::Whole",
            Self::Streamed(_) => "AnswerBody::Streamed",
        })
    }
}

// === impl AppError ===

impl AppError {
    /// Whether it is certain that the app saw nothing of the request.
    #[must_use]
    pub fn saw_nothing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NoConnection(_))
    }
}

impl From<AppError> for Rejection {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Unreachable(why) => Self::new(Reason::AppUnreachable, why),
            AppError::Broken(why) => Self::new(Reason::AppBroken, why),
            AppError::TooSlow(why) | AppError::NoConnection(why) => Self::new(Reason::AppTooSlow, why),
            AppError::Sender(rejection) => rejection,
        }
    }
}
