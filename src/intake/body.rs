//! The body of every answer of a source: whole, or streaming from the app behind it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};

/// A body that is here, or one that comes.
#[derive(Debug)]
pub enum AnswerBody<B> {
    /// All of it.
    Whole(Bytes),
    /// As the app sends it.
    Streamed(Box<Streamed<B>>),
}

/// A body that comes from the app, and what hangs on its end.
pub struct Streamed<B> {
    body: B,
    /// The trailers that were announced to a sender that takes them; no others go back.
    trailers: Vec<HeaderName>,
    at_end: Option<AtEnd>,
}

/// Told once whether the app kept its word: false where its answer broke off. Where nobody waited for the end of the
/// answer the app has said yes all the same.
pub(super) type AtEnd = Box<dyn FnOnce(bool) + Send>;

// === impl AnswerBody ===

impl<B> AnswerBody<B> {
    pub(super) fn streamed(body: B, trailers: Vec<HeaderName>, at_end: AtEnd) -> Self {
        Self::Streamed(Box::new(Streamed { body, trailers, at_end: Some(at_end) }))
    }
}

impl<B> Default for AnswerBody<B> {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl<B> From<Bytes> for AnswerBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl<B: Body<Data = Bytes, Error = io::Error> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(streamed) => streamed.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}

// === impl Streamed ===

impl<B: Body<Data = Bytes, Error = io::Error> + Unpin> Streamed<B> {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
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
}

impl<B> Streamed<B> {
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
impl<B> Drop for Streamed<B> {
    fn drop(&mut self) {
        self.end(true);
    }
}

impl<B> fmt::Debug for Streamed<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streamed")
    }
}
