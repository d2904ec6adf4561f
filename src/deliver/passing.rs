//! One request that is passed on over one connection, and its answer as it comes back.

use std::fmt;
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
use super::connection::{Connection, Inner, NothingSent, Outgoing, READS_MAX, Sending, Unanswered};
use super::failure::Failure;
use super::http1::{Fault, Relay, Taken};

/// An exchange under way.
pub(super) struct Passing {
    connection: Connection,
    begun: bool,
    head: Vec<u8>,
    body: Bytes,
    is_head: bool,
    sending: Sending,
    relay: Relay,
}

/// The body of an app's answer.
pub struct UpstreamBody(State);

enum State {
    /// All of it came with the head.
    Whole(Bytes),
    /// More is on its way.
    Streaming(Box<Streaming>),
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
        body: Bytes,
        is_head: bool,
        deadline: Instant,
    ) -> Self {
        connection.0.deadline.move_to(deadline);
        let (sending, relay) = (Sending::default(), Relay::new(is_head));
        Self { connection, begun: false, head, body, is_head, sending, relay }
    }

    /// Sends the request and waits for the head of its answer. A small answer is whole then.
    pub(super) async fn answer(mut self, upstream: &Arc<Upstream>) -> Result<Response<UpstreamBody>, Unanswered> {
        let (status, headers) = poll_fn(|context| self.poll_head(context)).await?;
        let mut response = Response::new(UpstreamBody(State::Whole(Bytes::new())));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let (first, end) = self.take_what_is_here().map_err(|fault| Unanswered::Failed(Failure::protocol(&fault)))?;
        match end {
            Some(None) => {
                self.finish(upstream);
                response.body_mut().0 = State::Whole(first);
            }
            // Trailers come as a frame of their own.
            Some(Some(_)) | None => {
                let (upstream, trailers) = (Arc::clone(upstream), end.flatten());
                let streaming = Streaming { passing: Some(self), upstream, first, trailers };
                response.body_mut().0 = State::Streaming(Box::new(streaming));
            }
        }
        Ok(response)
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(StatusCode, HeaderMap), Unanswered>> {
        let Self { connection, begun, relay, .. } = self;
        let inner = &mut *connection.0;
        if !*begun {
            *begun = true;
            if !inner.begin_exchange(context) {
                return Poll::Ready(Err(Unanswered::NotSent));
            }
        }
        let request = Outgoing { head: &self.head, body: &self.body, is_head: self.is_head };
        if let Err(NothingSent) = self.sending.advance(request, &mut inner.stream, context) {
            return Poll::Ready(Err(Unanswered::NotSent));
        }
        for _ in 0..READS_MAX {
            let read = match inner.input.poll_fill(&mut inner.stream, context) {
                Poll::Pending => {
                    return match inner.deadline.poll_passed(context) {
                        Poll::Ready(()) => Poll::Ready(Err(Unanswered::Failed(self.too_late()))),
                        Poll::Pending => Poll::Pending,
                    };
                }
                Poll::Ready(read) => read,
            };
            if let Err(failure) = ended(read, relay, &mut self.sending) {
                return Poll::Ready(Err(Unanswered::Failed(failure)));
            }
            match with_input(inner, |rest| relay.head(rest)) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(Unanswered::Failed(Failure::protocol(&fault)))),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
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
        let Self { connection, relay, .. } = self;
        let inner = &mut *connection.0;
        // The app may answer while it still reads; whether it reads on is its business.
        let request = Outgoing { head: &self.head, body: &self.body, is_head: self.is_head };
        if let Err(NothingSent) = self.sending.advance(request, &mut inner.stream, context) {
            return Poll::Ready(Err(Failure::protocol(&Fault::Short)));
        }
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
                    return match inner.deadline.poll_passed(context) {
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
        let keeps_alive = self.sending.is_whole() && self.relay.keeps_alive();
        self.connection.0.end_exchange(keeps_alive);
        self.connection.keep_head(self.head);
        upstream.give_back(self.connection);
    }

    fn too_late(&self) -> Failure {
        Failure::timeout(if self.sending.is_whole() { "no answer came" } else { "the request was not taken" })
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

// === impl UpstreamBody, Streaming ===

impl UpstreamBody {
    /// The body, where all of it is here.
    ///
    /// # Errors
    /// Itself, where more is on its way.
    pub fn whole(self) -> Result<Bytes, Self> {
        match self.0 {
            State::Whole(bytes) => Ok(bytes),
            streaming @ State::Streaming(_) => Err(Self(streaming)),
        }
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Whole(_) => "UpstreamBody::Whole",
            State::Streaming(_) => "UpstreamBody::Streaming",
        })
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.0 {
            State::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            State::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            State::Streaming(streaming) => streaming.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Whole(bytes) => bytes.is_empty(),
            State::Streaming(streaming) => streaming.passing.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            State::Streaming(streaming) => streaming.size_hint(),
        }
    }
}

impl Streaming {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        let Some(passing) = &mut self.passing else { return Poll::Ready(None) };
        let next = match self.trailers.take() {
            Some(trailers) => Ok(Next::End(Some(trailers))),
            None => ready!(passing.poll_next(context)),
        };
        Poll::Ready(match next {
            Ok(Next::Data(data)) => {
                // The last byte of a body that says its length is its end: nobody may ask for more.
                if passing.relay.length_left() == Some(0)
                    && matches!(passing.relay.body(&mut &[][..]), Ok(Taken::End(_)))
                {
                    self.end();
                }
                Some(Ok(Frame::data(data)))
            }
            Ok(Next::End(trailers)) => {
                self.end();
                trailers.map(|trailers| Ok(Frame::trailers(*trailers)))
            }
            Err(failure) => {
                self.passing = None;
                Some(Err(io::Error::other(String::from(failure.message))))
            }
        })
    }

    fn end(&mut self) {
        if let Some(passing) = self.passing.take() {
            passing.finish(&self.upstream);
        }
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
