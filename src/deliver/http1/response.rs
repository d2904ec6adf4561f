//! Takes an answer apart as it comes, in one piece or byte by byte (RFC 9112 sections 4 to 7).

use std::mem::MaybeUninit;

use bytes::Bytes;
use httparse::{ParserConfig, Status};

use super::Body;
use super::body::Piece;
use crate::domain::{HeaderBlock, HeaderBlockBuilder};

/// Reads one answer; pure: whoever has the bytes brings them.
#[derive(Debug)]
pub(in crate::deliver) struct Reader {
    state: State,
    answer: Answer,
    /// Whether the answer lets the connection carry another request.
    keep_alive: bool,
    /// The answer to HEAD has no body, whatever its head says.
    is_head: bool,
    kept: Vec<u8>,
    body_bytes_max: usize,
    /// Bytes of the body so far, kept or not.
    read: u64,
    interim_answers: u32,
}

#[derive(Debug)]
enum State {
    /// Of the head so many bytes were looked at.
    Head {
        seen: usize,
        parsed: usize,
    },
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

/// The most bytes of an answer's head.
pub(in crate::deliver) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most fields of an answer's head.
const FIELDS_MAX: usize = 100;

/// The most bytes of an answer's headers that are kept with the attempt.
const RESPONSE_HEADERS_BYTES_MAX: usize = 8 * 1024;

/// How many interim answers are skipped.
const INTERIM_ANSWERS_MAX: u32 = 16;

/// A head of up to this size is looked at whenever more of it comes; a longer one when it has doubled, so that
/// one that drips costs no more than it is long.
const HEAD_BYTES_EAGER: usize = 4 * 1024;

/// How much of a body that nobody keeps is read so that the connection can be used again.
const DISCARD_BYTES_MAX: u64 = 64 * 1024;

/// What a head says about what follows.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
}

// === impl Reader ===

impl Reader {
    /// For the answer to one request; at most `body_bytes_max` of its body are kept.
    pub(in crate::deliver) fn new(is_head: bool, body_bytes_max: usize) -> Self {
        Self {
            state: State::Head { seen: 0, parsed: 0 },
            answer: Answer::default(),
            keep_alive: false,
            is_head,
            kept: Vec::new(),
            body_bytes_max,
            read: 0,
            interim_answers: 0,
        }
    }

    /// Takes from the front of `input` what it can use; the rest is to be brought again, with more behind it.
    pub(in crate::deliver) fn take(&mut self, input: &mut &[u8]) -> Result<Step, Fault> {
        while let State::Head { seen, parsed } = self.state {
            if !is_worth_parsing(input, seen, parsed) {
                if input.len() >= HEAD_BYTES_MAX {
                    return Err(Fault::HeadBytes);
                }
                self.state = State::Head { seen: input.len(), parsed };
                return Ok(Step::More);
            }
            let Some(head_bytes) = self.head(input)? else {
                if input.len() >= HEAD_BYTES_MAX {
                    return Err(Fault::HeadBytes);
                }
                self.state = State::Head { seen: input.len(), parsed: input.len() };
                return Ok(Step::More);
            };
            *input = input.get(head_bytes..).unwrap_or_default();
        }
        self.body(input)
    }

    /// The connection ended: whether the answer is whole nevertheless.
    pub(in crate::deliver) fn end(&mut self) -> Result<(), Fault> {
        self.keep_alive = false;
        match self.state {
            State::Head { seen: 0, .. } if self.interim_answers == 0 => Err(Fault::NoAnswer),
            // Section 8: without a length the end of the connection is the end of the body.
            State::Body(Body::UntilClosed) | State::Whole => Ok(()),
            State::Head { .. } | State::Body(_) => Err(Fault::Short),
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

    /// Takes one head apart; `None` where it is not whole.
    fn head(&mut self, input: &[u8]) -> Result<Option<usize>, Fault> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut fields);
        let Status::Complete(head_bytes) = parsed.map_err(Fault::Head)? else { return Ok(None) };
        if head_bytes > HEAD_BYTES_MAX {
            return Err(Fault::HeadBytes);
        }
        let status = response.code.unwrap_or_default();
        match status {
            101 => return Err(Fault::Upgrade),
            100..=199 if self.interim_answers >= INTERIM_ANSWERS_MAX => return Err(Fault::Interim),
            100..=199 => {
                self.interim_answers += 1;
                self.state = State::Head { seen: 0, parsed: 0 };
                return Ok(Some(head_bytes));
            }
            200.. => {}
            _ => return Err(Fault::Status(status)),
        }
        let is_1_1 = response.version == Some(1);
        let mut framing = Framing::default();
        let mut headers = HeaderBlockBuilder::default();
        for field in response.headers.iter() {
            framing.field(field.name, field.value)?;
            // Those that go over the bound are left out.
            if headers.bytes() + field.name.len() + field.value.len() <= RESPONSE_HEADERS_BYTES_MAX {
                headers.try_add(field.name.as_bytes(), field.value);
            }
        }
        let body = framing.body(status, is_1_1, self.is_head)?;
        self.keep_alive = framing.persists(is_1_1) && body != Body::UntilClosed;
        self.state = State::Body(body);
        self.answer = Answer { status, headers: headers.finish(), body: Bytes::new() };
        Ok(Some(head_bytes))
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

/// Whether the head may be whole, or is short enough, or has grown enough, to be looked at.
fn is_worth_parsing(input: &[u8], seen: usize, parsed: usize) -> bool {
    let fresh = input.get(seen.saturating_sub(3)..).unwrap_or_default();
    !input.is_empty()
        && (input.len() <= HEAD_BYTES_EAGER
            || input.len() >= parsed * 2
            || memchr::memchr_iter(b'\n', fresh)
                .any(|at| matches!(fresh.get(at + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..]))))
}

// === impl Framing ===

impl Framing {
    fn field(&mut self, name: &str, value: &[u8]) -> Result<(), Fault> {
        if name.eq_ignore_ascii_case("content-length") {
            self.length(value)?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.codings(value)?;
        } else if name.eq_ignore_ascii_case("connection") {
            self.close |= has_token(value, b"close");
            self.keep_alive |= has_token(value, b"keep-alive");
        }
        Ok(())
    }

    /// Section 6.3: a length that is repeated counts, one that is contradicted does not.
    fn length(&mut self, value: &[u8]) -> Result<(), Fault> {
        for value in value.split(|byte| *byte == b',') {
            let length = number(value.trim_ascii()).ok_or(Fault::Length)?;
            if self.length.replace(length).is_some_and(|before| before != length) {
                return Err(Fault::Length);
            }
        }
        Ok(())
    }

    /// Section 6.1: `chunked` comes last, and once.
    fn codings(&mut self, value: &[u8]) -> Result<(), Fault> {
        for coding in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty()) {
            if self.chunked == Some(true) {
                return Err(Fault::TransferEncoding);
            }
            self.chunked = Some(coding.eq_ignore_ascii_case(b"chunked"));
        }
        if self.chunked.is_none() { Err(Fault::TransferEncoding) } else { Ok(()) }
    }

    /// Section 6.3, the rules for answers in their order.
    fn body(&self, status: u16, is_1_1: bool, is_head: bool) -> Result<Body, Fault> {
        if is_head || matches!(status, 204 | 304) {
            return Ok(Body::Length(0));
        }
        match (self.chunked, self.length) {
            // Two lengths are how answers are smuggled; HTTP/1.0 has no codings, so its framing is broken.
            (Some(_), Some(_)) => Err(Fault::TransferEncoding),
            (Some(_), None) if !is_1_1 => Err(Fault::TransferEncoding),
            (Some(true), None) => Ok(Body::chunked()),
            (None, Some(length)) => Ok(Body::Length(length)),
            (Some(false) | None, None) => Ok(Body::UntilClosed),
        }
    }

    /// Section 9.3.
    fn persists(&self, is_1_1: bool) -> bool {
        !self.close && (is_1_1 || self.keep_alive)
    }
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|found| found.trim_ascii().eq_ignore_ascii_case(token))
}

/// Decimal digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
