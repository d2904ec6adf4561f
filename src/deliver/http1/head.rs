//! The head of an answer, however its bytes come (RFC 9112 sections 4 and 5), and what it says about the body's length
//! (section 6.3).

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Status};

use super::{Body, Fault};

/// Looks for the head of the final answer.
#[derive(Debug)]
pub(in crate::deliver) struct HeadReader {
    /// So many bytes were looked at.
    seen: usize,
    /// So many bytes were there when the head was last taken apart in vain.
    parsed: usize,
    interim_answers: u32,
    /// The answer to HEAD has no body, whatever its head says.
    is_head: bool,
}

/// What the final head says, its fields aside.
#[derive(Debug)]
pub(in crate::deliver) struct Final {
    pub(in crate::deliver) status: u16,
    pub(in crate::deliver) body: Body,
    /// Whether the answer lets the connection carry another request.
    pub(in crate::deliver) keep_alive: bool,
}

/// The most bytes of an answer's head.
pub(in crate::deliver) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most fields of an answer's head.
const FIELDS_MAX: usize = 100;

/// How many interim answers there may be.
pub(in crate::deliver) const INTERIM_ANSWERS_MAX: u32 = 16;

/// A head of up to this size is looked at whenever more of it comes; a longer one when it has doubled, so that
/// one that drips costs no more than it is long.
const HEAD_BYTES_EAGER: usize = 4 * 1024;

/// What a head says about what follows.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
}

/// One head that was taken apart.
enum Parsed {
    Partial,
    Interim(usize),
    Final(usize, Final),
}

// === impl HeadReader ===

impl HeadReader {
    /// For the answer to one request.
    pub(in crate::deliver) fn new(is_head: bool) -> Self {
        Self { seen: 0, parsed: 0, interim_answers: 0, is_head }
    }

    /// Takes whole heads off the front of `input`; interim ones go to `interim` with their status, the fields of the final
    /// one to `field`, as they stand there. `None` where it is not whole: the rest is to be brought again, with more behind it.
    pub(in crate::deliver) fn take(
        &mut self,
        input: &mut &[u8],
        mut interim: impl FnMut(u16, &[httparse::Header<'_>]),
        mut field: impl FnMut(&str, &[u8]),
    ) -> Result<Option<Final>, Fault> {
        loop {
            if is_worth_parsing(input, self.seen, self.parsed) {
                match self.parse(input, &mut interim, &mut field)? {
                    Parsed::Partial => self.parsed = input.len(),
                    Parsed::Interim(head_bytes) => {
                        (self.seen, self.parsed) = (0, 0);
                        *input = input.get(head_bytes..).unwrap_or_default();
                        continue;
                    }
                    Parsed::Final(head_bytes, head) => {
                        *input = input.get(head_bytes..).unwrap_or_default();
                        return Ok(Some(head));
                    }
                }
            }
            self.seen = input.len();
            return if input.len() >= HEAD_BYTES_MAX { Err(Fault::HeadBytes) } else { Ok(None) };
        }
    }

    /// Why there is no answer where the connection ends here.
    pub(in crate::deliver) fn end(&self) -> Fault {
        if self.seen == 0 && self.interim_answers == 0 { Fault::NoAnswer } else { Fault::Short }
    }

    fn parse(
        &mut self,
        input: &[u8],
        interim: &mut impl FnMut(u16, &[httparse::Header<'_>]),
        field: &mut impl FnMut(&str, &[u8]),
    ) -> Result<Parsed, Fault> {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut fields);
        let Status::Complete(head_bytes) = parsed.map_err(Fault::Head)? else { return Ok(Parsed::Partial) };
        if head_bytes > HEAD_BYTES_MAX {
            return Err(Fault::HeadBytes);
        }
        let status = response.code.unwrap_or_default();
        match status {
            101 => return Err(Fault::Upgrade),
            100..=199 if self.interim_answers >= INTERIM_ANSWERS_MAX => return Err(Fault::Interim),
            100..=199 => {
                self.interim_answers += 1;
                interim(status, response.headers);
                return Ok(Parsed::Interim(head_bytes));
            }
            200.. => {}
            _ => return Err(Fault::Status(status)),
        }
        let is_1_1 = response.version == Some(1);
        let mut framing = Framing::default();
        for header in response.headers.iter() {
            framing.field(header.name, header.value)?;
            field(header.name, header.value);
        }
        let body = framing.body(status, is_1_1, self.is_head)?;
        let keep_alive = framing.persists(is_1_1) && body != Body::UntilClosed;
        Ok(Parsed::Final(head_bytes, Final { status, body, keep_alive }))
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
