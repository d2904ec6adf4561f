//! Where frames begin and end (RFC 9113 section 4.1), read beside h2: it says which, and what is in their first bytes.

/// Bytes of a frame's header.
const HEADER_BYTES: usize = 9;

/// Bytes of a payload that are kept: an error code, and a stream before it.
const START_BYTES: usize = 8;

/// The frames that matter here (section 6).
pub(super) mod kind {
    pub(in crate::ingress::http2) const DATA: u8 = 0;
    pub(in crate::ingress::http2) const HEADERS: u8 = 1;
    pub(in crate::ingress::http2) const RST_STREAM: u8 = 3;
    pub(in crate::ingress::http2) const GOAWAY: u8 = 7;
    pub(in crate::ingress::http2) const CONTINUATION: u8 = 9;
}

/// DATA and HEADERS: the last frame of its stream.
const END_STREAM: u8 = 0x1;

/// HEADERS and CONTINUATION: the last frame of its field block.
const END_HEADERS: u8 = 0x4;

/// A frame that has come, or gone, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Bytes of its payload.
    pub(super) len: usize,
    /// The beginning of its payload, zeros where it is shorter.
    pub(super) start: [u8; START_BYTES],
}

/// Follows one direction of a connection.
#[derive(Debug)]
pub(super) struct Follower {
    /// Bytes in front of the first frame.
    skip: usize,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    /// Of the frame whose header is whole: itself, and bytes of it still to come.
    frame: Option<(Frame, usize)>,
    in_field_block: bool,
}

// === impl Follower ===

impl Follower {
    /// Behind a preface of so many bytes.
    pub(super) fn new(skip: usize) -> Self {
        Self { skip, header: [0; HEADER_BYTES], header_len: 0, frame: None, in_field_block: false }
    }

    /// Whether the fields of a request have begun and are not complete.
    pub(super) fn is_in_field_block(&self) -> bool {
        self.in_field_block
    }

    /// Takes the next bytes; `seen` is told of each frame that they complete.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(bytes.len());
                self.skip -= count;
                bytes = bytes.get(count..).unwrap_or_default();
                continue;
            }
            bytes = match self.frame {
                None => self.take_header(bytes),
                Some((frame, left)) => self.take_payload(frame, left, bytes),
            };
            if let Some((frame, 0)) = self.frame {
                self.frame = None;
                if matches!(frame.kind, kind::HEADERS | kind::CONTINUATION) {
                    self.in_field_block = frame.flags & END_HEADERS == 0;
                }
                seen(frame);
            }
        }
    }

    fn take_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let count = (HEADER_BYTES - self.header_len).min(bytes.len());
        let (taken, rest) = bytes.split_at(count);
        if let Some(room) = self.header.get_mut(self.header_len..self.header_len + count) {
            room.copy_from_slice(taken);
        }
        self.header_len += count;
        if self.header_len == HEADER_BYTES {
            self.header_len = 0;
            let [high, middle, low, kind, flags, ..] = self.header;
            let len = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.frame = Some((Frame { kind, flags, len, start: [0; START_BYTES] }, len));
            self.in_field_block |= kind == kind::HEADERS;
        }
        rest
    }

    fn take_payload<'a>(&mut self, mut frame: Frame, left: usize, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(left.min(bytes.len()));
        let done = frame.len - left;
        if let Some(room) = frame.start.get_mut(done..) {
            room.iter_mut().zip(taken).for_each(|(room, byte)| *room = *byte);
        }
        self.frame = Some((frame, left - taken.len()));
        rest
    }
}

// === impl Frame ===

impl Frame {
    /// Whether it is an empty DATA frame that ends nothing.
    pub(super) fn is_idle_data(&self) -> bool {
        self.kind == kind::DATA && self.len == 0 && self.flags & END_STREAM == 0
    }

    /// The error code of a RST_STREAM or GOAWAY.
    pub(super) fn error_code(&self) -> Option<u32> {
        let [a, b, c, d, e, f, g, h] = self.start;
        match self.kind {
            kind::RST_STREAM => Some(u32::from_be_bytes([a, b, c, d])),
            kind::GOAWAY => Some(u32::from_be_bytes([e, f, g, h])),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn frames_are_seen_whole_however_their_bytes_come() {
        let bytes = [
            b"PRI".to_vec(),
            frame(4, 0, b""),
            frame(kind::HEADERS, 0, b"some fields"),
            frame(kind::CONTINUATION, END_HEADERS, &[7; 300]),
            frame(kind::DATA, 0, b""),
            frame(kind::RST_STREAM, 0, &[0, 0, 0, 8]),
            frame(kind::GOAWAY, 0, &[0, 0, 0, 1, 0, 0, 0, 11, b'x']),
        ]
        .concat();
        for size in [1, 2, 3, 9, 10, 64, bytes.len()] {
            let (mut follower, mut seen) = (Follower::new(3), Vec::new());
            for piece in bytes.chunks(size) {
                follower.follow(piece, |frame| seen.push(frame));
            }
            let kinds: Vec<_> = seen.iter().map(|frame| (frame.kind, frame.len)).collect();
            assert_eq!(kinds, [(4, 0), (1, 11), (9, 300), (0, 0), (3, 4), (7, 9)], "{size}");
            assert_eq!(&seen[1].start, b"some fie");
            assert!(seen[3].is_idle_data() && !seen[2].is_idle_data());
            let codes: Vec<_> = seen.iter().filter_map(Frame::error_code).collect();
            assert_eq!(codes, [8, 11], "{size}");
        }
    }

    #[test]
    fn a_field_block_is_open_from_its_header_to_the_end_of_its_last_frame() {
        let bytes = [frame(kind::HEADERS, 0, b"ab"), frame(kind::CONTINUATION, END_HEADERS, b"c")].concat();
        let mut follower = Follower::new(0);
        for (at, byte) in bytes.iter().enumerate() {
            follower.follow(&[*byte], |_| {});
            assert_eq!(follower.is_in_field_block(), (8..bytes.len() - 1).contains(&at), "{at}");
        }
    }
}
