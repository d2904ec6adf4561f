//! Bytes in JSON: as text where they are UTF-8, which nearly all are, else as `{"base64": "…"}`.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name behind which base64 stands.
const BASE64: &str = "base64";

/// Bytes as they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Octets<'a>(pub(super) Cow<'a, [u8]>);

// === impl Octets ===

impl Octets<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> From<&'a [u8]> for Octets<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(BASE64, &STANDARD.encode(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Octets<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Bytes).map(|bytes| Self(Cow::Owned(bytes)))
    }
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, or an object with base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Vec<u8>, E> {
        Ok(text.into_bytes())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        let Some((name, text)) = map.next_entry::<String, String>()? else {
            return Err(A::Error::missing_field(BASE64));
        };
        if name != BASE64 {
            return Err(A::Error::unknown_field(&name, &[BASE64]));
        }
        STANDARD.decode(text).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were() {
        let all: Vec<u8> = (0..=255).collect();
        let cases: [&[u8]; 6] =
            [b"", b"{\"a\": 1}\r\n", "gr\u{fc}\u{df}e \u{0} \u{1f600}".as_bytes(), b"\xff\x00", &all, b"\"\\\x7f"];
        for bytes in cases {
            let text = serde_json::to_string(&Octets::from(bytes)).unwrap();
            assert_eq!(text.starts_with('"'), std::str::from_utf8(bytes).is_ok());
            assert_eq!(&*serde_json::from_str::<Octets<'_>>(&text).unwrap().0, bytes);
        }
        for wrong in ["1", "{}", "{\"hex\": \"00\"}", "{\"base64\": \"?\"}", "null"] {
            assert!(serde_json::from_str::<Octets<'_>>(wrong).is_err(), "{wrong}");
        }
    }
}
