//! Bytes as text, strictly: a signature has one right length and nothing before, between or behind it.

use base64::Engine as _;
use base64::alphabet::{STANDARD as STANDARD_ALPHABET, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};

use super::scheme::{Encoding, KeyEncoding};

/// The longest signature that is decoded, ECDSA's.
pub(super) const HASH_BYTES_MAX: usize = 72;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, ANY_PADDING);
const BASE64_KEY: GeneralPurpose = GeneralPurpose::new(&STANDARD_ALPHABET, ANY_PADDING);

/// A decoded hash or signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash {
    bytes: [u8; HASH_BYTES_MAX],
    length: usize,
}

// === impl Hash ===

impl Hash {
    /// The hash that a text writes, if it writes one of `least` to `most` bytes.
    pub(super) fn decode(text: &[u8], encoding: Encoding, (least, most): (usize, usize)) -> Option<Self> {
        // Base64 decodes in groups of three bytes: room for the last one.
        let mut bytes = [0; HASH_BYTES_MAX + 3];
        let decoded = match encoding {
            Encoding::Hex => {
                let length = text.len() / 2;
                unhex(text, bytes.get_mut(..length)?).then_some(length)
            }
            Encoding::Base64 => STANDARD.decode_slice(text, &mut bytes).ok(),
            Encoding::Base64Url => BASE64_URL.decode_slice(text, &mut bytes).ok(),
        };
        let length = decoded?;
        (least..=most).contains(&length).then_some(())?;
        Some(Self { bytes: *bytes.first_chunk()?, length })
    }

    /// A hash as it was computed, at most [`HASH_BYTES_MAX`] bytes of it.
    pub(super) fn of(computed: &[u8]) -> Self {
        let mut bytes = [0; HASH_BYTES_MAX];
        let length = computed.len().min(HASH_BYTES_MAX);
        bytes.iter_mut().zip(computed).for_each(|(to, from)| *to = *from);
        Self { bytes, length }
    }

    /// The bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The text that writes it.
    pub(super) fn encode(&self, encoding: Encoding) -> String {
        match encoding {
            Encoding::Hex => hex::encode(self.as_slice()),
            Encoding::Base64 => STANDARD.encode(self.as_slice()),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(self.as_slice()),
        }
    }
}

/// Decodes hexadecimal digits in either case, two a byte; false where it is anything else. Every signed request asks
/// twice: by table it takes an eighth of what `hex` takes, which asks for each digit which range it is in.
fn unhex(text: &[u8], bytes: &mut [u8]) -> bool {
    const DIGITS: [u8; 256] = digits();
    let digit = |byte: u8| DIGITS.get(usize::from(byte)).copied().unwrap_or(NO_DIGIT);
    let mut seen = 0;
    for (pair, byte) in text.chunks_exact(2).zip(&mut *bytes) {
        let [high, low] = [pair.first(), pair.last()].map(|digit_of| digit(digit_of.copied().unwrap_or_default()));
        seen |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    text.len() == bytes.len() * 2 && seen & NO_DIGIT == 0
}

/// What is no digit: no digit has this bit.
const NO_DIGIT: u8 = 0x80;

#[allow(clippy::indexing_slicing, reason = "evaluated while compiling: going too far would be noticed there")]
const fn digits() -> [u8; 256] {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        table[digit as usize] = value;
        table[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
}

/// The key that a secret writes; `None` where it is not written so.
pub(super) fn decode_key(secret: &[u8], encoding: KeyEncoding) -> Option<Vec<u8>> {
    match encoding {
        KeyEncoding::Utf8 => Some(secret.to_vec()),
        KeyEncoding::Hex => hex::decode(secret).ok(),
        KeyEncoding::Base64 => BASE64_KEY.decode(secret).ok(),
    }
}

/// The text that writes a key.
pub(super) fn encode_key(key: &[u8], encoding: KeyEncoding) -> String {
    match encoding {
        KeyEncoding::Utf8 => String::from_utf8_lossy(key).into_owned(),
        KeyEncoding::Hex => hex::encode(key),
        KeyEncoding::Base64 => STANDARD.encode(key),
    }
}

/// The bytes of padded base64, for `Authorization: Basic`.
pub(super) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Padded base64, for `Authorization: Basic`.
pub(super) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, encoding: Encoding, length: usize, expected: Option<&[u8]>) {
        let decoded = Hash::decode(text.as_bytes(), encoding, (length, length));
        assert_eq!(decoded.as_ref().map(Hash::as_slice), expected, "{text}");
    }

    #[test]
    fn decoding_is_strict() {
        check("00fF", Encoding::Hex, 2, Some(&[0, 255]));
        check("00f", Encoding::Hex, 2, None);
        check("00ff00", Encoding::Hex, 2, None);
        check("", Encoding::Hex, 2, None);
        check("0x00", Encoding::Hex, 2, None);
        check(" 0ff", Encoding::Hex, 2, None);
        check("AP8=", Encoding::Base64, 2, Some(&[0, 255]));
        check("AP8", Encoding::Base64, 2, None);
        check("AP9=", Encoding::Base64, 2, None);
        check("AP8=\n", Encoding::Base64, 2, None);
        check("AP8A", Encoding::Base64, 2, None);
        check("_-8=", Encoding::Base64, 2, None);
        check("_-8=", Encoding::Base64Url, 2, Some(&[255, 239]));
        check("_-8", Encoding::Base64Url, 2, Some(&[255, 239]));
        check("/+8", Encoding::Base64Url, 2, None);
    }

    #[test]
    fn what_is_encoded_decodes_again() {
        for length in [20, 32, 64] {
            let bytes: Vec<u8> = (0..length).map(|byte: u8| byte.wrapping_mul(7) ^ 128).collect();
            for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
                let text = Hash::of(&bytes).encode(encoding);
                check(&text, encoding, bytes.len(), Some(&bytes));
            }
        }
    }
}
