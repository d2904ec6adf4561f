//! What the scheme signs of a request, piece by piece: shown bounded and printable.

use super::super::pieces::pieces;
use super::super::scheme::Signatures;
use super::super::template::Part;
use super::given::Given;
use crate::guard::layer::Head;
use crate::telemetry::escape::escaped;

/// A piece of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The template's word for it; text that stands for itself is `text`.
    pub what: Box<str>,
    /// Its bytes.
    pub bytes: usize,
    /// Its beginning, safe to print; the query of a URL is left out.
    pub shown: Box<str>,
}

/// How much of a piece is shown, in characters.
const SHOWN_CHARACTERS_MAX: usize = 96;

/// The beginning of some bytes, safe to print.
pub(super) fn shown(bytes: &[u8]) -> Box<str> {
    // A character takes at most four bytes: more need not be looked at.
    let looked_at = bytes.get(..bytes.len().min(SHOWN_CHARACTERS_MAX * 4)).unwrap_or_default();
    let text = String::from_utf8_lossy(looked_at);
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    if shown.len() < text.len() || looked_at.len() < bytes.len() {
        shown.push('…');
    }
    escaped(&shown).into()
}

/// The pieces of the template, filled in; a field that the body does not have is an empty one.
pub(super) fn covered(
    signatures: &Signatures,
    given: &Given<'_>,
    head: Head<'_>,
    body: Option<&[u8]>,
    url: &str,
) -> Vec<Covered> {
    let body = body.unwrap_or_default();
    let made = pieces(signatures, url, head, body).unwrap_or_default();
    let mut made = made.iter();
    let query_bytes = head.uri.query().map_or(0, |query| query.len() + 1);
    let piece = |what: &str, bytes: &[u8]| Covered { what: what.into(), bytes: bytes.len(), shown: shown(bytes) };
    let parts = signatures.signed.parts().iter();
    parts
        .map(|part| match part {
            Part::Literal(text) => piece("text", text.as_bytes()),
            Part::Body => piece("{body}", body),
            Part::Timestamp => piece("{timestamp}", given.timestamp.as_deref().unwrap_or_default().as_bytes()),
            Part::Id => piece("{id}", given.id),
            Part::Method => piece("{method}", head.method.as_str().as_bytes()),
            Part::Url => Covered { bytes: url.len() + query_bytes, ..piece("{url}", url.as_bytes()) },
            Part::Form => piece("{form}", made.next().map(|text| text.as_bytes()).unwrap_or_default()),
            Part::Field(pointer) => {
                piece(&format!("{{body:{pointer}}}"), made.next().map(|text| text.as_bytes()).unwrap_or_default())
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_drives_no_terminal() {
        assert_eq!(&*shown(b"a\x1b[2J\xff"), "a\\u001b[2J\u{fffd}");
        let long = shown("ä".repeat(10_000).as_bytes());
        assert_eq!(long.chars().count(), SHOWN_CHARACTERS_MAX + 1);
        assert_eq!(&*shown("ä".repeat(SHOWN_CHARACTERS_MAX).as_bytes()), "ä".repeat(SHOWN_CHARACTERS_MAX));
    }
}
