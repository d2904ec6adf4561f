//! Where frames begin and end (RFC 9113 section 4.1), read beside h2: it says which, and what is in their first bytes.

/// Bytes of a frame's header.
const HEADER_BYTES: usize = 9;

/// Where the last byte of the error code stands in a GOAWAY's payload, and two codes (sections 6.8 and 7).
const LAST_BYTE_OF_CODE: usize = 7;
const PROTOCOL_ERROR: u8 = 1;
const FRAME_SIZE_ERROR: u8 = 6;

/// `:status: 431` as it is written first (RFC 7541 sections 6.2 and 5.2): a literal behind the name's index, in Huffman's
/// code. Later it is an index of one byte.
const BARE_431: [u8; 5] = [0x48, 0x83, 0x69, 0x90, 0xff];

/// Bytes of a payload that are kept: an error code, and a stream before it.
const START_BYTES: usize = 8;

/// The frames that matter here (section 6).
pub(super) mod kind {
    pub(in crate::ingress::http2) const DATA: u8 = 0;
    pub(in crate::ingress::http2) const HEADERS: u8 = 1;
    pub(in crate::ingress::http2) const PRIORITY: u8 = 2;
    pub(in crate::ingress::http2) const RST_STREAM: u8 = 3;
    pub(in crate::ingress::http2) const SETTINGS: u8 = 4;
    pub(in crate::ingress::http2) const PING: u8 = 6;
    pub(in crate::ingress::http2) const GOAWAY: u8 = 7;
    pub(in crate::ingress::http2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::ingress::http2) const CONTINUATION: u8 = 9;
}

/// SETTINGS: it says that ours have come.
const ACK: u8 = 0x1;

/// DATA and HEADERS: the last frame of its stream.
const END_STREAM: u8 = 0x1;

/// HEADERS and CONTINUATION: the last frame of its field block.
const END_HEADERS: u8 = 0x4;

/// A frame that has come, or gone, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// Bytes of its payload.
    pub(super) len: usize,
    /// The beginning of its payload, zeros where it is shorter.
    pub(super) start: [u8; START_BYTES],
}

/// Follows one direction of a connection.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    /// Bytes in front of the first frame.
    skip: usize,
    header: [u8; HEADER_BYTES],
    header_len: usize,
    /// Of the frame whose header is whole: itself, and bytes of it still to come.
    frame: Option<(Frame, usize)>,
    in_field_block: bool,
    has_wrong_size: bool,
}

// === impl Follower ===

impl Follower {
    /// Behind a preface of so many bytes.
    pub(super) fn new(skip: usize) -> Self {
        Self {
            skip,
            header: [0; HEADER_BYTES],
            header_len: 0,
            frame: None,
            in_field_block: false,
            has_wrong_size: false,
        }
    }

    /// Whether the fields of a request have begun and are not complete.
    pub(super) fn is_in_field_block(&self) -> bool {
        self.in_field_block
    }

    /// Whether a frame has begun that has not the size of its kind (sections 4.2 and 6.3 to 6.9).
    pub(super) fn has_wrong_size(&self) -> bool {
        self.has_wrong_size
    }

    /// Makes FRAME_SIZE_ERROR of PROTOCOL_ERROR in a GOAWAY among the next bytes, which are not followed yet.
    pub(super) fn say_frame_size_error(&self, bytes: &mut [u8]) {
        let mut ahead = self.clone();
        for byte in bytes {
            if let Some((Frame { kind: kind::GOAWAY, len, .. }, left)) = ahead.frame
                && len - left == LAST_BYTE_OF_CODE
                && *byte == PROTOCOL_ERROR
            {
                *byte = FRAME_SIZE_ERROR;
            }
            ahead.follow(&[*byte], |_| {});
        }
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
            let [high, middle, low, kind, flags, a, b, c, d] = self.header;
            let len = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            let frame = Frame { kind, flags, stream: u32::from_be_bytes([a, b, c, d]), len, start: [0; START_BYTES] };
            self.has_wrong_size |= frame.has_wrong_size();
            self.frame = Some((frame, len));
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

    /// Whether it is the 431 that h2 gives by itself: a status, no field, no body. Each answer of ours has a date.
    pub(super) fn is_bare_431(&self) -> bool {
        let is_bare = self.kind == kind::HEADERS && self.flags & END_STREAM != 0;
        is_bare && (self.len == 1 || self.len == BARE_431.len() && self.start.starts_with(&BARE_431))
    }

    fn has_wrong_size(&self) -> bool {
        match self.kind {
            kind::PRIORITY => self.len != 5,
            kind::SETTINGS if self.flags & ACK != 0 => self.len != 0,
            kind::SETTINGS => !self.len.is_multiple_of(6),
            kind::PING => self.len != 8,
            kind::GOAWAY => self.len < 8,
            kind::RST_STREAM | kind::WINDOW_UPDATE => self.len != 4,
            _ => false,
        }
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
    fn a_goaway_gets_the_code_of_a_wrong_size_however_it_is_written() {
        let goaway = |code| frame(kind::GOAWAY, 0, &[0, 0, 0, 1, 0, 0, 0, code, 1]);
        let ping = frame(kind::PING, 0, &[1; 8]);
        for (said, sent) in [(1, 6), (0, 0), (11, 11)] {
            let (before, after) = ([ping.clone(), goaway(said)].concat(), [ping.clone(), goaway(sent)].concat());
            for size in [1, 7, before.len()] {
                let (mut follower, mut amended) = (Follower::new(0), Vec::new());
                for piece in before.chunks(size) {
                    let mut piece = piece.to_vec();
                    follower.say_frame_size_error(&mut piece);
                    follower.follow(&piece, |_| {});
                    amended.extend(piece);
                }
                assert_eq!(amended, after, "{said} {size}");
                assert!(!follower.has_wrong_size());
            }
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
