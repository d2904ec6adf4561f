//! What happens to bodies between the signature and us: the body as it may have been when it was signed.

use std::borrow::Cow;
use std::fmt;

use super::json::{Json, Style};

/// A change of the body after which the signature fits: what was signed, seen from what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyChange {
    /// The byte order mark was not signed.
    WithoutBom,
    /// A byte order mark was signed.
    WithBom,
    /// CRLF came, LF was signed.
    LfForCrlf,
    /// LF came, CRLF was signed.
    CrlfForLf,
    /// A line break at the end was signed.
    WithNewline,
    /// The line break at the end was not signed.
    WithoutNewline,
    /// White space around was not signed.
    Trimmed,
    /// Nothing of the body was signed, as if it had been read before.
    Empty,
    /// The same JSON, written in another way.
    Json(Style),
}

const BOM: &[u8] = b"\xef\xbb\xbf";

// === impl BodyChange ===

impl BodyChange {
    /// Calls `with` for every change that makes another body of this one, the likely ones first, until it says that
    /// this is enough.
    pub(super) fn each(body: &[u8], mut with: impl FnMut(Self, &[u8]) -> bool) {
        const PLAIN: [BodyChange; 8] = [
            BodyChange::WithoutNewline,
            BodyChange::WithNewline,
            BodyChange::LfForCrlf,
            BodyChange::CrlfForLf,
            BodyChange::WithoutBom,
            BodyChange::WithBom,
            BodyChange::Trimmed,
            BodyChange::Empty,
        ];
        for change in PLAIN {
            let changed = change.apply(body);
            if *changed != *body && with(change, &changed) {
                return;
            }
        }
        let Some(json) = Json::read(body.strip_prefix(BOM).unwrap_or(body)) else { return };
        for style in Style::all() {
            let written = json.write(style, body.len());
            if let Some(written) = written.filter(|written| written != body)
                && with(Self::Json(style), &written)
            {
                return;
            }
        }
    }

    fn apply(self, body: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::WithoutBom => Cow::Borrowed(body.strip_prefix(BOM).unwrap_or(body)),
            Self::WithBom => Cow::Owned([BOM, body].concat()),
            Self::LfForCrlf => Cow::Owned(without_returns(body)),
            Self::CrlfForLf => {
                Cow::Owned(without_returns(body).split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]))
            }
            Self::WithNewline => Cow::Owned([body, b"\n"].concat()),
            Self::WithoutNewline => {
                let line = body.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                Cow::Borrowed(line.unwrap_or(body))
            }
            Self::Trimmed => Cow::Borrowed(body.trim_ascii()),
            Self::Empty => Cow::Borrowed(b""),
            Self::Json(_) => Cow::Borrowed(body),
        }
    }
}

fn without_returns(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for (at, byte) in body.iter().enumerate() {
        if *byte != b'\r' || body.get(at + 1) != Some(&b'\n') {
            out.push(*byte);
        }
    }
    out
}

impl fmt::Display for BodyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithoutBom => f.write_str("the body without its byte order mark: something added one"),
            Self::WithBom => f.write_str("the body with a byte order mark: something took it away"),
            Self::LfForCrlf => f.write_str("the body with LF where it has CRLF: something changed its line breaks"),
            Self::CrlfForLf => f.write_str("the body with CRLF where it has LF: something changed its line breaks"),
            Self::WithNewline => f.write_str("the body with a line break at its end: something took it away"),
            Self::WithoutNewline => f.write_str("the body without the line break at its end: something added it"),
            Self::Trimmed => f.write_str("the body without white space around it: something added that"),
            Self::Empty => f.write_str("an empty body: the signer had read its body before it signed"),
            Self::Json(style) => {
                write!(f, "the same JSON written {style}: something parsed the body and wrote it anew")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_tried_once_and_only_where_it_changes_something() {
        let mut tried = Vec::new();
        BodyChange::each(b"a\r\nb\n", |change, body| {
            tried.push((change, String::from_utf8_lossy(body).into_owned()));
            false
        });
        let expected = [
            (BodyChange::WithoutNewline, "a\r\nb"),
            (BodyChange::WithNewline, "a\r\nb\n\n"),
            (BodyChange::LfForCrlf, "a\nb\n"),
            (BodyChange::CrlfForLf, "a\r\nb\r\n"),
            (BodyChange::WithBom, "\u{feff}a\r\nb\n"),
            (BodyChange::Trimmed, "a\r\nb"),
            (BodyChange::Empty, ""),
        ];
        assert_eq!(tried, expected.map(|(change, body)| (change, body.to_owned())));
    }
}
