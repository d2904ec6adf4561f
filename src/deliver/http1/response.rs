//! Takes an answer apart as it comes, in one piece or byte by byte, and keeps what is wanted of it.

use bytes::Bytes;

use super::Body;
use super::body::Piece;
use super::head::{Final, HeadReader};
use crate::domain::{HeaderBlock, HeaderBlockBuilder};

/// Reads one answer; pure: whoever has the bytes brings them.
#[derive(Debug)]
pub(in crate::deliver) struct Reader {
    state: State,
    answer: Answer,
    /// Whether the answer lets the connection carry another request.
    keep_alive: bool,
    kept: Vec<u8>,
    body_bytes_max: usize,
    /// Bytes of the body so far, kept or not.
    read: u64,
}

#[derive(Debug)]
enum State {
    Head(HeadReader),
    Body(Body),
    Whole,
}

/// What came back, as far as it was wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::deliver) struct Answer {
    /// The final status; 0 before it came.
    pub(in crate::deliver) status: u16,
    pub(in crate::deliver) headers: HeaderBlock,
    pub(in crate::deliver) body: Bytes,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::deliver) enum Step {
    More,
    Whole,
    /// There is more of the body than anybody wants: the connection goes with it.
    Enough,
}

/// Why it is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::deliver) enum Fault {
    #[error("the answer is not HTTP/1: {0}")]
    Head(httparse::Error),
    #[error("the answer's status {0} is none")]
    Status(u16),
    #[error("the answer's head is larger than 64 KiB")]
    HeadBytes,
    #[error("too many interim answers (1xx)")]
    Interim,
    #[error("the answer switches to another protocol, which nobody asked for")]
    Upgrade,
    #[error("the answer's content-length is malformed or says several things")]
    Length,
    #[error("the answer's transfer-encoding is malformed or stands beside a content-length")]
    TransferEncoding,
    #[error("the answer's chunked body is malformed")]
    Chunk,
    #[error("the connection was closed before the answer came")]
    NoAnswer,
    #[error("the connection was closed before the answer was whole")]
    Short,
}

/// The most bytes of an answer's headers that are kept with the attempt.
const RESPONSE_HEADERS_BYTES_MAX: usize = 8 * 1024;

/// How much of a body that nobody keeps is read so that the connection can be used again.
const DISCARD_BYTES_MAX: u64 = 64 * 1024;

// === impl Reader ===

impl Reader {
    /// For the answer to one request; at most `body_bytes_max` of its body are kept.
    pub(in crate::deliver) fn new(is_head: bool, body_bytes_max: usize) -> Self {
        Self {
            state: State::Head(HeadReader::new(is_head)),
            answer: Answer::default(),
            keep_alive: false,
            kept: Vec::new(),
            body_bytes_max,
            read: 0,
        }
    }

    /// Takes from the front of `input` what it can use; the rest is to be brought again, with more behind it.
    pub(in crate::deliver) fn take(&mut self, input: &mut &[u8]) -> Result<Step, Fault> {
        if let State::Head(head) = &mut self.state {
            let mut headers = HeaderBlockBuilder::default();
            // Those that go over the bound are left out.
            let keep = |name: &str, value: &[u8]| {
                if headers.bytes() + name.len() + value.len() <= RESPONSE_HEADERS_BYTES_MAX {
                    headers.try_add(name.as_bytes(), value);
                }
            };
            let Some(Final { status, body, keep_alive }) = head.take(input, |_, _| {}, keep)? else {
                return Ok(Step::More);
            };
            self.keep_alive = keep_alive;
            self.state = State::Body(body);
            self.answer = Answer { status, headers: headers.finish(), body: Bytes::new() };
        }
        self.body(input)
    }

    /// The connection ended: whether the answer is whole nevertheless.
    pub(in crate::deliver) fn end(&mut self) -> Result<(), Fault> {
        self.keep_alive = false;
        match &self.state {
            State::Head(head) => Err(head.end()),
            // Section 8: without a length the end of the connection is the end of the body.
            State::Body(Body::UntilClosed) | State::Whole => Ok(()),
            State::Body(_) => Err(Fault::Short),
        }
    }

    /// Whether the connection can carry another request after this answer (section 9.3).
    pub(in crate::deliver) fn keeps_alive(&self) -> bool {
        self.keep_alive && matches!(self.state, State::Whole)
    }

    /// Whether the head of the final answer is there.
    pub(in crate::deliver) fn has_head(&self) -> bool {
        self.answer.status != 0
    }

    /// What came, with what of the body was kept.
    pub(in crate::deliver) fn into_answer(mut self) -> Answer {
        self.answer.body = self.kept.into();
        self.answer
    }

    fn body(&mut self, input: &mut &[u8]) -> Result<Step, Fault> {
        while let State::Body(body) = &mut self.state {
            match body.next(input)? {
                Piece::More => return Ok(Step::More),
                Piece::End => self.state = State::Whole,
                Piece::Data(data) => {
                    self.read += data.len() as u64;
                    let beyond = self.read.saturating_add(body.follows());
                    let room = self.body_bytes_max.saturating_sub(self.kept.len());
                    let kept = data.get(..room.min(data.len())).unwrap_or_default();
                    if self.kept.is_empty() {
                        self.kept.reserve_exact(kept.len());
                    }
                    self.kept.extend_from_slice(kept);
                    // More than is worth reading is known to follow, or was read.
                    let bytes_max = self.body_bytes_max as u64;
                    if beyond > bytes_max.saturating_add(DISCARD_BYTES_MAX) && self.read >= bytes_max {
                        return Ok(Step::Enough);
                    }
                }
            }
        }
        Ok(Step::Whole)
    }
}
