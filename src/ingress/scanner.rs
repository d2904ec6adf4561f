//! Where requests begin and end on the wire, read beside hyper's parser.
//!
//! hyper decides what a request says; this scanner only follows the framing, for what hyper does not tell:
//! whether a head has begun (408 or a quiet close), whether a body has come whole (408 or 503; keep the
//! connection or not), and the ambiguities that hyper mends and we refuse because a proxy in front of us may
//! mend them in another way (RFC 9112 sections 2.2 and 6.3): `Content-Length` beside `Transfer-Encoding`, any
//! of them twice, a transfer coding other than plain `chunked`, lines that end in a bare LF, a fragment in the
//! target, and names that only look like these fields. Where the two parsers could disagree about a boundary
//! the connection is not used any further.

use std::ops::ControlFlow;

use memchr::memchr;

use super::framing::Framing;
use super::line::{Asked, LINE_BYTES_KEPT, Line};
use crate::domain::{Reason, Rejection};

/// The longest request line, in bytes; over it 414.
pub(super) const REQUEST_LINE_BYTES_MAX: usize = 8 << 10;

/// The longest line of a chunk's size with its extensions, and of a trailer field, in bytes.
const CHUNK_LINE_BYTES_MAX: usize = 4 << 10;

/// Follows the framing of one connection's requests.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    heads: u64,
    bodies: u64,
    /// The line that is on its way.
    line: Line,
    /// The request line that came last, and the number of its head.
    request_line: (u64, Line),
    head: Framing,
    bad: Option<Rejection>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the request line, or before it.
    RequestLine,
    /// In the fields.
    Fields,
    /// Bytes of a body of known length to come.
    Body(u64),
    /// In the line with a chunk's size.
    ChunkSize,
    /// Bytes of a chunk to come, its CRLF included.
    ChunkData(u64),
    /// In the trailer fields, or in the empty line that ends the body.
    Trailers,
    /// Nothing more is read from this connection.
    Stopped,
}

// === impl Scanner ===

impl Scanner {
    /// Before the first byte of a connection.
    pub(super) fn new() -> Self {
        Self {
            state: State::RequestLine,
            heads: 0,
            bodies: 0,
            line: Line::new(),
            request_line: (0, Line::new()),
            head: Framing::default(),
            bad: None,
        }
    }

    /// Complete heads so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Complete requests so far.
    pub(super) fn bodies(&self) -> u64 {
        self.bodies
    }

    /// Whether a head has begun and is not complete.
    pub(super) fn is_in_head(&self) -> bool {
        self.state == State::Fields || (self.state == State::RequestLine && self.line.len() > 0)
    }

    /// What the head with this number asks for, as far as it is known.
    pub(super) fn asked(&self, number: u64) -> Asked {
        let (known, line) = &self.request_line;
        if *known == number && line.len() > 0 {
            Asked::of(line.kept())
        } else if self.state == State::RequestLine && self.heads == number {
            Asked::of(self.line.kept())
        } else {
            Asked::default()
        }
    }

    /// Why the head after the last complete one must be refused, once.
    pub(super) fn take_bad(&mut self) -> Option<Rejection> {
        self.bad.take()
    }

    /// Takes the next bytes of the connection.
    pub(super) fn scan(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Stopped => return,
                State::Body(left) => match skip(left, bytes) {
                    (0, rest) => self.request_complete(rest),
                    (left, rest) => self.go(State::Body(left), rest),
                },
                State::ChunkData(left) => match skip(left, bytes) {
                    (0, rest) => self.go(State::ChunkSize, rest),
                    (left, rest) => self.go(State::ChunkData(left), rest),
                },
                State::RequestLine | State::Fields | State::ChunkSize | State::Trailers => self.scan_line(bytes),
            };
        }
    }

    fn go<'a>(&mut self, state: State, rest: &'a [u8]) -> &'a [u8] {
        self.state = state;
        rest
    }

    fn request_complete<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        self.bodies += 1;
        self.head = Framing::default();
        self.go(State::RequestLine, rest)
    }

    /// Reads to the end of the line, or keeps its beginning for the next bytes.
    fn scan_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            self.line.push(bytes);
            self.check_piece(bytes, self.line.len());
            return &[];
        };
        let (piece, rest) = bytes.split_at(end);
        let rest = rest.get(1..).unwrap_or_default();
        if self.line.len() == 0 {
            // Cut like a line in pieces, so that the verdict does not hang on how the bytes came.
            let kept = piece.get(..LINE_BYTES_KEPT).unwrap_or(piece);
            self.note_request_line(kept);
            self.check_piece(piece, piece.len());
            self.end_line(kept, piece.len(), piece.last() == Some(&b'\r'));
        } else {
            self.line.push(piece);
            let line = std::mem::replace(&mut self.line, Line::new());
            self.note_request_line(line.kept());
            self.check_piece(piece, line.len());
            self.end_line(line.kept(), line.len(), line.last() == b'\r');
        }
        rest
    }

    /// Remembers a request line, for a head that turns out to be one that nobody can read.
    fn note_request_line(&mut self, line: &[u8]) {
        if self.state == State::RequestLine && !line.is_empty() && line != b"\r" {
            self.request_line.0 = self.heads;
            self.request_line.1.set(line);
        }
    }

    /// What can be said about a line of which this piece and `len` bytes in all are here.
    fn check_piece(&mut self, piece: &[u8], len: usize) {
        match self.state {
            State::RequestLine if memchr(b'#', piece).is_some() => self.refuse("fragment in the request target"),
            State::RequestLine if len > REQUEST_LINE_BYTES_MAX => self.uri_too_long(),
            State::ChunkSize | State::Trailers if len > CHUNK_LINE_BYTES_MAX => {
                self.refuse("line of a chunk too long");
            }
            _ => {}
        }
    }

    /// A whole line without its LF: `line` is its beginning, `len` what there was of it.
    fn end_line(&mut self, line: &[u8], len: usize, crlf: bool) {
        let text = if crlf && len == line.len() { line.get(..len.saturating_sub(1)).unwrap_or_default() } else { line };
        let is_cut = len > line.len();
        match self.state {
            _ if !crlf => self.refuse("line ends in a bare LF"),
            // RFC 9112 section 2.2: an empty line before the request line is skipped.
            State::RequestLine if text.is_empty() => {}
            State::RequestLine => self.state = State::Fields,
            State::Fields if text.is_empty() => self.end_head(),
            State::Fields => {
                if let ControlFlow::Break((reason, detail)) = self.head.field(text, is_cut) {
                    self.stop(Rejection::new(reason, detail));
                }
            }
            State::ChunkSize => match chunk_size(text) {
                Some(0) => self.state = State::Trailers,
                Some(size) => self.state = State::ChunkData(size.saturating_add(2)),
                None => self.refuse("chunk size is not a number"),
            },
            State::Trailers if text.is_empty() => {
                self.request_complete(&[]);
            }
            State::Trailers | State::Body(_) | State::ChunkData(_) | State::Stopped => {}
        }
    }

    fn end_head(&mut self) {
        match self.head {
            Framing { chunked: true, content_length: Some(_) } => {
                self.refuse("content-length beside transfer-encoding");
            }
            Framing { chunked: true, .. } => {
                self.heads += 1;
                self.state = State::ChunkSize;
            }
            Framing { content_length: Some(length @ 1..), .. } => {
                self.heads += 1;
                self.state = State::Body(length);
            }
            Framing { .. } => {
                self.heads += 1;
                self.request_complete(&[]);
            }
        }
    }

    fn refuse(&mut self, detail: &str) {
        self.stop(Rejection::new(Reason::MalformedRequest, detail));
    }

    fn uri_too_long(&mut self) {
        self.stop(Rejection::new(Reason::UriTooLong, "request line above 8 KiB"));
    }

    fn stop(&mut self, rejection: Rejection) {
        if self.state != State::Stopped {
            if self.state == State::RequestLine && self.line.len() > 0 {
                self.request_line = (self.heads, self.line.clone());
            }
            self.state = State::Stopped;
            self.bad = Some(rejection);
        }
    }
}

/// The size in front of a chunk's extensions, as many hexadecimal digits as a `u64` holds.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extension) = line.split_at(end);
    if !matches!(extension.first(), None | Some(b';' | b' ' | b'\t')) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn skip(left: u64, bytes: &[u8]) -> (u64, &[u8]) {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (left.saturating_sub(here as u64), bytes.get(here..).unwrap_or_default())
}

#[cfg(test)]
#[path = "scanner_tests.rs"]
mod tests;
