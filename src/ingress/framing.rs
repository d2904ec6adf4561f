//! What a head says about the length of its body, and what is wrong with how it says it (RFC 9112 section 6).

use std::ops::ControlFlow;

use crate::domain::Reason;

/// The largest length that hyper can count, rounded down, in bytes.
const LENGTH_MAX: u64 = u64::MAX >> 1;

/// What is wrong with a field, and how it is refused.
pub(super) type Wrong = (Reason, &'static str);

/// What a head has said about its body so far.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// Bytes of the body, where the head names them.
    pub(super) content_length: Option<u64>,
    /// Whether it comes in chunks.
    pub(super) chunked: bool,
}

// === impl Framing ===

impl Framing {
    /// Notes a field that frames the body; breaks with what is wrong with it.
    pub(super) fn field(&mut self, line: &[u8], is_cut: bool) -> ControlFlow<Wrong> {
        // The first letter settles most fields without a comparison.
        match line.first().map(u8::to_ascii_lowercase) {
            Some(b'c') => self.content_length(line, is_cut),
            Some(b't') => self.transfer_encoding(line, is_cut),
            _ => ControlFlow::Continue(()),
        }
    }

    fn content_length(&mut self, line: &[u8], is_cut: bool) -> ControlFlow<Wrong> {
        let Some(value) = value_of(line, b"content-length:") else { return look_alike(line, b"contentlength") };
        let digits = value.trim_ascii();
        let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
        let malformed = |detail| ControlFlow::Break((Reason::MalformedRequest, detail));
        match length {
            _ if is_cut || !all_digits => malformed("content-length is not a number"),
            None | Some(LENGTH_MAX..) => ControlFlow::Break((Reason::BodyTooLarge, "declared length above the limit")),
            Some(length) if self.content_length.replace(length).is_some() => malformed("content-length more than once"),
            Some(_) => ControlFlow::Continue(()),
        }
    }

    fn transfer_encoding(&mut self, line: &[u8], is_cut: bool) -> ControlFlow<Wrong> {
        let Some(value) = value_of(line, b"transfer-encoding:") else { return look_alike(line, b"transferencoding") };
        let malformed = |detail| ControlFlow::Break((Reason::MalformedRequest, detail));
        if !is_cut && value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            if std::mem::replace(&mut self.chunked, true) {
                return malformed("transfer-encoding more than once");
            }
            return ControlFlow::Continue(());
        }
        let codings = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if is_cut || !codings().all(is_token) {
            return malformed("transfer-encoding that cannot be read");
        }
        // RFC 9112 section 6.3: without chunked as the last one nobody knows where the body ends.
        let chunked = codings().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
        let is_last = codings().next_back().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
        if self.chunked || chunked > usize::from(is_last) {
            return malformed("chunked is not the last transfer coding, or not the only chunked");
        }
        ControlFlow::Break((Reason::TransferCodingUnknown, "transfer coding other than chunked"))
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// Breaks for a field that an app behind us may take for one that frames the body, such as `Content_Length`:
/// CGI and its descendants do not tell `-` from `_`.
fn look_alike(line: &[u8], letters: &[u8]) -> ControlFlow<Wrong> {
    let name = line.iter().take_while(|byte| **byte != b':').filter(|byte| !matches!(byte, b'-' | b'_'));
    if name.map(u8::to_ascii_lowercase).eq(letters.iter().copied()) {
        return ControlFlow::Break((Reason::MalformedRequest, "a name that is nearly one that frames the body"));
    }
    ControlFlow::Continue(())
}
