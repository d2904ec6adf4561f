//! A compressed body, inflated within bounds, for reading only: what is kept and passed on is what was sent.
//!
//! `gzip` (also as `x-gzip`) and `deflate` (in zlib's wrapping, as RFC 9110 has it) are undone; any other
//! encoding, and more than one, is refused. Two bounds stand against bombs: the copy's bytes, and how
//! many times larger than the body it may become ([`RATIO_MAX`], from [`RATIO_FREE_BYTES`] on).

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::domain::{Reason, Rejection};

/// How many times larger than the body the copy may become: real JSON stays below 30.
pub const RATIO_MAX: u64 = 100;

/// A copy of up to this many bytes may have any ratio.
pub const RATIO_FREE_BYTES: u64 = 64 * 1024;

/// The body as its reader sees it, without its content encoding.
///
/// # Errors
/// The encoding is not known or not what the body is in (415), or the copy would exceed its bounds (413).
pub fn inflated<'a>(headers: &HeaderMap, body: &'a [u8], bytes_max: u64) -> Result<Cow<'a, [u8]>, Rejection> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let (Some(encoding), None) = (encodings.next(), encodings.next()) else {
        return match headers.contains_key(CONTENT_ENCODING) {
            true => Err(unknown("there is more than one content encoding")),
            false => Ok(Cow::Borrowed(body)),
        };
    };
    let encoding = encoding.as_bytes().trim_ascii();
    let is = |name: &str| encoding.eq_ignore_ascii_case(name.as_bytes());
    if is("identity") {
        return Ok(Cow::Borrowed(body));
    }
    let body_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let bytes_max = bytes_max.min(body_bytes.saturating_mul(RATIO_MAX).max(RATIO_FREE_BYTES));
    if is("gzip") || is("x-gzip") {
        read_bounded(MultiGzDecoder::new(body), bytes_max)
    } else if is("deflate") {
        let mut decoder = ZlibDecoder::new(body);
        let copy = read_bounded(&mut decoder, bytes_max)?;
        match decoder.total_in() == body_bytes {
            true => Ok(copy),
            false => Err(unknown("something follows the deflated body")),
        }
    } else {
        Err(unknown(format!("the content encoding `{}` is not known", encoding.escape_ascii())))
    }
}

fn read_bounded<'a>(decoder: impl Read, bytes_max: u64) -> Result<Cow<'a, [u8]>, Rejection> {
    let mut copy = Vec::new();
    match decoder.take(bytes_max.saturating_add(1)).read_to_end(&mut copy) {
        Ok(bytes) if u64::try_from(bytes).is_ok_and(|bytes| bytes <= bytes_max) => Ok(Cow::Owned(copy)),
        Ok(_) => {
            Err(Rejection::new(Reason::BodyTooLarge, format!("inflated, the body is larger than {bytes_max} bytes")))
        }
        Err(error) => Err(unknown(format!("the body is not in its content encoding: {error}"))),
    }
}

fn unknown(detail: impl AsRef<str>) -> Rejection {
    Rejection::new(Reason::ContentEncodingUnknown, detail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const BYTES_MAX: u64 = 1024 * 1024;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("into memory");
        encoder.finish().expect("into memory")
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("into memory");
        encoder.finish().expect("into memory")
    }

    fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("into memory");
        encoder.finish().expect("into memory")
    }

    /// Text that gzip makes about a third of.
    fn text(bytes: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..bytes).map(|_| random.alphanumeric() as u8 & 0x6f).collect()
    }

    #[track_caller]
    fn check(encodings: &[&str], body: &[u8], expected: Result<&[u8], Reason>) {
        let mut headers = HeaderMap::new();
        for encoding in encodings {
            headers.append(CONTENT_ENCODING, encoding.parse().expect("a value"));
        }
        let inflated = inflated(&headers, body, BYTES_MAX);
        assert_eq!(inflated.as_deref().map_err(|rejection| rejection.reason), expected, "{encodings:?}");
    }

    #[test]
    fn known_encodings_are_undone() {
        check(&[], b"{}", Ok(b"{}"));
        check(&["identity"], b"{}", Ok(b"{}"));
        check(&["gzip"], &gzip(b"{}"), Ok(b"{}"));
        check(&["X-GZip"], &gzip(b"{}"), Ok(b"{}"));
        check(&["gzip"], &[gzip(b"{"), gzip(b"}")].concat(), Ok(b"{}"));
        check(&["deflate"], &zlib(b"{}"), Ok(b"{}"));
    }

    #[test]
    fn other_encodings_are_refused() {
        let unknown = Err(Reason::ContentEncodingUnknown);
        for encodings in [&["br"][..], &["zstd"], &[""], &["gzip, gzip"], &["gzip", "gzip"], &["identity", "gzip"]] {
            check(encodings, &gzip(b"{}"), unknown);
        }
        check(&["gzip"], b"{}", unknown);
        check(&["gzip"], &zlib(b"{}"), unknown);
        check(&["gzip"], &gzip(b"{}")[..12], unknown);
        check(&["gzip"], &[gzip(b"{}"), b"more".to_vec()].concat(), unknown);
        check(&["deflate"], &[zlib(b"{}"), b"more".to_vec()].concat(), unknown);
        check(&["deflate"], &raw_deflate(b"{}"), unknown);
    }

    #[test]
    fn bombs_are_refused_by_size_and_by_ratio() {
        let large = text(1024 * 1024);
        check(&["gzip"], &gzip(&large), Ok(&large));
        check(&["gzip"], &gzip(&text(1024 * 1024 + 1)), Err(Reason::BodyTooLarge));
        // A ratio of about 1000: free while small, refused when large.
        check(&["gzip"], &gzip(&vec![b' '; 65_536]), Ok(&vec![b' '; 65_536]));
        check(&["gzip"], &gzip(&vec![b' '; 1024 * 1024]), Err(Reason::BodyTooLarge));
        check(&["deflate"], &zlib(&vec![b' '; 1024 * 1024]), Err(Reason::BodyTooLarge));
    }
}
