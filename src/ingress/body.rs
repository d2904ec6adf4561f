//! The body of a request, as it comes over its connection. Over HTTP/2 what nobody has read of it is read, and dropped,
//! for a while after its answer: many senders take a reset of their body for a failure of the whole request and never
//! show the answer (curl 7.88: error 92). Over HTTP/1.1 the connection itself lingers.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::http2::Leftover;

/// What the service gets as the body of a request.
pub struct RequestBody {
    /// None after it was dropped.
    incoming: Option<Incoming>,
    /// Where what is left of it goes; None over HTTP/1.1.
    leftover: Option<Leftover>,
}

// === impl RequestBody ===

impl RequestBody {
    /// A body whose rest is nobody's business.
    pub(super) fn new(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), leftover: None }
    }

    /// A body whose rest is read and dropped.
    pub(super) fn read_to_its_end(incoming: Incoming, leftover: Leftover) -> Self {
        Self { incoming: Some(incoming), leftover: Some(leftover) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.incoming.as_mut().map_or(Poll::Ready(None), |incoming| Pin::new(incoming).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(leftover), Some(incoming)) = (self.leftover.take(), self.incoming.take())
            && !incoming.is_end_stream()
        {
            leftover.read(incoming);
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestBody")
    }
}
