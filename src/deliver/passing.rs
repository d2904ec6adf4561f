//! One request that is passed on over one connection, and its answer as it comes back.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::Upstream;
use super::connection::{Connection, Inner, NothingSent, Outgoing, READS_MAX, Sending};
use super::failure::Failure;
use super::http1::{Fault, Relay, Taken};
use crate::domain::interim::OnInterim;
use crate::domain::{AnswerBody, AppError, Rejection, RequestBody, RequestStream};

/// An exchange under way.
pub(super) struct Passing {
    connection: Connection,
    begun: bool,
    head: Vec<u8>,
    /// What of the body is here: all of it, or the piece that goes out.
    body: Bytes,
    rest: Option<Rest>,
    is_head: bool,
    sending: Sending,
    relay: Relay,
}

/// The pieces of the request's body that are still to come.
struct Rest {
    bytes: u64,
    pieces: RequestStream,
    /// Whether one has been asked for.
    begun: bool,
}

/// Why there is no answer.
pub(super) enum Unpassed {
    /// Nothing of the request was sent; its body is as it was.
    NotSent(RequestBody),
    /// It was, or may have been.
    Failed(AppError),
}

/// Why a request does not go out.
enum Stuck {
    /// Nothing of it did.
    NotSent,
    /// Its own body does not come.
    Sender(Rejection),
}

/// A body on its way.
struct Streaming {
    /// None once it has ended, well or not.
    passing: Option<Passing>,
    upstream: Arc<Upstream>,
    /// What came with the head, and is not handed on yet.
    first: Bytes,
    /// The same of the trailers.
    trailers: Option<Box<HeaderMap>>,
}

/// What comes next of an answer.
enum Next {
    Data(Bytes),
    End(Option<Box<HeaderMap>>),
}

// === impl Passing ===

impl Passing {
    pub(super) fn new(
        mut connection: Connection,
        head: Vec<u8>,
        body: RequestBody,
        is_head: bool,
        deadline: Instant,
    ) -> Self {
        connection.0.deadline.as_mut().move_to(deadline);
        let (sending, relay) = (Sending::default(), Relay::new(is_head));
        let (body, rest) = match body {
            RequestBody::Whole(bytes) => (bytes, None),
            RequestBody::Streamed { bytes, pieces } => (Bytes::new(), Some(Rest { bytes, pieces, begun: false })),
        };
        Self { connection, begun: false, head, body, rest, is_head, sending, relay }
    }

    /// Sends the request and waits for the head of its answer. A small answer is whole then.
    pub(super) async fn answer(
        mut self,
        upstream: &Arc<Upstream>,
        interim: Option<OnInterim<'_>>,
    ) -> Result<Response<AnswerBody>, Unpassed> {
        let (status, headers) = poll_fn(|context| self.poll_head(interim, context)).await?;
        let mut response = Response::new(AnswerBody::default());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let (first, end) = self.take_what_is_here().map_err(|fault| Unpassed::from(Failure::protocol(&fault)))?;
        *response.body_mut() = match end {
            Some(None) => {
                self.finish(upstream);
                AnswerBody::Whole(first)
            }
            // Trailers come as a frame of their own.
            Some(Some(_)) | None => {
                let (upstream, trailers) = (Arc::clone(upstream), end.flatten());
                AnswerBody::Streamed(Box::pin(Streaming { passing: Some(self), upstream, first, trailers }))
            }
        };
        Ok(response)
    }

    fn poll_head(
        &mut self,
        interim: Option<OnInterim<'_>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(StatusCode, HeaderMap), Unpassed>> {
        if !self.begun {
            self.begun = true;
            if !self.connection.0.begin_exchange(context) {
                return Poll::Ready(Err(self.unsent()));
            }
        }
        match self.send(context) {
            Ok(()) => {}
            Err(Stuck::NotSent) => return Poll::Ready(Err(self.unsent())),
            Err(Stuck::Sender(rejection)) => return Poll::Ready(Err(Unpassed::Failed(rejection.into()))),
        }
        let Self { connection, relay, .. } = self;
        let inner = &mut *connection.0;
        for _ in 0..READS_MAX {
            let read = match inner.input.poll_fill(&mut inner.stream, context) {
                Poll::Pending => {
                    return match inner.deadline.as_mut().poll_passed(context, 0) {
                        Poll::Ready(()) => Poll::Ready(Err(self.too_late().into())),
                        Poll::Pending => Poll::Pending,
                    };
                }
                Poll::Ready(read) => read,
            };
            if let Err(failure) = ended(read, relay, &mut self.sending) {
                return Poll::Ready(Err(failure.into()));
            }
            match with_input(inner, |rest| relay.head(rest, interim)) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(Failure::protocol(&fault).into())),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what there is of the request and what comes of its body, as far as the app takes it.
    fn send(&mut self, context: &mut Context<'_>) -> Result<(), Stuck> {
        loop {
            let request = Outgoing { head: &self.head, body: &self.body, is_head: self.is_head };
            let sent = self.sending.advance(request, &mut self.connection.0.stream, context);
            let Some(rest) = &mut self.rest else { return sent.map_err(|NothingSent| Stuck::NotSent) };
            match sent {
                // The sender would be asked in vain.
                Err(NothingSent) if rest.begun => return Ok(()),
                Err(NothingSent) => return Err(Stuck::NotSent),
                Ok(()) => {}
            }
            if !self.sending.is_whole() || self.sending.is_broken() {
                return Ok(());
            }
            rest.begun = true;
            match rest.pieces.as_mut().poll_frame(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => self.rest = None,
                Poll::Ready(Some(Err(rejection))) => return Err(Stuck::Sender(rejection)),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        self.body = piece;
                        self.sending.goes_on(self.head.len());
                    }
                }
            }
        }
    }

    /// Gives the body back.
    fn unsent(&mut self) -> Unpassed {
        Unpassed::NotSent(match self.rest.take() {
            Some(Rest { bytes, pieces, .. }) => RequestBody::Streamed { bytes, pieces },
            None => RequestBody::Whole(std::mem::take(&mut self.body)),
        })
    }

    /// Whether all of the request is out.
    fn is_sent(&self) -> bool {
        self.sending.is_whole() && self.rest.is_none()
    }

    /// Everything of the body that came with the head, and its end where that came too.
    #[allow(clippy::type_complexity, reason = "used once")]
    fn take_what_is_here(&mut self) -> Result<(Bytes, Option<Option<Box<HeaderMap>>>), Fault> {
        let Self { connection, relay, .. } = self;
        let mut here = BytesMut::new();
        with_input(&mut connection.0, |rest| {
            loop {
                match relay.body(rest)? {
                    Taken::Data(data) => here.extend_from_slice(data),
                    Taken::More => return Ok((here.split().freeze(), None)),
                    Taken::End(trailers) => return Ok((here.split().freeze(), Some(trailers))),
                }
            }
        })
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Next, Failure>> {
        // The app may answer while it still reads; whether it reads on is its business.
        match self.send(context) {
            Ok(()) => {}
            Err(Stuck::NotSent) => return Poll::Ready(Err(Failure::protocol(&Fault::Short))),
            Err(Stuck::Sender(rejection)) => return Poll::Ready(Err(Failure::protocol(&rejection))),
        }
        let Self { connection, relay, .. } = self;
        let inner = &mut *connection.0;
        loop {
            let taken = with_input(inner, |rest| {
                relay.body(rest).map(|taken| match taken {
                    Taken::Data(data) => Some(Next::Data(Bytes::copy_from_slice(data))),
                    Taken::End(trailers) => Some(Next::End(trailers)),
                    Taken::More => None,
                })
            });
            match taken {
                Ok(Some(next)) => return Poll::Ready(Ok(next)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(Failure::protocol(&fault))),
            }
            let read = match inner.input.poll_fill(&mut inner.stream, context) {
                Poll::Pending => {
                    return match inner.deadline.as_mut().poll_passed(context, 0) {
                        Poll::Ready(()) => Poll::Ready(Err(Failure::timeout("the answer's body did not end"))),
                        Poll::Pending => Poll::Pending,
                    };
                }
                Poll::Ready(read) => read,
            };
            if let Err(failure) = ended(read, relay, &mut self.sending) {
                return Poll::Ready(Err(failure));
            }
        }
    }

    /// The answer is whole: the connection goes back where it can carry another request.
    fn finish(mut self, upstream: &Upstream) {
        let keeps_alive = self.is_sent() && self.relay.keeps_alive();
        self.connection.0.end_exchange(keeps_alive);
        self.connection.keep_head(self.head);
        upstream.give_back(self.connection);
    }

    fn too_late(&self) -> Failure {
        Failure::timeout(if self.is_sent() { "no answer came" } else { "the request was not taken" })
    }
}

/// What a read means where it is the end of the connection, or an error.
fn ended(read: io::Result<usize>, relay: &mut Relay, sending: &mut Sending) -> Result<(), Failure> {
    let (error, fault) = match read {
        Ok(1..) => return Ok(()),
        Ok(0) => match relay.end() {
            Ok(()) => return Ok(()),
            Err(fault) => (None, fault),
        },
        Err(error) => (Some(error), Fault::Short),
    };
    // Where the request could not be written, that came first.
    Err(match sending.take_error().or(error) {
        Some(error) => Failure::protocol(&format_args!("the connection broke: {error}")),
        None => Failure::protocol(&fault),
    })
}

/// Lets `take` use what was read, from the front.
fn with_input<T>(inner: &mut Inner, take: impl FnOnce(&mut &[u8]) -> T) -> T {
    let mut rest = inner.input.bytes();
    let before = rest.len();
    let taken = take(&mut rest);
    let used = before - rest.len();
    inner.input.consume(used);
    taken
}

// === impl Unpassed, Streaming ===

impl From<Failure> for Unpassed {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.into())
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
        if !this.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.first)))));
        }
        let Some(passing) = &mut this.passing else { return Poll::Ready(None) };
        let next = match this.trailers.take() {
            Some(trailers) => Ok(Next::End(Some(trailers))),
            None => ready!(passing.poll_next(context)),
        };
        Poll::Ready(match next {
            Ok(Next::Data(data)) => {
                // The last byte of a body that says its length is its end: nobody may ask for more.
                if passing.relay.length_left() == Some(0)
                    && matches!(passing.relay.body(&mut &[][..]), Ok(Taken::End(_)))
                {
                    this.end();
                }
                Some(Ok(Frame::data(data)))
            }
            Ok(Next::End(trailers)) => {
                this.end();
                trailers.map(|trailers| Ok(Frame::trailers(*trailers)))
            }
            Err(failure) => {
                this.passing = None;
                Some(Err(io::Error::other(String::from(failure.message))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.passing.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.len() as u64;
        match self.passing.as_ref().map_or(Some(0), |passing| passing.relay.length_left()) {
            // A body whose length is said has no trailers.
            Some(left) if self.trailers.is_none() => SizeHint::with_exact(first.saturating_add(left)),
            Some(_) | None => {
                let mut hint = SizeHint::new();
                hint.set_lower(first);
                hint
            }
        }
    }
}

impl Streaming {
    fn end(&mut self) {
        if let Some(passing) = self.passing.take() {
            passing.finish(&self.upstream);
        }
    }
}
