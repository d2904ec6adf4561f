//! The way to the few fields that are asked for, for whoever walks through a JSON text.

use std::borrow::Cow;

use super::pointer::Pointer;

/// The ways to all fields.
pub(super) struct Searches<'p, V, const FIELDS: usize> {
    /// No field lies deeper.
    reach: usize,
    each: [Search<'p, V>; FIELDS],
}

/// The way to one field.
struct Search<'p, V> {
    tokens: &'p [Cow<'static, str>],
    /// As many tokens lead to where the walk stands.
    matched: usize,
    /// A bit for each token that has been met.
    met: u32,
    /// The element of the array that the next token counts in.
    element: usize,
    found: Option<V>,
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy)]
pub(super) struct Quoted<'a> {
    /// UTF-8.
    pub(super) raw: &'a [u8],
    pub(super) has_escapes: bool,
}

// === impl Searches ===

// Inlined by force, as the walk that asks.

impl<'p, V, const FIELDS: usize> Searches<'p, V, FIELDS> {
    /// To the fields at these pointers; an absent pointer finds nothing.
    pub(super) fn new(pointers: [Option<&'p Pointer>; FIELDS]) -> Self {
        let each = pointers.map(|pointer| {
            let tokens = pointer.map_or(&[][..], Pointer::tokens);
            Search { tokens, matched: 0, met: 0, element: 0, found: None }
        });
        Self { reach: each.iter().map(|search| search.tokens.len()).max().unwrap_or_default(), each }
    }

    /// What was found.
    pub(super) fn into_found(self) -> [Option<V>; FIELDS] {
        self.each.map(|search| search.found)
    }

    /// Whether a field may lie at this depth or below.
    pub(super) fn reaches(&self, depth: usize) -> bool {
        depth <= self.reach
    }

    /// Whether the value that begins is one of the fields.
    pub(super) fn is_here(&self, depth: usize) -> bool {
        self.reaches(depth) && self.each.iter().any(|search| search.is_here(depth))
    }

    /// A member of this name begins; false where it is on the way to a field and was there before.
    #[inline(always)]
    pub(super) fn named(&mut self, depth: usize, name: Quoted<'_>) -> bool {
        let searches = if depth <= self.reach { self.each.as_mut_slice() } else { &mut [] };
        for search in searches {
            if let Some(token) = search.step(depth, |token, _| name.is(token)) {
                if search.met & token != 0 {
                    return false;
                }
                search.met |= token;
            }
        }
        true
    }

    /// An array's element begins.
    pub(super) fn element(&mut self, depth: usize, is_first: bool) {
        if depth > self.reach {
            return;
        }
        for search in &mut self.each {
            if search.matched.min(depth - 1) + 1 == depth {
                search.element = if is_first { 0 } else { search.element.saturating_add(1) };
            }
            let token = search.step(depth, |token, element| token.parse() == Ok(element));
            match token {
                // An index is met once; the count has been another array's since.
                Some(token) if search.met & token != 0 => search.matched = depth - 1,
                Some(token) => search.met |= token,
                None => {}
            }
        }
    }

    /// A value was read, or a container begins.
    #[inline(always)]
    pub(super) fn found(&mut self, depth: usize, value: impl Fn() -> V) {
        if depth > self.reach {
            return;
        }
        for search in &mut self.each {
            if search.is_here(depth) {
                search.found = Some(value());
            }
        }
    }
}

// === impl Search ===

impl<V> Search<'_, V> {
    /// A member or element at `depth` begins: does the next token lead there?
    fn step(&mut self, depth: usize, leads: impl FnOnce(&str, usize) -> bool) -> Option<u32> {
        self.matched = self.matched.min(depth - 1);
        let token = self.tokens.get(depth - 1).filter(|_| self.matched == depth - 1)?;
        leads(token, self.element).then(|| {
            self.matched = depth;
            1 << (depth - 1)
        })
    }

    fn is_here(&self, depth: usize) -> bool {
        depth > 0 && self.matched == depth && self.tokens.len() == depth
    }
}

// === impl Quoted ===

impl<'a> Quoted<'a> {
    fn is(self, name: &str) -> bool {
        if self.has_escapes { self.unescape().is_some_and(|text| text == name) } else { self.raw == name.as_bytes() }
    }

    /// The text; `None` where it has a lone surrogate.
    pub(super) fn unescape(self) -> Option<Cow<'a, str>> {
        let raw = std::str::from_utf8(self.raw).ok()?;
        if !self.has_escapes {
            return Some(Cow::Borrowed(raw));
        }
        // The string has been validated, so that only surrogates can go wrong here.
        let mut units = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((plain, escaped)) = rest.split_once('\\') {
            units.extend(plain.encode_utf16());
            let mut characters = escaped.chars();
            units.push(match characters.next()? {
                'b' => 0x08,
                'f' => 0x0c,
                'n' => 0x0a,
                'r' => 0x0d,
                't' => 0x09,
                'u' => u16::from_str_radix(escaped.get(1..5)?, 16).ok()?,
                other => u16::try_from(u32::from(other)).ok()?,
            });
            rest = if escaped.starts_with('u') { escaped.get(5..)? } else { characters.as_str() };
        }
        units.extend(rest.encode_utf16());
        String::from_utf16(&units).ok().map(Cow::Owned)
    }
}
