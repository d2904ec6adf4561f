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
pub struct HeaderBlock(Bytes);

/// Puts fields one after the other.
#[derive(Debug, Default)]
pub struct HeaderBlockBuilder(Vec<u8>);

/// The fields of a block, in their order.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// Bytes of a field besides its name and its value.
const FIELD_BYTES: usize = 4;

// === impl HeaderBlock ===

impl HeaderBlock {
    /// The block that these bytes are; `None` where they are anything else.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        let mut rest = &*bytes;
        while !rest.is_empty() {
            let (name, after) = rest.split_at_checked(memchr::memchr(b':', rest)?)?;
            let (line, after) = after.split_at_checked(memchr::memchr(b'\n', after)? + 1)?;
            let value = line.strip_prefix(b": ")?.strip_suffix(b"\r\n")?;
            if !is_name(name) || name.iter().any(u8::is_ascii_uppercase) || !is_value(value) {
                return None;
            }
            rest = after;
        }
        Some(Self(bytes))
    }

    /// The same block in other memory; itself where these are other bytes.
    #[must_use]
    pub fn moved_to(self, memory: Bytes) -> Self {
        if self.0 == memory { Self(memory) } else { self }
    }

    /// The bytes as they go over a wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every field as name and value.
    #[must_use]
    pub fn iter(&self) -> Fields<'_> {
        Fields { rest: &self.0 }
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
        let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES).sum();
        Self(Vec::with_capacity(bytes))
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Adds a field.
    pub fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.write(name.as_str().as_bytes(), value.as_bytes());
    }

    /// Adds a field whose name may be written in any case; false, and nothing is added, where name or value
    /// cannot stand in a message.
    pub fn try_add(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !is_name(name) || !is_value(value) {
            return false;
        }
        let start = self.0.len();
        self.write(name, value);
        if let Some(name) = self.0.get_mut(start..start + name.len()) {
            name.make_ascii_lowercase();
        }
        true
    }

    /// The block.
    #[must_use]
    pub fn finish(self) -> HeaderBlock {
        HeaderBlock(self.0.into())
    }

    fn write(&mut self, name: &[u8], value: &[u8]) {
        self.0.reserve(name.len() + value.len() + FIELD_BYTES);
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value);
        self.0.extend_from_slice(b"\r\n");
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
    let is_token = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
    };
    !name.is_empty() && name.iter().all(is_token)
}

/// What may stand in a value (RFC 9110 section 5.5): no control character but a tab.
#[must_use]
pub fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..))
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
        assert_eq!(HeaderBlock::from_bytes(block.0.clone()), Some(block));
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
    fn values_are_not_shown() {
        assert_eq!(format!("{:?}", HeaderBlock::from(&map())), r#"["x-b", "x-b", "x-a"]"#);
    }
}
