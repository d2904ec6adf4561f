//! Certificates and keys: as a rule the path of a file, which is read in the value's place when references are resolved.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::Deserializer;
use zeroize::Zeroizing;

use super::secret_text::{SecretText, reference};

/// The text of a PEM file; may be a key, and is never shown.
#[derive(Clone)]
pub(in crate::config) struct Pem(pub(in crate::config) Zeroizing<String>);

// === impl Pem ===

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[pem]")
    }
}

impl<'de> Deserialize<'de> for Pem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SecretText::deserialize(deserializer).map(|text| Self(text.0))
    }
}

impl JsonSchema for Pem {
    fn schema_name() -> Cow<'static, str> {
        "Pem".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference(
            "The path of a PEM file, relative to the configuration's folder; or ${ENV_NAME} with a path or the text itself.",
        )
    }
}
