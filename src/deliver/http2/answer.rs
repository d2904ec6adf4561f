//! The body of an answer over HTTP/2, as it comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::exchange::{Exchange, broken};
use super::limits::STREAM_WINDOW_BYTES;
use crate::domain::headers::is_trailer;
use crate::domain::{AnswerBody, AppError};

/// A body on its way.
pub(super) struct Streaming {
    /// None once it has ended, well or not.
    under_way: Option<UnderWay>,
    /// What came, and is not handed on yet.
    here: Bytes,
    trailers: Option<HeaderMap>,
    /// What is still to come of the length that the head says; h2 holds the app to it.
    left: Option<u64>,
}

struct UnderWay {
    exchange: Exchange,
    body: RecvStream,
}

/// What comes next of it.
enum Next {
    Data(Bytes),
    End(Option<HeaderMap>),
}

// === impl Streaming ===

impl Streaming {
    /// The body behind a head; `left` is its length, where the head says it.
    pub(super) fn new(exchange: Exchange, body: RecvStream, left: Option<u64>) -> Self {
        let under_way = (!body.is_end_stream()).then_some(UnderWay { exchange, body });
        Self { under_way, here: Bytes::new(), trailers: None, left }
    }

    /// Takes everything that came with the head: whole where nothing more follows. Where the length is here only the end
    /// is missing, and waited for.
    pub(super) fn poll_with_head(&mut self, context: &mut Context<'_>) -> Poll<Result<AnswerBody, AppError>> {
        while self.under_way.is_some() && self.here.len() < STREAM_WINDOW_BYTES as usize {
            match self.poll_more(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if self.lacks_the_end() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        let is_whole = self.under_way.is_none() && self.trailers.is_none();
        let here = std::mem::take(&mut self.here);
        Poll::Ready(Ok(if is_whole {
            AnswerBody::Whole(here)
        } else {
            let (under_way, trailers) = (self.under_way.take(), self.trailers.take());
            AnswerBody::Streamed(Box::pin(Self { under_way, here, trailers, left: self.left }))
        }))
    }

    /// Takes the next piece, or the end.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<(), AppError>> {
        let Some(under_way) = &mut self.under_way else { return Poll::Ready(Ok(())) };
        match ready!(under_way.poll_next(context))? {
            Next::Data(data) => {
                // Fails only where more is given back than was taken.
                drop(under_way.body.flow_control().release_capacity(data.len()));
                if under_way.body.is_end_stream() {
                    self.under_way = None;
                }
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(data.len() as u64);
                }
                self.here = if self.here.is_empty() { data } else { [&*self.here, &*data].concat().into() };
            }
            Next::End(trailers) => {
                self.under_way = None;
                self.trailers = trailers.and_then(handed_on);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether all of the length is here. Apps often say the end in a frame of its own: who does not wait for it resets a
    /// stream that was well.
    fn lacks_the_end(&self) -> bool {
        self.under_way.is_some() && self.left == Some(0)
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Next, AppError>> {
        // The app may answer while it still reads; whether it reads on is its business.
        self.exchange.send(context)?;
        let next = match self.body.poll_data(context) {
            Poll::Ready(Some(data)) => Poll::Ready(data.map(Next::Data)),
            Poll::Ready(None) => self.body.poll_trailers(context).map_ok(Next::End),
            Poll::Pending => Poll::Pending,
        };
        match next {
            Poll::Ready(next) => Poll::Ready(next.map_err(|error| broken(&error))),
            Poll::Pending => {
                ready!(self.exchange.poll_too_late(context));
                Poll::Ready(Err(AppError::TooSlow("timed out: the answer's body did not end".into())))
            }
        }
    }
}

impl Body for Streaming {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            if !this.here.is_empty() && !this.lacks_the_end() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.here)))));
            }
            if this.under_way.is_none() {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            if let Err(error) = ready!(this.poll_more(context)) {
                (this.under_way, this.here) = (None, Bytes::new());
                return Poll::Ready(Some(Err(io::Error::other(error))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.under_way.is_none() && self.here.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.here.len() as u64;
        match self.left {
            _ if self.under_way.is_none() => SizeHint::with_exact(here),
            Some(left) => SizeHint::with_exact(here.saturating_add(left)),
            None => {
                let mut hint = SizeHint::new();
                hint.set_lower(here);
                hint
            }
        }
    }
}

/// Those trailers that say nothing about how a message is read.
fn handed_on(mut trailers: HeaderMap) -> Option<HeaderMap> {
    let others: Vec<_> = trailers.keys().filter(|name| !is_trailer(name.as_str())).cloned().collect();
    for name in others {
        trailers.remove(name);
    }
    (!trailers.is_empty()).then_some(trailers)
}
