//! The beginning of a line of a head: enough to tell what frames a body, and what was asked in a head that
//! nobody could read.

use std::fmt;

use http::{Method, Uri, Version};

/// Bytes of a line that are kept while the rest of it is on its way: enough for the two fields that matter, and
/// for most request lines.
pub(super) const LINE_BYTES_KEPT: usize = 128;

/// The beginning of a line.
#[derive(Clone)]
pub(super) struct Line {
    kept: [u8; LINE_BYTES_KEPT],
    len: usize,
    last: u8,
}

/// What a request line says, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// `-` where it is not known.
    pub(super) method: Method,
    /// `*` where it is not known; only its beginning where the line is long.
    pub(super) uri: Uri,
    /// `None` where it is not known, or none of ours.
    pub(super) version: Option<Version>,
}

// === impl Line ===

impl Line {
    /// No byte yet.
    pub(super) fn new() -> Self {
        Self { kept: [0; LINE_BYTES_KEPT], len: 0, last: 0 }
    }

    /// Bytes so far, those that were not kept included.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The last byte so far.
    pub(super) fn last(&self) -> u8 {
        self.last
    }

    /// What is kept.
    pub(super) fn kept(&self) -> &[u8] {
        self.kept.get(..self.len).unwrap_or(&self.kept)
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, piece: &[u8]) {
        if let Some(room) = self.kept.get_mut(self.len.min(LINE_BYTES_KEPT)..) {
            let count = piece.len().min(room.len());
            if let (Some(room), Some(piece)) = (room.get_mut(..count), piece.get(..count)) {
                room.copy_from_slice(piece);
            }
        }
        self.len = self.len.saturating_add(piece.len());
        self.last = piece.last().copied().unwrap_or(self.last);
    }

    /// Starts anew with these bytes.
    pub(super) fn set(&mut self, bytes: &[u8]) {
        self.len = 0;
        self.push(bytes);
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?})", String::from_utf8_lossy(self.kept()))
    }
}

// === impl Asked ===

impl Asked {
    /// What the beginning of a request line says; a word counts as far as it can be read.
    pub(super) fn of(line: &[u8]) -> Self {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut words = line.split(|byte| *byte == b' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        // A method without anything behind it may be half of one.
        let method = method.filter(|_| target.is_some()).and_then(|method| Method::from_bytes(method).ok());
        // A word alone would be read as the name of a host.
        let uri = target.and_then(|target| Uri::try_from(target).ok()).filter(|uri| !uri.path().is_empty());
        let version = match version {
            Some(b"HTTP/1.1") => Some(Version::HTTP_11),
            Some(b"HTTP/1.0") => Some(Version::HTTP_10),
            _ => None,
        };
        let unknown = Self::default();
        Self { method: method.unwrap_or(unknown.method), uri: uri.unwrap_or(unknown.uri), version }
    }
}

impl Default for Asked {
    /// Nothing is known.
    fn default() -> Self {
        Self { method: Method::from_bytes(b"-").unwrap_or_default(), uri: Uri::from_static("*"), version: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, method: &str, target: &str, version: Option<Version>) {
        let asked = Asked::of(line.as_bytes());
        assert_eq!(
            (asked.method.as_str(), &*asked.uri.to_string(), asked.version),
            (method, target, version),
            "{line}"
        );
    }

    #[test]
    fn a_request_line_is_known_as_far_as_it_came_and_can_be_read() {
        check("POST /hook?a=b HTTP/1.1\r", "POST", "/hook?a=b", Some(Version::HTTP_11));
        check("GET / HTTP/1.0", "GET", "/", Some(Version::HTTP_10));
        check("POST http://host/hook HTTP/1.1", "POST", "http://host/hook", Some(Version::HTTP_11));
        check("POST /ho", "POST", "/ho", None);
        check("POST ", "POST", "*", None);
        check("POS", "-", "*", None);
        check("", "-", "*", None);
        check("PO(ST /hook HTTP/1.1", "-", "/hook", Some(Version::HTTP_11));
        check("POST /\x1b[2J HTTP/1.1", "POST", "*", Some(Version::HTTP_11));
        check("POST  /hook HTTP/1.1", "POST", "*", None);
        check(" POST /hook HTTP/1.1", "-", "*", None);
        check("PRI * HTTP/2.0", "PRI", "*", None);
        check("\x16\x03\x01\x02", "-", "*", None);
    }

    #[test]
    fn a_line_keeps_its_beginning_however_it_comes() {
        let bytes: Vec<u8> = (0..=255).collect();
        for size in [1, 7, 127, 128, 129, 256] {
            let mut line = Line::new();
            for piece in bytes.chunks(size) {
                line.push(piece);
            }
            assert_eq!((line.len(), line.last(), line.kept()), (256, 255, &bytes[..LINE_BYTES_KEPT]), "{size}");
        }
        let mut line = Line::new();
        line.set(&bytes[..3]);
        line.set(&bytes[4..6]);
        assert_eq!((line.len(), line.kept()), (2, &bytes[4..6]));
    }
}
