//! One keep-alive connection of one worker, and one exchange over it.
//!
//! Reads and writes in the task that asks, in the attempt and between two attempts: no second task, no
//! hand-off, no copy of the body. Dropping it closes the socket.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;

use super::EndpointUrl;
use super::connector::{Connector, LOOK_UP_EVERY, Opened};
use super::failure::Failure;
use super::http1::{Answer, Fault, Reader, Step};
use super::policy::Policy;
use super::stream::Stream;
use crate::deadline::Deadline;
use crate::telemetry::Home;

/// A connection to one origin.
pub struct Connection(pub(super) Box<Inner>);

/// What a connection is made of.
pub(super) struct Inner {
    url: EndpointUrl,
    /// What let it be made.
    policy: Policy,
    address: IpAddr,
    /// The core that hears of it first.
    core: Option<usize>,
    too_old_at: Instant,
    /// From then on it is asked whether the name still leads to the address.
    look_up_at: Instant,
    pub(super) stream: Stream,
    pub(super) input: Input,
    /// Room for the head of the next request.
    head: Vec<u8>,
    open: bool,
    pub(super) deadline: Pin<Box<Deadline>>,
}

/// How far a request has gone out.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Bytes of head and body that the stream has taken.
    written: usize,
    flushed: bool,
    /// The request does not go out; the answer may be here already.
    error: Option<io::Error>,
}

/// Nothing of a request was, or will be, written.
#[derive(Debug)]
pub(super) struct NothingSent;

/// A request as it goes out.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) head: &'a [u8],
    pub(super) body: &'a [u8],
    /// Whether its method is HEAD, whose answer has no body.
    pub(super) is_head: bool,
}

/// What came of an exchange that brought at least the head of an answer.
pub(super) struct Exchanged {
    pub(super) answer: Answer,
    /// Set where the body did not come whole; what came of it is in `answer`.
    pub(super) cut: Option<Failure>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nothing of the request was written: it may go out over another connection.
    NotSent,
    /// It was, or may have been, written.
    Failed(Failure),
}

/// A connection older than this is not used again: of a name with several addresses all get their share.
pub(super) const AGE_MAX: Duration = Duration::from_secs(300);

/// Room for what is read, at first and between two exchanges.
const INPUT_BYTES: usize = 8 * 1024;

/// How often is read in one turn of the task; what else waits to run has its turn then.
pub(super) const READS_MAX: usize = 32;

/// Room for heads that is kept between two exchanges.
const HEAD_BYTES_KEPT: usize = 16 * 1024;

// === impl Connection ===

impl Connection {
    /// Speaks HTTP/1.1 over a stream that was just opened.
    pub(super) fn over(
        Opened { stream, address }: Opened,
        url: &EndpointUrl,
        policy: &Policy,
        deadline: Instant,
    ) -> Self {
        let now = Instant::now();
        Self(Box::new(Inner {
            url: url.clone(),
            policy: policy.clone(),
            address,
            core: Home::core_here(),
            too_old_at: now + AGE_MAX,
            look_up_at: now + LOOK_UP_EVERY,
            stream,
            input: Input { bytes: vec![0; INPUT_BYTES], filled: 0 },
            head: Vec::new(),
            open: true,
            deadline: Box::pin(Deadline::new(deadline)),
        }))
    }

    /// Whether a request for this URL may go out over it at `now`: not one that another policy let be made.
    pub(super) fn serves(&self, url: &EndpointUrl, policy: &Policy, now: Instant) -> bool {
        self.is_of_use(now) && self.0.url.same_origin(url) && self.0.policy == *policy
    }

    /// Whether another request may go out over it at `now`, where all are for the same URL.
    pub(super) fn is_of_use(&self, now: Instant) -> bool {
        self.0.open && now < self.0.too_old_at
    }

    /// Whether its name still leads to where it goes; asked seldom, so that it costs the others a comparison.
    pub(super) async fn still_leads(&mut self, connector: &Connector, now: Instant) -> bool {
        if now < self.0.look_up_at {
            return true;
        }
        self.0.look_up_at = now + LOOK_UP_EVERY;
        // Apart, since it is rare: what it needs would make every request's future large.
        Box::pin(connector.leads_to(&self.0.url, self.0.address)).await
    }

    /// Whether it can carry another request: not one that is closing, that has said more than it was asked, or
    /// whose last request was answered before it was written.
    pub(super) fn stays_open(&self) -> bool {
        self.0.open
    }

    /// The core whose thread hears of it.
    pub(super) fn core(&self) -> Option<usize> {
        self.0.core
    }

    /// The same for somebody on the core `here`, who may hear of it by way of another one where it is encrypted. `None`
    /// where it turns out to be of no use.
    pub(super) fn for_core(self, here: Option<usize>) -> Option<Self> {
        if self.0.core == here || !self.0.stream.is_plain() {
            return Some(self);
        }
        let mut inner = *self.0;
        inner.stream = inner.stream.moved_here().ok()?;
        inner.core = here;
        // Its timer is the other core's too.
        inner.deadline = Box::pin(Deadline::new(Instant::now()));
        Some(Self(Box::new(inner)))
    }

    /// The buffer for the head of the next request; give it back with [`keep_head`](Self::keep_head).
    pub(super) fn take_head(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0.head)
    }

    pub(super) fn keep_head(&mut self, head: Vec<u8>) {
        if head.capacity() <= HEAD_BYTES_KEPT {
            self.0.head = head;
        }
    }

    #[cfg(test)]
    pub(super) fn grow_old(&mut self) {
        self.0.too_old_at = Instant::now();
    }

    /// Waits until the other side closes it; nothing must be under way.
    pub(super) async fn closed(&mut self) {
        let inner = &mut *self.0;
        poll_fn(|context| if inner.is_quiet(context) { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Sends one request and reads its answer, keeping at most `body_bytes_max` of the body.
    pub(super) async fn exchange(
        &mut self,
        request: Outgoing<'_>,
        body_bytes_max: usize,
        deadline: Instant,
    ) -> Result<Exchanged, Unanswered> {
        let inner = &mut *self.0;
        inner.deadline.as_mut().move_to(deadline);
        let mut exchange = Exchange {
            request,
            begun: false,
            sending: Sending::default(),
            reader: Reader::new(request.is_head, body_bytes_max),
        };
        let end = poll_fn(|context| exchange.poll(inner, context)).await;
        let Exchange { sending, reader, .. } = exchange;
        let failure = match end {
            End::NotSent => return Err(Unanswered::NotSent),
            End::Whole => {
                inner.end_exchange(sending.is_whole() && reader.keeps_alive());
                None
            }
            End::Enough => None,
            End::Failed(failure) if reader.has_head() => Some(failure),
            End::Failed(failure) => return Err(Unanswered::Failed(failure)),
        };
        Ok(Exchanged { answer: reader.into_answer(), cut: failure })
    }
}

// === impl Inner ===

impl Inner {
    /// Begins an exchange: false where the connection turns out to be of no use. Until the answer is whole, whoever
    /// looks finds one that is not.
    pub(super) fn begin_exchange(&mut self, context: &mut Context<'_>) -> bool {
        let quiet = self.is_quiet(context);
        self.open = false;
        quiet
    }

    /// The answer is whole: whether the connection can carry another request.
    pub(super) fn end_exchange(&mut self, keeps_alive: bool) {
        self.open = keeps_alive && self.input.filled == 0;
        self.input.shrink();
    }

    /// Whether the other side has neither closed the connection nor said anything that it was not asked; where
    /// it has, the connection is of no more use.
    pub(super) fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        self.open = self.open && self.input.poll_fill(&mut self.stream, context).is_pending();
        self.open
    }
}

/// One exchange while it is under way.
struct Exchange<'a> {
    request: Outgoing<'a>,
    begun: bool,
    sending: Sending,
    reader: Reader,
}

/// How an exchange ended.
enum End {
    NotSent,
    Whole,
    Enough,
    Failed(Failure),
}

// === impl Exchange ===

impl Exchange<'_> {
    fn poll(&mut self, connection: &mut Inner, context: &mut Context<'_>) -> Poll<End> {
        if !self.begun {
            self.begun = true;
            if !connection.begin_exchange(context) {
                return Poll::Ready(End::NotSent);
            }
        }
        if let Err(NothingSent) = self.sending.advance(self.request, &mut connection.stream, context) {
            return Poll::Ready(End::NotSent);
        }
        if let Some(end) = self.receive(connection, context) {
            return Poll::Ready(end);
        }
        // Asked last, for most turns end before; `receive` leaves something of the task's budget, without which a
        // timer never fires.
        match connection.deadline.as_mut().poll_passed(context, 0) {
            Poll::Ready(()) => Poll::Ready(End::Failed(self.too_late())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn receive(&mut self, connection: &mut Inner, context: &mut Context<'_>) -> Option<End> {
        let Inner { stream, input, .. } = connection;
        for _ in 0..READS_MAX {
            match input.poll_fill(stream, context) {
                Poll::Pending => return None,
                Poll::Ready(Ok(0)) => {
                    return Some(match self.reader.end() {
                        Ok(()) => End::Whole,
                        Err(fault) => End::Failed(self.broken(None, fault)),
                    });
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Some(End::Failed(self.broken(Some(error), Fault::NoAnswer))),
            }
            let mut rest = input.bytes();
            let step = self.reader.take(&mut rest);
            let used = input.filled - rest.len();
            input.consume(used);
            match step {
                Ok(Step::More) => {}
                Ok(Step::Whole) => return Some(End::Whole),
                Ok(Step::Enough) => return Some(End::Enough),
                Err(fault) => return Some(End::Failed(Failure::protocol(&fault))),
            }
        }
        context.waker().wake_by_ref();
        None
    }

    /// The connection broke before the answer was whole. Where the request could not be written, that came first.
    fn broken(&mut self, read_error: Option<io::Error>, fault: Fault) -> Failure {
        match self.sending.take_error().or(read_error) {
            Some(error) => Failure::protocol(&format_args!("the connection broke: {error}")),
            None => Failure::protocol(&fault),
        }
    }

    fn too_late(&self) -> Failure {
        Failure::timeout(match (self.sending.is_whole(), self.reader.has_head()) {
            (_, true) => "the answer's body did not end",
            (true, false) => "no answer came",
            (false, false) => "the request was not taken",
        })
    }
}

// === impl Sending ===

impl Sending {
    /// Writes what the stream takes. An error does not end the exchange: a server that refuses a large body
    /// answers and closes while it is still being written (RFC 9112 section 9.5).
    pub(super) fn advance(
        &mut self,
        request: Outgoing<'_>,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Result<(), NothingSent> {
        if self.flushed || self.error.is_some() {
            return Ok(());
        }
        match self.poll_write(request, stream, context) {
            Poll::Ready(Ok(())) => self.flushed = true,
            // The very first write failed. What encrypts may have sent a part of it before it failed.
            Poll::Ready(Err(_)) if self.written == 0 && stream.is_plain() => return Err(NothingSent),
            Poll::Ready(Err(error)) => self.error = Some(error),
            Poll::Pending => {}
        }
        Ok(())
    }

    /// Whether all of the request is out.
    pub(super) fn is_whole(&self) -> bool {
        self.flushed
    }

    /// Whether it went wrong.
    pub(super) fn is_broken(&self) -> bool {
        self.error.is_some()
    }

    /// The head and what of the body there was are out: the next piece of the body follows, and the head stays.
    pub(super) fn goes_on(&mut self, head_bytes: usize) {
        self.written = head_bytes;
        self.flushed = false;
    }

    /// Why the request does not go out.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    fn poll_write(
        &mut self,
        request: Outgoing<'_>,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Outgoing { head, body, .. } = request;
        let mut stream = Pin::new(stream);
        while self.written < head.len() + body.len() {
            let count = match head.get(self.written..).filter(|rest| !rest.is_empty()) {
                Some(rest) => stream.as_mut().poll_write_vectored(context, &[IoSlice::new(rest), IoSlice::new(body)]),
                None => {
                    let rest = body.get(self.written - head.len()..).unwrap_or_default();
                    stream.as_mut().poll_write(context, rest)
                }
            };
            match count {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        stream.poll_flush(context)
    }
}

/// What was read and not used yet; its memory is used again for every answer.
pub(super) struct Input {
    /// As long as there is room; only the first `filled` bytes mean something.
    bytes: Vec<u8>,
    filled: usize,
}

// === impl Input ===

impl Input {
    /// Reads more behind what is there; how much, 0 at the end of the connection.
    pub(super) fn poll_fill(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.filled == self.bytes.len() {
            // Bounded by the reader, which gives up on a head that is too large and leaves nothing of a body.
            self.bytes.resize(self.filled * 2, 0);
        }
        let mut room = ReadBuf::new(self.bytes.get_mut(self.filled..).unwrap_or_default());
        match Pin::new(stream).poll_read(context, &mut room) {
            Poll::Ready(Ok(())) => {
                let count = room.filled().len();
                self.filled += count;
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, count: usize) {
        if count < self.filled {
            self.bytes.copy_within(count..self.filled, 0);
        }
        self.filled -= count;
    }

    fn shrink(&mut self) {
        if self.bytes.len() > INPUT_BYTES {
            self.bytes.truncate(INPUT_BYTES);
            self.bytes.shrink_to_fit();
        }
    }
}
