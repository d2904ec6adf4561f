//! A secret as it was written: never shown, wiped when it goes.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use zeroize::Zeroizing;

/// The text of a secret.
#[derive(Clone)]
pub(in crate::config) struct SecretText(pub(in crate::config) Zeroizing<String>);

// === impl SecretText ===

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = SecretText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText(Zeroizing::new(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference("A secret: ${ENV_NAME}, { file: /run/secrets/x }, or the text itself for trying things out.")
    }
}

/// The schema of a text that may stand in a file.
pub(super) fn reference(description: &str) -> Schema {
    json_schema!({
        "description": description,
        "anyOf": [
            { "type": "string", "minLength": 1 },
            {
                "type": "object",
                "properties": { "file": { "type": "string", "description": "Relative to the configuration's folder." } },
                "required": ["file"],
                "additionalProperties": false,
            },
        ],
    })
}
