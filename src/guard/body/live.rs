//! A body that nobody has to see before the service does: it is handed on as it comes.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{broken, too_late};
use crate::deadline::Deadline;
use crate::domain::{Rejection, RequestPieces};

/// A body on its way, of which the length is known and which has a time to come in.
pub struct Live {
    body: Pin<Box<dyn Source>>,
    bytes: u64,
    came: u64,
    deadline: Pin<Box<Deadline>>,
}

/// Any body, its error told as a refusal.
trait Source: Send {
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Rejection>>>;

    fn has_ended(&self) -> bool;
}

impl<B> Source for B
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Rejection>>> {
        self.poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(|error| broken(&*error.into()))))
    }

    fn has_ended(&self) -> bool {
        self.is_end_stream()
    }
}

// === impl Live ===

impl Live {
    /// A body of `bytes` bytes, which its server holds it to, whole by `deadline`.
    pub(super) fn new<B>(body: B, bytes: u64, deadline: Instant) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self { body: Box::pin(body), bytes, came: 0, deadline: Box::pin(Deadline::new(deadline)) }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Body for Live {
    type Data = Bytes;
    type Error = Rejection;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Rejection>>> {
        match self.body.as_mut().poll(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let count = frame.data_ref().map_or(0, Bytes::len);
                self.came = self.came.saturating_add(count as u64);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => {
                let came = self.came;
                self.deadline.as_mut().poll_passed(context, came).map(|()| Some(Err(too_late(came))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.saturating_sub(self.came))
    }
}

/// What the sender has sent it sends no second time.
impl RequestPieces for Live {
    fn begin_again(self: Pin<&mut Self>) -> bool {
        false
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({} of {} bytes)", self.came, self.bytes)
    }
}
