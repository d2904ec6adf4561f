//! What a text that should be a signature looks like: its alphabet, its padding, how many bytes it writes.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

use super::super::encoding::HASH_BYTES_MAX;
use super::super::scheme::{Algorithm, Encoding};

/// The shape of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its characters.
    pub characters: usize,
    /// The encoding that it has the letters of.
    pub encoding: Option<Encoding>,
    /// The bytes that it writes in that encoding.
    pub bytes: Option<usize>,
    /// Whether it is base64 that lacks its padding.
    pub lacks_padding: bool,
}

const LENIENT: GeneralPurposeConfig = NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

// === impl Shape ===

impl Shape {
    /// The shape of a text, with the bytes that it writes; `expected` is believed where the text could be either.
    pub(super) fn of(text: &str, expected: Encoding) -> (Self, Option<Vec<u8>>) {
        let bytes = text.as_bytes();
        let is_hex = !bytes.is_empty() && bytes.len().is_multiple_of(2) && bytes.iter().all(u8::is_ascii_hexdigit);
        let has = |one: u8, other: u8| bytes.contains(&one) || bytes.contains(&other);
        // Sixty-four hexadecimal digits are base64 too: nobody means that.
        let encoding = if is_hex {
            Encoding::Hex
        } else if has(b'-', b'_') {
            Encoding::Base64Url
        } else if has(b'+', b'/') || expected != Encoding::Base64Url {
            Encoding::Base64
        } else {
            Encoding::Base64Url
        };
        let decoded = match encoding {
            Encoding::Hex => hex::decode(text).ok(),
            Encoding::Base64 => BASE64.decode(text).ok(),
            Encoding::Base64Url => BASE64_URL.decode(text).ok(),
        };
        let decoded = decoded.filter(|bytes| (1..=HASH_BYTES_MAX).contains(&bytes.len()));
        let lacks_padding = encoding == Encoding::Base64 && decoded.is_some() && !bytes.len().is_multiple_of(4);
        let shape = Self {
            characters: text.chars().count(),
            encoding: decoded.as_ref().map(|_| encoding),
            bytes: decoded.as_ref().map(Vec::len),
            lacks_padding,
        };
        (shape, decoded)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} characters", self.characters)?;
        match (self.encoding, self.bytes) {
            (Some(encoding), Some(bytes)) => write!(f, ", {encoding} of {bytes} bytes"),
            _ => f.write_str(", neither hexadecimal nor base64"),
        }
    }
}

/// The algorithm whose HMAC has so many bytes.
pub(super) fn hmac_of(bytes: usize) -> Option<Algorithm> {
    [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512]
        .into_iter()
        .find(|algorithm| algorithm.output_bytes().1 == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Encoding, encoding: Option<Encoding>, bytes: Option<usize>, lacks_padding: bool) {
        let (shape, _) = Shape::of(text, expected);
        assert_eq!((shape.encoding, shape.bytes, shape.lacks_padding), (encoding, bytes, lacks_padding), "{text}");
    }

    #[test]
    fn a_text_shows_its_encoding() {
        check(&"0a".repeat(32), Encoding::Base64, Some(Encoding::Hex), Some(32), false);
        check(&"A".repeat(43), Encoding::Hex, Some(Encoding::Base64), Some(32), true);
        check(&format!("{}=", "A".repeat(43)), Encoding::Hex, Some(Encoding::Base64), Some(32), false);
        check(&format!("{}-_A=", "A".repeat(40)), Encoding::Base64, Some(Encoding::Base64Url), Some(32), false);
        check(&"A".repeat(43), Encoding::Base64Url, Some(Encoding::Base64Url), Some(32), false);
        check("not a signature", Encoding::Hex, None, None, false);
        check("", Encoding::Hex, None, None, false);
    }
}
