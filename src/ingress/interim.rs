//! Interim answers (1xx) that a service passes on before its final one: written past hyper, which has no way to send them.
//!
//! HTTP/1.1 only: of HTTP/2 field blocks are compressed by h2, which hyper's server does not let us ask for a 1xx; HTTP/1.0 has
//! none. They go out between two messages of hyper's, never within one.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, StatusCode};

use super::service::Shared;
use crate::domain::interim::Interim;

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    is_some: AtomicBool,
    bytes: Mutex<Vec<u8>>,
}

/// Of a sender that does not read no more waits than this, in bytes; what comes then is dropped.
const WAITING_BYTES_MAX: usize = 64 << 10;

// === impl Waiting ===

impl Waiting {
    /// Whether anything waits.
    pub(super) fn is_some(&self) -> bool {
        self.is_some.load(Relaxed)
    }

    /// Everything that waits.
    pub(super) fn take(&self) -> Vec<u8> {
        self.is_some.store(false, Relaxed);
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, status: StatusCode, headers: &HeaderMap) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = bytes.len();
        let reason = status.canonical_reason().unwrap_or_default();
        bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
        for (name, value) in headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        if bytes.len() > WAITING_BYTES_MAX {
            bytes.truncate(before);
        }
        self.is_some.store(!bytes.is_empty(), Relaxed);
    }
}

/// The connection's task polls service and socket: what is put down here by the one is found by the other.
impl Interim for Shared {
    fn answer(&self, status: StatusCode, headers: &HeaderMap) {
        self.interim.push(status, headers);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::LINK;

    use super::*;

    #[test]
    fn they_are_written_one_after_the_other_and_of_a_sender_that_does_not_read_only_so_much_waits() {
        let waiting = Waiting::default();
        assert!(!waiting.is_some());
        let mut headers = HeaderMap::new();
        waiting.push(StatusCode::PROCESSING, &headers);
        headers.append(LINK, HeaderValue::from_static("</a>"));
        headers.append(LINK, HeaderValue::from_static("</b>"));
        waiting.push(StatusCode::EARLY_HINTS, &headers);
        let expected = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n";
        assert!(waiting.is_some());
        assert_eq!(String::from_utf8(waiting.take()).unwrap(), expected);
        assert!(!waiting.is_some());
        let long = HeaderMap::from_iter([(LINK, HeaderValue::try_from("x".repeat(40 << 10)).unwrap())]);
        for _ in 0..3 {
            waiting.push(StatusCode::EARLY_HINTS, &long);
        }
        waiting.push(StatusCode::PROCESSING, &HeaderMap::new());
        let waiting = String::from_utf8(waiting.take()).unwrap();
        assert!(waiting.ends_with("102 Processing\r\n\r\n"));
        assert_eq!((waiting.matches(" 103 ").count(), waiting.matches(" 102 ").count()), (1, 1));
    }
}
