//! A client that sends any frames at all, and reads what comes of them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// Longer than any time-out of a test's gateway.
const PATIENCE: Duration = Duration::from_secs(15);

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer with this status.
    Status(u16),
    /// The stream was reset with this error code.
    Reset(u32),
    /// The connection was told to go, with this error code.
    GoAway(u32),
    /// The connection ended.
    Closed,
}

/// One frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field block without compression: each field a literal that is not remembered (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x00);
        text(&mut block, name.as_bytes());
        text(&mut block, value.as_bytes());
    }
    block
}

/// A field block in as many frames as it takes.
pub(crate) fn field_block(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(16 << 10).peekable();
    let (mut bytes, mut kind, mut flags) = (Vec::new(), HEADERS, flags);
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        bytes.extend(frame(kind, flags | end, stream, piece));
        (kind, flags) = (CONTINUATION, 0);
    }
    bytes
}

/// A string of HPACK, not Huffman coded (section 5.2), its length in as many bytes as it takes (section 5.1).
fn text(block: &mut Vec<u8>, text: &[u8]) {
    let mut left = text.len();
    if left < 127 {
        block.push(u8::try_from(left).unwrap());
    } else {
        block.push(127);
        left -= 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128).unwrap() | 0x80);
            left /= 128;
        }
        block.push(u8::try_from(left).unwrap());
    }
    block.extend_from_slice(text);
}

/// The pseudo-headers of a POST, in front of other fields.
pub(crate) fn post<'a>(path: &'a str, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", path)];
    pseudo.into_iter().chain(fields.iter().copied()).collect()
}

/// A connection of HTTP/2.
pub(crate) struct Frames {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
    acknowledges: bool,
}

impl Frames {
    /// A connection that has sent its preface and empty settings.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut frames = Self::open_silent(address).await;
        frames.write(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await;
        frames
    }

    /// A connection that has sent nothing.
    pub(crate) async fn open_silent(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), unread: Vec::new(), acknowledges: true }
    }

    /// The other side of a connection, whose preface has come; it has sent empty settings.
    pub(crate) async fn accepted(mut stream: TcpStream) -> Self {
        let mut preface = [0; PREFACE.len()];
        timeout(PATIENCE, stream.read_exact(&mut preface)).await.expect("a preface").unwrap();
        assert_eq!(preface, PREFACE);
        let mut frames = Self { stream, unread: Vec::new(), acknowledges: true };
        frames.write(&frame(SETTINGS, 0, 0, b"")).await;
        frames
    }

    /// The next frame of this kind.
    pub(crate) async fn until(&mut self, kind: u8) -> (u8, u8, u32, Vec<u8>) {
        loop {
            let frame = self.next().await.expect("a frame");
            if frame.0 == kind {
                return frame;
            }
        }
    }

    /// Says nothing by itself from now on: an acknowledgement in the middle of a field block is an error (section 6.10).
    pub(crate) fn mute(&mut self) {
        self.acknowledges = false;
    }

    /// Sends bytes; that the other side has closed is found when it is read from.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// Sends a request, its body with it.
    pub(crate) async fn request(&mut self, stream: u32, fields: &[(&str, &str)], body: Option<&[u8]>) {
        let flags = END_HEADERS | if body.is_none() { END_STREAM } else { 0 };
        let mut bytes = frame(HEADERS, flags, stream, &block(fields));
        if let Some(body) = body {
            bytes.extend(frame(DATA, END_STREAM, stream, body));
        }
        self.write(&bytes).await;
    }

    /// The next frame; nothing at the end of the connection. Settings and pings are acknowledged.
    pub(crate) async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if let Some((head, _)) = self.unread.split_first_chunk::<9>() {
                let [a, b, c, kind, flags, e, f, g, h] = *head;
                let (length, stream) = (u32::from_be_bytes([0, a, b, c]) as usize, u32::from_be_bytes([e, f, g, h]));
                if self.unread.len() >= 9 + length {
                    let payload = self.unread.drain(..9 + length).skip(9).collect::<Vec<_>>();
                    if flags & ACK != 0 || !self.acknowledges {
                        return Some((kind, flags, stream, payload));
                    }
                    if kind == SETTINGS {
                        self.write(&frame(SETTINGS, ACK, 0, b"")).await;
                    } else if kind == PING {
                        self.write(&frame(PING, ACK, 0, &payload)).await;
                    }
                    return Some((kind, flags, stream, payload));
                }
            }
            let mut bytes = vec![0; 16 << 10];
            let read = timeout(PATIENCE, self.stream.read(&mut bytes)).await.expect("a frame or the end");
            match read {
                Ok(count @ 1..) => self.unread.extend_from_slice(&bytes[..count]),
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// What becomes of a stream; a connection that ends takes its streams with it.
    pub(crate) async fn outcome(&mut self, of: u32) -> Outcome {
        while let Some((kind, _, stream, payload)) = self.next().await {
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match kind {
                HEADERS if stream == of => return Outcome::Status(status(&payload)),
                RST_STREAM if stream == of => return Outcome::Reset(code(0)),
                GOAWAY if code(4) != 0 => return Outcome::GoAway(code(4)),
                _ => {}
            }
        }
        Outcome::Closed
    }

    /// Waits for the end of the connection; gives the error code of its GOAWAY.
    pub(crate) async fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some((kind, _, _, payload)) = self.next().await {
            if kind == GOAWAY {
                code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        code
    }
}

/// The status of an answer that is the first of its connection: an index of HPACK's static table, or three digits,
/// Huffman coded, behind the name's index (RFC 7541 appendices A and B).
fn status(block: &[u8]) -> u16 {
    match block {
        // A change of the table's size comes first.
        [size, rest @ ..] if size & 0xe0 == 0x20 => status(rest),
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x48, length, text @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&text[..usize::from(*length)]).unwrap().parse().unwrap()
        }
        [0x48, length, text @ ..] => {
            let bits = text[..usize::from(length & 0x7f)].iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            digits(bits, u32::from(length & 0x7f) * 8)
        }
        other => panic!("no status: {other:02x?}"),
    }
}

/// Three digits of HPACK's Huffman code: 0 to 2 have five bits, 3 to 9 six.
fn digits(bits: u64, mut left: u32) -> u16 {
    let mut number = 0;
    for _ in 0..3 {
        let five = u16::try_from(bits >> (left - 5) & 0x1f).unwrap();
        let digit = if five <= 2 {
            left -= 5;
            five
        } else {
            left -= 6;
            u16::try_from(bits >> left & 0x3f).unwrap() - 0x19 + 3
        };
        number = number * 10 + digit;
    }
    number
}
