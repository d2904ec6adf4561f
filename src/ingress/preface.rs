//! How a connection says that it speaks HTTP/2: by its first bytes (RFC 9113 section 3.4).

/// What a client of HTTP/2 begins with; no request of HTTP/1.1 can.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/2.
    Http2,
    /// Something else.
    Other,
    /// More bytes are needed.
    Unclear,
}

// === impl Spoken ===

impl Spoken {
    /// What these first bytes say.
    pub(super) fn of(bytes: &[u8]) -> Self {
        // Nearly always the first byte settles it.
        match bytes.get(..PREFACE.len()) {
            Some(start) if start == PREFACE => Self::Http2,
            None if PREFACE.starts_with(bytes) => Self::Unclear,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_known_when_it_is_whole_and_other_bytes_at_the_first_difference() {
        for cut in 0..PREFACE.len() {
            assert_eq!(Spoken::of(&PREFACE[..cut]), Spoken::Unclear, "{cut}");
            let mut other = PREFACE[..=cut].to_vec();
            other[cut] ^= 1;
            assert_eq!(Spoken::of(&other), Spoken::Other, "{cut}");
        }
        assert_eq!(Spoken::of(PREFACE), Spoken::Http2);
        assert_eq!(Spoken::of(&[PREFACE, b"more"].concat()), Spoken::Http2);
        assert_eq!(Spoken::of(b"POST /hook HTTP/1.1\r\n"), Spoken::Other);
    }
}
