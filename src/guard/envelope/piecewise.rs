//! The pass of [`scan`](mod@super::scan) over a JSON text that comes in pieces and is never in memory as a whole: the same
//! grammar, the same fields, the same reasons.
//!
//! What is held of the text is a name, or the value of a field that is asked for, and of those not more than
//! [`HELD_BYTES_MAX`]: no name of a pointer and no field that is wanted is as long.

use super::pointer::Pointer;
use super::scan::{DEPTH_MAX, ScanError};
use super::search::{Quoted, Searches};
use super::specials::Specials;
use crate::domain::Scalar;

/// A pass under way.
pub(in crate::guard) struct Piecewise<'p, const FIELDS: usize> {
    /// Bytes of the pieces before this one.
    before: usize,
    depth: u32,
    /// A bit for each open container: 1 is an object; the lowest is the innermost.
    objects: u128,
    depth_max: u32,
    searches: Searches<'p, Scalar, FIELDS>,
    expects: Expects,
    within: Within,
    /// What is held of the name or value that is being read.
    held: Held,
    characters: Characters,
    error: Option<ScanError>,
}

/// What may come next, white space aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Value,
    NameOrEnd,
    Name,
    Colon,
    ElementOrEnd,
    CommaOrEnd,
    Nothing,
}

/// What a piece may end within.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Text {
        is_name: bool,
        escape: Escape,
    },
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8], bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    No,
    Begun,
    /// So many hexadecimal digits are still to come.
    Digits(u8),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

#[derive(Default)]
struct Held {
    wanted: bool,
    bytes: Vec<u8>,
    has_escapes: bool,
    is_cut: bool,
}

/// UTF-8 in pieces: the beginning of a character that is not whole.
#[derive(Default)]
struct Characters {
    begun: Vec<u8>,
    is_broken: bool,
}

/// The most bytes of a name or a value that are held.
const HELD_BYTES_MAX: usize = 64 << 10;

/// The longest character, in bytes.
const CHARACTER_BYTES_MAX: usize = 4;

// === impl Piecewise ===

impl<'p, const FIELDS: usize> Piecewise<'p, FIELDS> {
    /// For the fields at these pointers; an absent pointer finds nothing.
    pub(in crate::guard) fn new(pointers: [Option<&'p Pointer>; FIELDS], depth_max: u32) -> Self {
        Self {
            before: 0,
            depth: 0,
            objects: 0,
            depth_max: depth_max.min(DEPTH_MAX),
            searches: Searches::new(pointers),
            expects: Expects::Value,
            within: Within::Nothing,
            held: Held::default(),
            characters: Characters::default(),
            error: None,
        }
    }

    /// Takes the next piece.
    pub(in crate::guard) fn take(&mut self, piece: &[u8]) {
        self.characters.take(piece);
        let (mut specials, mut at) = (Specials::of(piece), 0);
        while self.error.is_none() && at < piece.len() {
            match self.step(&mut specials, at) {
                Ok(next) => at = next,
                Err(error) => self.error = Some(error),
            }
        }
        self.before += piece.len();
    }

    /// The text is whole: what was found.
    ///
    /// # Errors
    /// As [`scan`](super::scan::scan).
    pub(in crate::guard) fn finish(mut self) -> Result<[Option<Scalar>; FIELDS], ScanError> {
        // Asked first of the whole text.
        if self.characters.is_broken || !self.characters.begun.is_empty() {
            return Err(ScanError::NotJson { at: self.before, expected: "UTF-8" });
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        // A number at the top has no end of its own.
        if let Within::Number(number) = self.within {
            self.end_number(number, 0)?;
        }
        if self.expects != Expects::Nothing || self.within != Within::Nothing {
            return Err(self.wrong(0, "more"));
        }
        Ok(self.searches.into_found())
    }

    /// Takes at least one byte, or goes over to what it belongs to; where the next one stands.
    fn step(&mut self, specials: &mut Specials<'_>, at: usize) -> Result<usize, ScanError> {
        let Some(byte) = specials.bytes().get(at).copied() else { return Ok(at) };
        match self.within {
            Within::Text { is_name, escape: Escape::No } => self.text(specials, at, is_name),
            Within::Text { is_name, escape } => {
                self.escaped(byte, at, is_name, escape)?;
                Ok(at + 1)
            }
            Within::Number(number) => match number.next(byte) {
                Some(next) => {
                    self.held.push(&[byte]);
                    self.within = Within::Number(next);
                    Ok(at + 1)
                }
                None => self.end_number(number, at).map(|()| at),
            },
            Within::Word(rest, is_null) => match rest.split_first() {
                Some((expected, rest)) if *expected == byte => {
                    self.within = Within::Word(rest, is_null);
                    if rest.is_empty() {
                        self.ended(|| if is_null { Scalar::Null } else { Scalar::Other });
                    }
                    Ok(at + 1)
                }
                _ => Err(self.wrong(at, "`true`, `false` or `null`")),
            },
            Within::Nothing if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => Ok(at + 1),
            Within::Nothing => {
                self.begins(byte, at)?;
                Ok(at + 1)
            }
        }
    }

    /// Something begins or ends with this byte, which is not white.
    fn begins(&mut self, byte: u8, at: usize) -> Result<(), ScanError> {
        match (self.expects, byte) {
            (Expects::NameOrEnd | Expects::CommaOrEnd, b'}') if self.in_object() => self.shut(),
            (Expects::ElementOrEnd | Expects::CommaOrEnd, b']') if !self.in_object() => self.shut(),
            (Expects::NameOrEnd | Expects::Name, b'"') => {
                self.within = Within::Text { is_name: true, escape: Escape::No };
                self.held.begin(self.searches.reaches(self.depth as usize));
            }
            (Expects::Colon, b':') => self.expects = Expects::Value,
            (Expects::ElementOrEnd, _) => {
                self.searches.element(self.depth as usize, true);
                return self.value(byte, at);
            }
            (Expects::CommaOrEnd, b',') if self.in_object() => self.expects = Expects::Name,
            (Expects::CommaOrEnd, b',') => {
                self.searches.element(self.depth as usize, false);
                self.expects = Expects::Value;
            }
            (Expects::Value, _) => return self.value(byte, at),
            (Expects::NameOrEnd | Expects::Name, _) => return Err(self.wrong(at, "a name in quotes")),
            (Expects::Colon, _) => return Err(self.wrong(at, "`:`")),
            (Expects::CommaOrEnd, _) => return Err(self.wrong(at, "`,` or the end of a container")),
            (Expects::Nothing, _) => return Err(self.wrong(at, "the end")),
        }
        Ok(())
    }

    /// A value begins.
    fn value(&mut self, byte: u8, at: usize) -> Result<(), ScanError> {
        self.held.begin(self.searches.is_here(self.depth as usize));
        self.within = match byte {
            b'{' | b'[' => return self.open(byte == b'{', at),
            b'"' => Within::Text { is_name: false, escape: Escape::No },
            b'-' => Within::Number(Number::Minus),
            b'0' => Within::Number(Number::Zero),
            b'1'..=b'9' => Within::Number(Number::Whole),
            b't' => Within::Word(b"rue", false),
            b'f' => Within::Word(b"alse", false),
            b'n' => Within::Word(b"ull", true),
            _ => return Err(self.wrong(at, "a value")),
        };
        if byte != b'"' {
            self.held.push(&[byte]);
        }
        Ok(())
    }

    fn open(&mut self, object: bool, at: usize) -> Result<(), ScanError> {
        self.searches.found(self.depth as usize, || Scalar::Other);
        if self.depth >= self.depth_max {
            return Err(ScanError::TooDeep { at: self.before + at, depth_max: self.depth_max });
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u128::from(object);
        self.expects = if object { Expects::NameOrEnd } else { Expects::ElementOrEnd };
        Ok(())
    }

    fn shut(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
        self.value_ended();
    }

    /// A value that is no container is whole.
    fn ended(&mut self, value: impl Fn() -> Scalar) {
        self.searches.found(self.depth as usize, value);
        self.within = Within::Nothing;
        self.value_ended();
    }

    fn value_ended(&mut self) {
        self.expects = if self.depth == 0 { Expects::Nothing } else { Expects::CommaOrEnd };
    }

    /// Takes what there is of a string.
    fn text(&mut self, specials: &mut Specials<'_>, from: usize, is_name: bool) -> Result<usize, ScanError> {
        let (piece, at) = (specials.bytes(), specials.next(from));
        if !matches!(piece.get(at), Some(b'"' | b'\\') | None) {
            return Err(self.wrong(at, "no control character in a string"));
        }
        self.held.push(piece.get(from..at).unwrap_or_default());
        match piece.get(at) {
            Some(b'"') => self.end_text(is_name, at)?,
            Some(_) => {
                self.held.has_escapes = true;
                self.held.push(b"\\");
                self.within = Within::Text { is_name, escape: Escape::Begun };
            }
            None => return Ok(at),
        }
        Ok(at + 1)
    }

    fn escaped(&mut self, byte: u8, at: usize, is_name: bool, escape: Escape) -> Result<(), ScanError> {
        let escape = match (escape, byte) {
            (Escape::Begun, b'u') => Escape::Digits(4),
            (Escape::Begun, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Escape::No,
            (Escape::Digits(left), _) if byte.is_ascii_hexdigit() => match left {
                ..=1 => Escape::No,
                _ => Escape::Digits(left - 1),
            },
            (Escape::Digits(_), _) => return Err(self.wrong(at, "four hexadecimal digits")),
            _ => return Err(self.wrong(at, "an escape")),
        };
        self.held.push(&[byte]);
        self.within = Within::Text { is_name, escape };
        Ok(())
    }

    fn end_text(&mut self, is_name: bool, at: usize) -> Result<(), ScanError> {
        let held = std::mem::take(&mut self.held);
        if is_name {
            // One that is cut is longer than any that is looked for.
            let is_new = held.is_cut || self.searches.named(self.depth as usize, held.quoted());
            if !is_new {
                return Err(ScanError::DuplicateKey { at: self.before + at });
            }
            (self.within, self.expects) = (Within::Nothing, Expects::Colon);
        } else {
            self.ended(|| match held.quoted().unescape() {
                Some(text) if !held.is_cut => Scalar::Text(text.into()),
                _ => Scalar::Other,
            });
        }
        // Its memory is used again.
        self.held = held;
        Ok(())
    }

    fn end_number(&mut self, number: Number, at: usize) -> Result<(), ScanError> {
        if !number.is_whole() {
            return Err(self.wrong(at, "a digit"));
        }
        let held = std::mem::take(&mut self.held);
        let is_integer = matches!(number, Number::Zero | Number::Whole) && !held.is_cut;
        self.ended(|| match std::str::from_utf8(&held.bytes) {
            Ok(digits) if is_integer => Scalar::Integer(digits.into()),
            _ => Scalar::Other,
        });
        self.held = held;
        Ok(())
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn wrong(&self, at: usize, expected: &'static str) -> ScanError {
        ScanError::NotJson { at: self.before + at, expected }
    }
}

// === impl Number, Held, Characters ===

impl Number {
    /// What the number is with this byte behind it; `None` where it does not belong to it.
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Self::Whole,
            (Self::Zero | Self::Whole, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => Self::ExponentDigits,
            _ => return None,
        })
    }

    fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::ExponentDigits)
    }
}

impl Held {
    fn begin(&mut self, wanted: bool) {
        self.bytes.clear();
        (self.wanted, self.has_escapes, self.is_cut) = (wanted, false, false);
    }

    fn push(&mut self, bytes: &[u8]) {
        if !self.wanted || self.is_cut {
            return;
        }
        self.is_cut = self.bytes.len() + bytes.len() > HELD_BYTES_MAX;
        if !self.is_cut {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn quoted(&self) -> Quoted<'_> {
        Quoted { raw: &self.bytes, has_escapes: self.has_escapes }
    }
}

impl Characters {
    fn take(&mut self, mut piece: &[u8]) {
        while !self.is_broken && !self.begun.is_empty() && !piece.is_empty() {
            let (byte, rest) = piece.split_at(1);
            piece = rest;
            self.begun.extend_from_slice(byte);
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) => {
                    self.is_broken = error.error_len().is_some() || self.begun.len() >= CHARACTER_BYTES_MAX;
                }
            }
        }
        if self.is_broken || piece.is_ascii() {
            return;
        }
        if let Err(error) = std::str::from_utf8(piece) {
            self.is_broken = error.error_len().is_some();
            self.begun = piece.get(error.valid_up_to()..).unwrap_or_default().to_vec();
        }
    }
}

#[cfg(test)]
#[path = "piecewise_tests.rs"]
mod tests;
