//! An entry of `allow_ips`: an address, a network, the lines of a file, or a list that somebody publishes.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::config::document::spanned::{At, OneOrMany, WORD_OR_STRUCT};
use crate::config::quantity::Period;

/// An entry.
#[derive(Debug)]
pub(in crate::config) enum AllowEntry {
    /// An address, a network, or several of them in lines.
    Text(String),
    /// A list that is followed.
    Feed(At<Feed>),
    /// Such a list as it stands in a file: what the file holds.
    Copy(At<Feed>, At<String>),
    /// A mapping that names neither a file nor a feed.
    Unclear,
}

/// A list that is followed.
#[derive(Debug)]
pub(in crate::config) enum Feed {
    /// By its name.
    Named(String),
    /// By its settings.
    Settings(FeedSettings),
}

/// `{ feed: … }`; a file that could not be read is still here, and said by whoever tried.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "AllowEntry")]
struct FeedEntry {
    feed: Option<At<Feed>>,
    file: Option<At<String>>,
}

/// A list of addresses that somebody publishes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Feed")]
pub(in crate::config) struct FeedSettings {
    /// Where it is: https, or http on this machine. Not with `file`.
    pub(in crate::config) url: Option<At<String>>,
    /// `text`: an entry a line; `json`: what stands at `pointer`. By default json where there is a pointer.
    pub(in crate::config) format: Option<At<FeedFormat>>,
    /// JSON pointers to an entry or a list of them; `*` stands for every item or value: /items/*/cidr.
    pub(in crate::config) pointer: Option<At<OneOrMany<String>>>,
    /// How often it is asked for, 1s to 7d.
    #[schemars(extend("default" = "1h"))]
    pub(in crate::config) refresh: Option<At<Period>>,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum FeedFormat {
    Text,
    Json,
}

struct EntryVisitor;

struct FeedVisitor;

// === impl AllowEntry, Feed ===

impl<'de> Deserialize<'de> for AllowEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD_OR_STRUCT, EntryVisitor)
    }
}

impl<'de> serde::de::Visitor<'de> for EntryVisitor {
    type Value = AllowEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, a network, { file: … } or { feed: … }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AllowEntry, E> {
        Ok(AllowEntry::Text(text.to_owned()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<AllowEntry, D::Error> {
        let FeedEntry { feed, file } = FeedEntry::deserialize(deserializer)?;
        Ok(match (feed, file) {
            (Some(feed), None) => AllowEntry::Feed(feed),
            (None, Some(_unread)) => AllowEntry::Text(String::new()),
            (Some(feed), Some(file)) => AllowEntry::Copy(feed, file),
            (None, None) => AllowEntry::Unclear,
        })
    }
}

impl<'de> Deserialize<'de> for Feed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD_OR_STRUCT, FeedVisitor)
    }
}

impl<'de> serde::de::Visitor<'de> for FeedVisitor {
    type Value = Feed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a feed, or a mapping with its url")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Feed, E> {
        Ok(Feed::Named(name.to_owned()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Feed, D::Error> {
        FeedSettings::deserialize(deserializer).map(Feed::Settings)
    }
}

impl JsonSchema for AllowEntry {
    fn schema_name() -> Cow<'static, str> {
        "AllowEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let feed = generator.subschema_for::<Feed>();
        json_schema!({
            "description": "An address, a network such as 192.0.2.0/24, a file with one of them a line, or a list that somebody publishes.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "file": { "type": "string", "description": "Relative to the configuration's folder." } },
                    "required": ["file"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": {
                        "feed": feed,
                        "file": { "type": "string", "description": "The list, fetched by somebody else; relative to the configuration's folder." },
                    },
                    "required": ["feed"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl JsonSchema for Feed {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FeedOrName".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<FeedSettings>();
        let names: Vec<&str> = crate::guard::allow_ips::feed::NAMED.iter().map(|named| named.name).collect();
        json_schema!({
            "description": "The name of a list that its provider publishes, or where another one is.",
            "anyOf": [{ "type": "string", "examples": names }, settings],
        })
    }
}
