//! Header fields in the form that HTTP/1.1 gives them, serialised once: what is received is stored, shown and
//! sent on as these bytes.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields one after the other, each `name: value` and CR LF (RFC 9112 section 5), names in lower case.
///
/// Every way to make one keeps the form: whatever is in a block can be written into a message and cannot end
/// its head. The order is that in which the fields were added.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderBlock {
    bytes: Bytes,
    /// Some field is not end-to-end.
    mixed: bool,
}

/// Puts fields one after the other.
#[derive(Debug, Default)]
pub struct HeaderBlockBuilder {
    bytes: Vec<u8>,
    mixed: bool,
}

/// The fields of a block, in their order.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Names the reasons for which guards would have refused an event, where they only report: the only field of ours that is
/// kept with an event.
pub const REPORTED: &str = "hookward-reported";

/// Bytes of a field besides its name and its value.
const FIELD_BYTES: usize = 4;

// === impl HeaderBlock ===

impl HeaderBlock {
    /// The block that these bytes are; `None` where they are anything else.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        let mut rest = &*bytes;
        let mut mixed = false;
        while !rest.is_empty() {
            let (name, after) = rest.split_at_checked(memchr::memchr(b':', rest)?)?;
            let (line, after) = after.split_at_checked(memchr::memchr(b'\n', after)? + 1)?;
            let value = line.strip_prefix(b": ")?.strip_suffix(b"\r\n")?;
            if !is_name(name) || name.iter().any(u8::is_ascii_uppercase) || !is_value(value) {
                return None;
            }
            mixed |= !str::from_utf8(name).is_ok_and(is_end_to_end);
            rest = after;
        }
        Some(Self { bytes, mixed })
    }

    /// The same block in other memory; itself where these are other bytes.
    #[must_use]
    pub fn moved_to(self, memory: Bytes) -> Self {
        if self.bytes == memory { Self { bytes: memory, ..self } } else { self }
    }

    /// The bytes as they go over a wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether every field is one that [is passed on](is_end_to_end).
    #[must_use]
    pub fn is_end_to_end(&self) -> bool {
        !self.mixed
    }

    /// Every field as name and value.
    #[must_use]
    pub fn iter(&self) -> Fields<'_> {
        Fields { rest: &self.bytes }
    }

    /// The values of a field, whose name is given in lower case.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The first value of a field, whose name is given in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The same fields for those who look up many.
    #[must_use]
    pub fn to_map(&self) -> HeaderMap {
        let field = |(name, value): (&str, &[u8])| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in self.iter().filter_map(field) {
            headers.append(name, value);
        }
        headers
    }
}

impl From<&HeaderMap> for HeaderBlock {
    fn from(headers: &HeaderMap) -> Self {
        let mut block = HeaderBlockBuilder::with_capacity(headers);
        for (name, value) in headers {
            block.add(name, value);
        }
        block.finish()
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for HeaderBlock {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(fields: T) -> Self {
        let mut block = HeaderBlockBuilder::default();
        for (name, value) in fields {
            block.add(&name, &value);
        }
        block.finish()
    }
}

impl<'a> IntoIterator for &'a HeaderBlock {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = Fields<'a>;

    fn into_iter(self) -> Fields<'a> {
        self.iter()
    }
}

/// Names only: values may be credentials.
impl fmt::Debug for HeaderBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

// === impl HeaderBlockBuilder ===

impl HeaderBlockBuilder {
    /// Room for all of these fields.
    #[must_use]
    pub fn with_capacity(headers: &HeaderMap) -> Self {
        Self::with_room(headers, 0)
    }

    /// Room for all of these fields, and for so many bytes of others.
    #[must_use]
    pub fn with_room(headers: &HeaderMap, more: usize) -> Self {
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES).sum();
        Self { bytes: Vec::with_capacity(bytes + more), mixed: false }
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a field.
    pub fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.mixed |= !is_end_to_end(name.as_str());
        self.write(name.as_str().as_bytes(), value.as_bytes());
    }

    /// Adds a field of which the caller knows that it is [passed on](is_end_to_end).
    pub fn add_end_to_end(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.write(name.as_str().as_bytes(), value.as_bytes());
    }

    /// Adds a field of our own, named in lower case, whose value is these parts in a row; left out where one cannot stand
    /// in a value.
    pub fn add_ours(&mut self, name: &'static str, value: &[&[u8]]) {
        debug_assert!(is_name(name.as_bytes()), "{name}");
        if value.iter().all(|part| is_value(part)) {
            self.mixed = true;
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(b": ");
            value.iter().for_each(|part| self.bytes.extend_from_slice(part));
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    /// The fields so far, as they go over a wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The fields so far as name and value.
    #[must_use]
    pub fn iter(&self) -> Fields<'_> {
        Fields { rest: &self.bytes }
    }

    /// Adds a field whose name may be written in any case; false, and nothing is added, where name or value
    /// cannot stand in a message.
    pub fn try_add(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !is_name(name) || !is_value(value) {
            return false;
        }
        let start = self.bytes.len();
        self.write(name, value);
        if let Some(name) = self.bytes.get_mut(start..start + name.len()) {
            name.make_ascii_lowercase();
            self.mixed |= !str::from_utf8(name).is_ok_and(is_end_to_end);
        }
        true
    }

    /// The block.
    #[must_use]
    pub fn finish(self) -> HeaderBlock {
        HeaderBlock { bytes: self.bytes.into(), mixed: self.mixed }
    }

    fn write(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.reserve(name.len() + value.len() + FIELD_BYTES);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

// === impl Fields ===

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // Whatever is not as it was made ends the block; that cannot happen.
        let (name, after) = self.rest.split_at_checked(memchr::memchr(b':', self.rest)?)?;
        let (line, rest) = after.split_at_checked(memchr::memchr(b'\n', after)? + 1)?;
        self.rest = rest;
        Some((std::str::from_utf8(name).ok()?, line.get(2..line.len().checked_sub(2)?)?))
    }
}

/// `token` (RFC 9110 section 5.6.2).
fn is_name(name: &[u8]) -> bool {
    const TOKEN: [bool; 256] = token();
    let is_token = |byte: &u8| TOKEN.get(usize::from(*byte)).copied().unwrap_or_default();
    !name.is_empty() && name.iter().all(is_token)
}

#[allow(clippy::indexing_slicing, reason = "evaluated while compiling: going too far would be noticed there")]
const fn token() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        byte += 1;
    }
    table
}

/// What may stand in a value (RFC 9110 section 5.5): no control character but a tab.
#[must_use]
pub fn is_value(value: &[u8]) -> bool {
    // Without a way out in the middle: many bytes are looked at in one step.
    !value.iter().fold(false, |bad, byte| bad | (*byte < b' ' && *byte != b'\t') | (*byte == 0x7f))
}

/// Whether a field, named in lower case, speaks about the event and not about one connection or the framing of
/// one message (RFC 9110 section 7.6.1). `Hookward-*` is ours: nobody else says it.
#[must_use]
pub fn is_end_to_end(name: &str) -> bool {
    match name {
        "connection"
        | "content-length"
        | "expect"
        | "host"
        | "keep-alive"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "proxy-connection"
        | "te"
        | "trailer"
        | "transfer-encoding"
        | "upgrade" => false,
        _ => !name.starts_with("hookward-"),
    }
}

/// Whether a field, named in lower case, can stand behind a body (RFC 9110 section 6.5.1): nothing that says how to read or
/// keep a message, or who may.
#[must_use]
pub fn is_trailer(name: &str) -> bool {
    is_end_to_end(name)
        && !name.starts_with("content-")
        && !matches!(name, "authorization" | "cache-control" | "max-forwards" | "set-cookie")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-b", &b"one"[..]), ("x-a", b""), ("x-b", b"tw\xf6: \ttwo ")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_block_is_the_wire_form_and_leads_back_to_its_fields() {
        let block = HeaderBlock::from(&map());
        assert_eq!(block.as_bytes(), b"x-b: one\r\nx-b: tw\xf6: \ttwo \r\nx-a: \r\n");
        assert_eq!(block.to_map(), map());
        assert_eq!(block.get_all("x-b").collect::<Vec<_>>(), [&b"one"[..], b"tw\xf6: \ttwo "]);
        assert_eq!((block.get("x-a"), block.get("x")), (Some(&b""[..]), None));
        assert_eq!(HeaderBlock::from_bytes(block.bytes.clone()), Some(block));
        assert_eq!(HeaderBlock::default().iter().next(), None);
    }

    #[test]
    fn what_could_end_a_head_or_a_line_never_gets_into_a_block() {
        for bytes in [
            &b"x"[..],
            b"x: y",
            b"x: y\n",
            b"x: y\r\r\n",
            b"x:y\r\n",
            b": y\r\n",
            b"X: y\r\n",
            b"x y: z\r\n",
            b"x: y\0\r\n",
            b"x: y\r\n\r\n",
            b"x: y\r\n z\r\n",
            b"\r\n",
        ] {
            assert_eq!(HeaderBlock::from_bytes(Bytes::copy_from_slice(bytes)), None, "{bytes:?}");
        }
        let mut block = HeaderBlockBuilder::default();
        for (name, value) in [("", "y"), ("x:", "y"), ("x\r\n", "y"), ("x", "y\r\nz: 1"), ("x", "\n"), ("x", "\x7f")] {
            assert!(!block.try_add(name.as_bytes(), value.as_bytes()), "{name} {value}");
        }
        assert!(block.try_add(b"X-Served-By", b"crm"));
        assert_eq!(block.finish().as_bytes(), b"x-served-by: crm\r\n");
    }

    #[test]
    fn a_block_knows_whether_all_of_it_is_passed_on() {
        for (name, passed_on) in [
            ("content-type", true),
            ("x-hookward-", true),
            ("TE", false),
            ("Content-Length", false),
            ("Hookward-X", false),
        ] {
            let mut block = HeaderBlockBuilder::default();
            assert!(block.try_add(b"x-first", b"") && block.try_add(name.as_bytes(), b"") && block.try_add(b"x", b""));
            let block = block.finish();
            assert_eq!(block.is_end_to_end(), passed_on, "{name}");
            assert_eq!(HeaderBlock::from(&block.to_map()), block);
            assert_eq!(HeaderBlock::from_bytes(block.bytes.clone()), Some(block));
        }
    }

    #[test]
    fn values_are_not_shown() {
        assert_eq!(format!("{:?}", HeaderBlock::from(&map())), r#"["x-b", "x-b", "x-a"]"#);
    }
}
