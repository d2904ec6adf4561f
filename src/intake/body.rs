//! An answer that streams from the app: which of its trailers go back, and what hangs on its end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};

use crate::domain::{AnswerBody, AnswerStream};

/// A body that comes from the app, and what hangs on its end.
struct Streamed {
    body: AnswerStream,
    /// The trailers that were announced to a sender that takes them; no others go back.
    trailers: Vec<HeaderName>,
    at_end: Option<AtEnd>,
}

/// Told once whether the app kept its word: false where its answer broke off. Where nobody waited for the end of the
/// answer the app has said yes all the same.
pub(super) type AtEnd = Box<dyn FnOnce(bool) + Send>;

/// The body with only these trailers, and with somebody who hears of its end.
pub(super) fn watched(body: AnswerStream, trailers: Vec<HeaderName>, at_end: AtEnd) -> AnswerBody {
    AnswerBody::Streamed(Box::pin(Streamed { body, trailers, at_end: Some(at_end) }))
}

// === impl Streamed ===

impl Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = ready!(self.body.as_mut().poll_frame(context));
        match &frame {
            Some(Err(_)) => self.end(false),
            // Before the sender can have the last byte: what it sends next must find the mark.
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => self.end(true),
        }
        let frame = match frame {
            Some(Ok(frame)) => self.announced(frame).map(Ok),
            other => other,
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Streamed {
    /// The frame without trailers that were not announced; hyper would wait for ever for the end of a body whose
    /// trailers it does not take.
    fn announced(&self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let sent = match frame.into_trailers() {
            Ok(sent) => sent,
            Err(data) => return Some(data),
        };
        let mut trailers = HeaderMap::new();
        for (name, value) in sent.iter().filter(|(name, _)| self.trailers.contains(name)) {
            trailers.append(name, value.clone());
        }
        (!trailers.is_empty()).then(|| Frame::trailers(trailers))
    }

    fn end(&mut self, well: bool) {
        if let Some(at_end) = self.at_end.take() {
            at_end(well);
        }
    }
}

/// The sender went away, or wanted no more: the app has answered.
impl Drop for Streamed {
    fn drop(&mut self) {
        self.end(true);
    }
}
