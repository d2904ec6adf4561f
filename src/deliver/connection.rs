//! One keep-alive connection of one worker, and one exchange over it.
//!
//! The connection's own future is polled by whoever holds the connection, in the attempt and between two
//! attempts: no second task, no hand-off. Dropping it closes the socket.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{Request, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::EndpointUrl;
use super::deadline::Deadline;
use super::failure::Failure;
use super::stream::{Io, Stream};

/// A connection to one origin.
pub struct Connection(Box<Inner>);

struct Inner {
    url: EndpointUrl,
    too_old_at: Instant,
    sender: http1::SendRequest<Full<Bytes>>,
    io: http1::Connection<Io, Full<Bytes>>,
    io_ended: bool,
    deadline: Deadline,
}

/// What came back, as far as it was wanted.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) head: Parts,
    pub(super) body: Bytes,
    /// Set where the body did not come whole; what came of it is in `body`.
    pub(super) cut: Option<Failure>,
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// Nothing of the request was written: it may go out over another connection.
    NotSent(Box<Request<Full<Bytes>>>),
    /// It was, or may have been, written.
    Failed(Failure),
}

/// A connection older than this is not used again: the name is looked up anew.
const AGE_MAX: Duration = Duration::from_secs(300);

/// The most header fields of an answer.
const HEADERS_MAX: usize = 100;

/// The most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How much of a body that nobody keeps is read so that the connection can be used again.
const DISCARD_BYTES_MAX: u64 = 64 * 1024;

// === impl Connection ===

impl Connection {
    /// Speaks HTTP/1.1 over a stream that was just opened.
    pub(super) async fn over(stream: Stream, url: &EndpointUrl, deadline: Instant) -> Result<Self, Failure> {
        let handshake = http1::Builder::new()
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, io) = handshake.map_err(|error| Failure::protocol(&error))?;
        let inner = Inner {
            url: url.clone(),
            too_old_at: Instant::now() + AGE_MAX,
            sender,
            io,
            io_ended: false,
            deadline: Deadline::new(deadline),
        };
        Ok(Self(Box::new(inner)))
    }

    /// Whether the next request for this URL may go out over it.
    pub(super) fn serves(&self, url: &EndpointUrl) -> bool {
        !self.0.io_ended
            && !self.0.sender.is_closed()
            && self.0.url.same_origin(url)
            && Instant::now() < self.0.too_old_at
    }

    /// Whether it can carry another request: not one that is closing, or still busy with a request whose answer
    /// came early.
    pub(super) fn stays_open(&self) -> bool {
        !self.0.io_ended && self.0.sender.is_ready()
    }

    #[cfg(test)]
    pub(super) fn grow_old(&mut self) {
        self.0.too_old_at = Instant::now();
    }

    /// Waits until the other side closes it; nothing must be under way.
    pub(super) async fn closed(&mut self) {
        let inner = &mut *self.0;
        poll_fn(|context| {
            inner.drive(context);
            if inner.io_ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Sends one request and reads its answer, keeping at most `body_bytes_max` of the body.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        body_bytes_max: usize,
        deadline: Instant,
    ) -> Result<Answer, Unanswered> {
        let inner = &mut *self.0;
        inner.deadline.move_to(deadline);
        let (head, mut body) = inner.head(request).await?.into_parts();
        let (body, cut) = inner.body(&mut body, body_bytes_max).await;
        Ok(Answer { status: head.status, head, body, cut })
    }
}

// === impl Inner ===

impl Inner {
    async fn head(&mut self, request: Request<Full<Bytes>>) -> Result<http::Response<Incoming>, Unanswered> {
        if !poll_fn(|context| Poll::Ready(self.is_ready(context))).await {
            return Err(Unanswered::NotSent(Box::new(request)));
        }
        let mut response = pin!(self.sender.try_send_request(request));
        let (io, io_ended, deadline) = (&mut self.io, &mut self.io_ended, &mut self.deadline);
        poll_fn(|context| {
            // Asked first: a flood of bytes uses up the task's budget, and a timer asked afterwards would never fire.
            let late = deadline.poll_passed(context).is_ready();
            drive(io, io_ended, context);
            if let Poll::Ready(result) = response.as_mut().poll(context) {
                return Poll::Ready(result.map_err(|mut error| match error.take_message() {
                    Some(request) => Unanswered::NotSent(Box::new(request)),
                    None => Unanswered::Failed(Failure::protocol(error.error())),
                }));
            }
            if late { Poll::Ready(Err(Unanswered::Failed(Failure::timeout("no answer came")))) } else { Poll::Pending }
        })
        .await
    }

    /// Whether a request would go out at once. After a whole answer, or when the connection is new, that takes
    /// one turn of it; one that needs longer is still busy with something that nobody waits for.
    fn is_ready(&mut self, context: &mut Context<'_>) -> bool {
        if self.sender.poll_ready(context).is_pending() {
            self.drive(context);
        }
        matches!(self.sender.poll_ready(context), Poll::Ready(Ok(())))
    }

    async fn body(&mut self, body: &mut Incoming, bytes_max: usize) -> (Bytes, Option<Failure>) {
        let mut kept = Kept { bytes: BytesMut::new(), bytes_max, read: 0 };
        let (io, io_ended, deadline) = (&mut self.io, &mut self.io_ended, &mut self.deadline);
        let end = poll_fn(|context| {
            let late = deadline.poll_passed(context).is_ready();
            // The connection hands a frame over by waking this task; asking the body once more saves the way
            // through the scheduler.
            let mut end = kept.poll_frame(Pin::new(&mut *body), context);
            if end.is_none() {
                drive(io, io_ended, context);
                end = kept.poll_frame(Pin::new(&mut *body), context);
            }
            match end {
                Some(end) => Poll::Ready(end),
                None if late => Poll::Ready(End::Failed(Failure::timeout("the answer's body did not end"))),
                None => Poll::Pending,
            }
        })
        .await;
        match end {
            End::Whole => {
                // Lets the connection notice that it is free, or that the other side wants it closed.
                poll_fn(|context| {
                    self.drive(context);
                    Poll::Ready(())
                })
                .await;
                (kept.bytes.freeze(), None)
            }
            End::Enough => {
                self.io_ended = true;
                (kept.bytes.freeze(), None)
            }
            End::Failed(failure) => (kept.bytes.freeze(), Some(failure)),
        }
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        drive(&mut self.io, &mut self.io_ended, context);
    }
}

/// Lets the connection read and write. Its errors reach the request that waits; between two requests they
/// mean that the connection is of no more use.
fn drive(io: &mut http1::Connection<Io, Full<Bytes>>, ended: &mut bool, context: &mut Context<'_>) {
    if !*ended {
        *ended = Pin::new(io).poll(context).is_ready();
    }
}

/// The part of a body that is kept.
struct Kept {
    bytes: BytesMut,
    bytes_max: usize,
    read: u64,
}

/// How a body ended.
enum End {
    Whole,
    /// There is more than anybody wants: the connection goes with it.
    Enough,
    Failed(Failure),
}

// === impl Kept ===

impl Kept {
    /// Takes what is there; `None`: nothing more yet.
    fn poll_frame(&mut self, mut body: Pin<&mut Incoming>, context: &mut Context<'_>) -> Option<End> {
        loop {
            match body.as_mut().poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Some(data) = frame.data_ref() else { continue };
                    let room = self.bytes_max.saturating_sub(self.bytes.len());
                    // Copied: a slice would keep the connection's whole read buffer.
                    self.bytes.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
                    self.read += data.len() as u64;
                    if self.beyond(body.size_hint().lower()) {
                        return Some(End::Enough);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Some(End::Failed(Failure::protocol(&error))),
                Poll::Ready(None) => return Some(End::Whole),
                Poll::Pending => return None,
            }
        }
    }

    /// Whether what is read beyond the kept part, with what is known to follow, is more than is worth reading.
    fn beyond(&self, follows: u64) -> bool {
        self.read.saturating_add(follows) > self.bytes_max as u64 + DISCARD_BYTES_MAX
            && self.read >= self.bytes_max as u64
    }
}
