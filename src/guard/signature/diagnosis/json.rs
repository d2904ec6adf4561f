//! JSON written anew as libraries do: what a sender signed before, or an app in between after, it was parsed.
//!
//! Numbers keep their text and objects their order (unless sorted): only what libraries change is changed.

use std::fmt;

use serde::de::IgnoredAny;

/// How JSON is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Spaces and line breaks.
    pub layout: Layout,
    /// Which characters are escaped.
    pub escapes: Escapes,
    /// Whether keys are sorted.
    pub sorted: bool,
}

/// Spaces and line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// None (JavaScript's `JSON.stringify`).
    Compact,
    /// One after each comma and colon (Python's `json.dumps`).
    Spaced,
    /// A line each, indented by so many spaces.
    Indented(u8),
    /// A line each, indented by tabs.
    Tabs,
}

/// Which characters of strings are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escapes {
    /// As they were.
    AsTheyWere,
    /// Only those that must be.
    Fewest,
    /// Everything beyond ASCII (Python).
    Ascii,
    /// The slash too (PHP with `JSON_UNESCAPED_UNICODE`).
    Slashes,
    /// Everything beyond ASCII and the slash (PHP).
    AsciiAndSlashes,
    /// `<`, `>` and `&` (Go).
    Html,
}

/// What may be written anew, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// How deep it may be nested.
const DEPTH_MAX: usize = 128;

/// A value whose strings and numbers are still the text they were.
enum Node<'a> {
    Scalar(&'a str),
    Text(&'a str),
    List(Vec<Node<'a>>),
    Object(Vec<(&'a str, Node<'a>)>),
}

/// Reads what is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// Writes within a bound: indentation can multiply what it is given.
struct Writer {
    out: String,
    bytes_max: usize,
    style: Style,
}

/// JSON that was read once, to be written in several ways.
pub(super) struct Json<'a>(Node<'a>);

// === impl Style ===

impl Style {
    /// Every style that is tried, the likely ones first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        const LAYOUTS: [Layout; 5] =
            [Layout::Compact, Layout::Spaced, Layout::Indented(2), Layout::Indented(4), Layout::Tabs];
        const ESCAPES: [Escapes; 6] = [
            Escapes::AsTheyWere,
            Escapes::Fewest,
            Escapes::Ascii,
            Escapes::AsciiAndSlashes,
            Escapes::Slashes,
            Escapes::Html,
        ];
        [false, true].into_iter().flat_map(|sorted| {
            ESCAPES
                .into_iter()
                .flat_map(move |escapes| LAYOUTS.into_iter().map(move |layout| Self { layout, escapes, sorted }))
        })
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layout {
            Layout::Compact => f.write_str("without spaces")?,
            Layout::Spaced => f.write_str("with a space after each comma and colon")?,
            Layout::Indented(spaces) => write!(f, "indented by {spaces} spaces")?,
            Layout::Tabs => f.write_str("indented by tabs")?,
        }
        f.write_str(match self.escapes {
            Escapes::AsTheyWere => "",
            Escapes::Fewest => ", nothing escaped that need not be",
            Escapes::Ascii => ", non-ASCII characters escaped",
            Escapes::Slashes => ", slashes escaped",
            Escapes::AsciiAndSlashes => ", non-ASCII characters and slashes escaped",
            Escapes::Html => ", <, > and & escaped",
        })?;
        f.write_str(if self.sorted { ", keys sorted" } else { "" })
    }
}

// === impl Json ===

impl<'a> Json<'a> {
    /// Reads a body; `None` where it is no JSON, or too large to be written dozens of times.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        if body.len() > BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        // The well-kept parser says whether it is JSON: the reader below may believe it.
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        Reader { text, at: 0 }.value(0).map(Self)
    }

    /// The same in a style; `None` where that would be many times as long.
    pub(super) fn write(&self, style: Style, bytes: usize) -> Option<Vec<u8>> {
        let mut writer = Writer { out: String::with_capacity(bytes), bytes_max: bytes * 4 + 4096, style };
        writer.value(&self.0, 0)?;
        Some(writer.out.into_bytes())
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether the next sign is this one, which is passed then.
    fn passes(&mut self, sign: u8) -> bool {
        let passes = self.peek() == Some(sign);
        self.at += usize::from(passes);
        passes
    }

    fn value(&mut self, depth: usize) -> Option<Node<'a>> {
        match self.peek()? {
            b'{' | b'[' if depth == DEPTH_MAX => None,
            b'{' => self.object(depth + 1),
            b'[' => self.list(depth + 1),
            b'"' => self.string().map(Node::Text),
            _ => {
                let rest = self.text.get(self.at..)?;
                let ends = |sign: char| matches!(sign, ',' | ']' | '}') || sign.is_ascii_whitespace();
                let scalar = rest.get(..rest.find(ends).unwrap_or(rest.len()))?;
                self.at += scalar.len();
                Some(Node::Scalar(scalar))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Node<'a>> {
        self.at += 1;
        let mut fields = Vec::new();
        while !self.passes(b'}') {
            self.passes(b',');
            self.peek()?;
            let key = self.string()?;
            self.passes(b':');
            fields.push((key, self.value(depth)?));
        }
        Some(Node::Object(fields))
    }

    fn list(&mut self, depth: usize) -> Option<Node<'a>> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.passes(b']') {
            self.passes(b',');
            items.push(self.value(depth)?);
        }
        Some(Node::List(items))
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        self.at += end + 2;
        rest.get(..end + 2)
    }
}

// === impl Writer ===

impl Writer {
    fn value(&mut self, node: &Node<'_>, depth: usize) -> Option<()> {
        match node {
            Node::Scalar(text) => self.out.push_str(text),
            Node::Text(raw) => self.string(raw)?,
            Node::List(items) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.begins(index, depth + 1);
                    self.value(item, depth + 1)?;
                }
                self.ends(items.is_empty(), depth);
                self.out.push(']');
            }
            Node::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                if self.style.sorted {
                    fields.sort_by_key(|(key, _)| *key);
                }
                self.out.push('{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    self.begins(index, depth + 1);
                    self.string(key)?;
                    self.out.push_str(if self.style.layout == Layout::Compact { ":" } else { ": " });
                    self.value(value, depth + 1)?;
                }
                self.ends(fields.is_empty(), depth);
                self.out.push('}');
            }
        }
        (self.out.len() <= self.bytes_max).then_some(())
    }

    fn begins(&mut self, index: usize, depth: usize) {
        if index > 0 {
            self.out.push_str(if self.style.layout == Layout::Spaced { ", " } else { "," });
        }
        self.line(depth);
    }

    fn ends(&mut self, is_empty: bool, depth: usize) {
        if !is_empty {
            self.line(depth);
        }
    }

    fn line(&mut self, depth: usize) {
        let indent = match self.style.layout {
            Layout::Compact | Layout::Spaced => return,
            Layout::Indented(spaces) => " ".repeat(usize::from(spaces)),
            Layout::Tabs => "\t".to_owned(),
        };
        self.out.push('\n');
        (0..depth).for_each(|_| self.out.push_str(&indent));
    }

    fn string(&mut self, raw: &str) -> Option<()> {
        let escapes = self.style.escapes;
        if escapes == Escapes::AsTheyWere {
            self.out.push_str(raw);
            return Some(());
        }
        let text: String = serde_json::from_str(raw).ok()?;
        self.out.push('"');
        for character in text.chars() {
            let (ascii, slashes) = match escapes {
                Escapes::Ascii => (true, false),
                Escapes::AsciiAndSlashes => (true, true),
                Escapes::Slashes => (false, true),
                Escapes::AsTheyWere | Escapes::Fewest | Escapes::Html => (false, false),
            };
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '/' if slashes => self.out.push_str("\\/"),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if escapes == Escapes::Html => self.units(character),
                character if character < ' ' || (ascii && !character.is_ascii()) => self.units(character),
                character => self.out.push(character),
            }
        }
        self.out.push('"');
        Some(())
    }

    fn units(&mut self, character: char) {
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            self.out.push_str(&format!("\\u{unit:04x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"b" : [1.0,{}, [ ] ,-2e3],"a":"Zo\u00eb \ud83d\ude00 \/ <"}"#;

    #[track_caller]
    fn check(layout: Layout, escapes: Escapes, sorted: bool, expected: &str) {
        let json = Json::read(TEXT.as_bytes()).expect("JSON");
        let written = json.write(Style { layout, escapes, sorted }, TEXT.len()).expect("written");
        assert_eq!(String::from_utf8(written).expect("text"), expected);
    }

    #[test]
    fn json_is_written_as_libraries_do() {
        use Escapes::{AsTheyWere, Ascii, AsciiAndSlashes, Fewest, Html};
        // node -p 'JSON.stringify(JSON.parse(text))', but for the numbers, whose text stays.
        check(Layout::Compact, Fewest, false, r#"{"b":[1.0,{},[],-2e3],"a":"Zoë 😀 / <"}"#);
        check(Layout::Compact, AsTheyWere, true, r#"{"a":"Zo\u00eb \ud83d\ude00 \/ <","b":[1.0,{},[],-2e3]}"#);
        // python3 -c 'import json; print(json.dumps(json.loads(text)))'
        check(Layout::Spaced, Ascii, false, r#"{"b": [1.0, {}, [], -2e3], "a": "Zo\u00eb \ud83d\ude00 / <"}"#);
        check(Layout::Compact, AsciiAndSlashes, false, r#"{"b":[1.0,{},[],-2e3],"a":"Zo\u00eb \ud83d\ude00 \/ <"}"#);
        check(Layout::Compact, Html, false, r#"{"b":[1.0,{},[],-2e3],"a":"Zoë 😀 / \u003c"}"#);
        let indented = "{\n  \"b\": [\n    1.0,\n    {},\n    [],\n    -2e3\n  ],\n  \"a\": \"Zoë 😀 / <\"\n}";
        check(Layout::Indented(2), Fewest, false, indented);
    }

    #[test]
    fn what_is_no_json_or_would_explode_is_left_alone() {
        for text in ["", "{", "{\"a\":1,}", "[1 2]", "nul", "\u{feff}{}"] {
            assert!(Json::read(text.as_bytes()).is_none(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let wide = format!("{}{}{}", "[".repeat(90), ["1"; 2000].join(","), "]".repeat(90));
        let indented = Style { layout: Layout::Indented(4), escapes: Escapes::AsTheyWere, sorted: false };
        for text in [deep, wide] {
            let json = Json::read(text.as_bytes()).expect("JSON");
            assert_eq!(json.write(indented, text.len()), None);
        }
        // The parser that is asked first skips without recursion: the depth is ours to bound.
        for (levels, is_read) in [(DEPTH_MAX, true), (DEPTH_MAX + 1, false), (500_000, false)] {
            let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            assert_eq!(Json::read(text.as_bytes()).is_some(), is_read, "{levels}");
        }
    }
}
