//! `sources.*.app`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::config::document::spanned::{At, WORD_OR_STRUCT};

/// A URL, or a mapping with one.
#[derive(Debug)]
pub(in crate::config) enum App {
    Url(String),
    Settings { url: At<String>, http: Option<At<Http>> },
}

/// Which HTTP an app is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::config) enum Http {
    #[serde(rename = "1.1")]
    One,
    #[serde(rename = "2")]
    Two,
    #[serde(rename = "auto")]
    Auto,
}

/// An app, and how it is spoken to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "App")]
struct AppSettings {
    /// The URL.
    url: At<String>,
    /// The HTTP that is spoken to it: 1.1; 2, which a URL with http:// must speak without being asked; or `auto`, what it
    /// prefers of both in the TLS handshake.
    #[schemars(extend("default" = "1.1"))]
    http: Option<At<Http>>,
}

// === impl App, Http ===

impl<'de> Deserialize<'de> for App {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD_OR_STRUCT, UrlOrSettings)
    }
}

struct UrlOrSettings;

impl<'de> serde::de::Visitor<'de> for UrlOrSettings {
    type Value = App;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a URL, or a mapping with url and http")
    }

    fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<App, E> {
        Ok(App::Url(url.to_owned()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<App, D::Error> {
        AppSettings::deserialize(deserializer).map(|AppSettings { url, http }| App::Settings { url, http })
    }
}

impl JsonSchema for App {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "UrlOrApp".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<AppSettings>();
        json_schema!({ "anyOf": [{ "type": "string" }, settings] })
    }
}

impl JsonSchema for Http {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Http".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Without quotes YAML has numbers here.
        json_schema!({ "enum": ["1.1", "2", "auto", 1.1, 2] })
    }
}
