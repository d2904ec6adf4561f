//! One line stays one line: what could break out of it or drive a terminal is written as an escape.

use std::io;

use serde_json::ser::Formatter;

/// Compact JSON whose strings are safe to print: on top of JSON's own escapes also DEL, the C1 controls
/// (some terminals act on them), line separators, and the marks that turn the direction of text.
#[derive(Clone, Copy, Debug, Default)]
pub struct SafeJson;

/// Whether a character must not reach a log as it is.
#[must_use]
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with every unsafe character as `\u001b` or the like: the form of JSON, so that it may stand
/// inside a string of JSON too.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            // All of them lie below U+10000: one escape each.
            safe.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            safe.push(character);
        }
    }
    safe
}

impl Formatter for SafeJson {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut plain_from = 0;
        for (at, character) in fragment.char_indices().filter(|(_, character)| is_unsafe(*character)) {
            writer.write_all(fragment.get(plain_from..at).unwrap_or_default().as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(character))?;
            plain_from = at + character.len_utf8();
        }
        writer.write_all(fragment.get(plain_from..).unwrap_or_default().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[test]
    fn json_stays_one_line_without_controls_and_reads_back_the_same() {
        let hostile = "a\nb\r\u{1b}[31m\u{9b}2J\u{7f}\u{2028}\u{202e}\"\\ü";
        let mut written = Vec::new();
        hostile.serialize(&mut serde_json::Serializer::with_formatter(&mut written, SafeJson)).unwrap();
        let text = String::from_utf8(written).unwrap();
        assert!(!text.chars().any(is_unsafe), "{text:?}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
        assert!(!escaped(hostile).chars().any(is_unsafe));
    }
}
