//! Where the body of an answer ends (RFC 9112 sections 6 and 7).

use super::Fault;

/// A body that is being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::deliver) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// Pieces that say their length.
    Chunked(Chunks),
    /// Everything until the connection ends.
    UntilClosed,
}

/// What a body makes of the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::deliver) enum Piece<'a> {
    /// Bytes of the body.
    Data(&'a [u8]),
    /// The body is whole; what follows does not belong to it.
    End,
    /// Nothing more for now.
    More,
}

/// The chunked coding (section 7.1), byte by byte but for the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::deliver) struct Chunks {
    at: At,
    /// Size of the current chunk, or what is left of it.
    size: u64,
    /// Bytes of extensions and trailers so far.
    extra_bytes: usize,
    /// The lines of the trailer section, each with its end.
    trailers: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The first digit of a chunk's size.
    FirstDigit,
    Digit,
    /// Behind the size: nobody wants what stands here.
    Extension,
    /// The line feed behind the size.
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    /// The first byte of a line of the trailer section.
    TrailerStart,
    Trailer,
    TrailerEnd,
    /// The last line feed.
    LastEnd,
    Done,
}

/// Bytes of chunk extensions and trailers that are read, in all.
const EXTRA_BYTES_MAX: usize = 16 * 1024;

// === impl Body ===

impl Body {
    /// An empty chunked body before its first byte.
    pub(in crate::deliver) fn chunked() -> Self {
        Self::Chunked(Chunks { at: At::FirstDigit, size: 0, extra_bytes: 0, trailers: Vec::new() })
    }

    /// Takes the next piece off the front of `input`.
    pub(in crate::deliver) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, Fault> {
        match self {
            Self::Length(0) => Ok(Piece::End),
            Self::Length(left) => Ok(data(input, left)),
            Self::Chunked(chunks) => chunks.next(input),
            Self::UntilClosed if input.is_empty() => Ok(Piece::More),
            Self::UntilClosed => Ok(Piece::Data(std::mem::take(input))),
        }
    }

    /// The trailer section of a body that is whole, without the empty line behind it.
    pub(in crate::deliver) fn trailers(&self) -> &[u8] {
        match self {
            Self::Chunked(chunks) => &chunks.trailers,
            Self::Length(_) | Self::UntilClosed => &[],
        }
    }

    /// How many bytes are known to follow.
    pub(in crate::deliver) fn follows(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(Chunks { at: At::Data, size, .. }) => *size,
            Self::Chunked(_) | Self::UntilClosed => 0,
        }
    }
}

/// Up to `left` bytes.
fn data<'a>(input: &mut &'a [u8], left: &mut u64) -> Piece<'a> {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    let (data, rest) = input.split_at_checked(count).unwrap_or((input, &[]));
    if data.is_empty() {
        return Piece::More;
    }
    *input = rest;
    *left -= count as u64;
    Piece::Data(data)
}

// === impl Chunks ===

impl Chunks {
    fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, Fault> {
        loop {
            if self.at == At::Data {
                if self.size > 0 {
                    return Ok(data(input, &mut self.size));
                }
                self.at = At::DataReturn;
            }
            if self.at == At::Done {
                return Ok(Piece::End);
            }
            let Some((byte, rest)) = input.split_first() else { return Ok(Piece::More) };
            *input = rest;
            self.at = self.step(*byte)?;
        }
    }

    /// Lines end with CR LF and nothing else: a lone line feed is read in two ways by two readers.
    fn step(&mut self, byte: u8) -> Result<At, Fault> {
        match (self.at, byte) {
            (At::FirstDigit, _) => {
                self.size = hex(byte)?;
                Ok(At::Digit)
            }
            (At::Digit | At::Extension, b'\r') => Ok(At::SizeEnd),
            (At::Digit, b';' | b' ' | b'\t') => self.extra(At::Extension),
            (At::Digit, _) => {
                let digit = hex(byte)?;
                self.size = self.size.checked_mul(16).ok_or(Fault::Chunk)? | digit;
                Ok(At::Digit)
            }
            (At::Extension | At::Trailer, b'\n') => Err(Fault::Chunk),
            (At::Extension, _) => self.extra(At::Extension),
            (At::SizeEnd, b'\n') => Ok(if self.size == 0 { At::TrailerStart } else { At::Data }),
            (At::DataReturn, b'\r') => Ok(At::DataEnd),
            (At::DataEnd, b'\n') => Ok(At::FirstDigit),
            (At::TrailerStart, b'\r') => Ok(At::LastEnd),
            (At::TrailerStart, b'\n') => Err(Fault::Chunk),
            (At::Trailer, b'\r') => Ok(At::TrailerEnd),
            (At::TrailerStart | At::Trailer, _) => {
                self.trailers.push(byte);
                self.extra(At::Trailer)
            }
            (At::TrailerEnd, b'\n') => {
                self.trailers.extend_from_slice(b"\r\n");
                Ok(At::TrailerStart)
            }
            (At::LastEnd, b'\n') => Ok(At::Done),
            (At::SizeEnd | At::Data | At::DataReturn | At::DataEnd | At::TrailerEnd | At::LastEnd | At::Done, _) => {
                Err(Fault::Chunk)
            }
        }
    }

    fn extra(&mut self, next: At) -> Result<At, Fault> {
        self.extra_bytes += 1;
        if self.extra_bytes > EXTRA_BYTES_MAX { Err(Fault::Chunk) } else { Ok(next) }
    }
}

fn hex(byte: u8) -> Result<u64, Fault> {
    char::from(byte).to_digit(16).map(u64::from).ok_or(Fault::Chunk)
}
