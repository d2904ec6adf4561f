//! `sources.*`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::{AllowEntry, App, Verify};
use crate::config::document::spanned::{At, OneOrMany};
use crate::config::quantity::{Period, Size};

/// Who sends to us: a path and its guards, in the order in which a request meets them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Source {
    /// The path of the ingress that belongs to this source.
    #[schemars(regex(pattern = r"^(/|.*\$\{)"))]
    pub(in crate::config) path: At<String>,
    /// `queue`: kept durably, then answered, then delivered by the routes. `proxy`: checked, then passed on to `app`, whose
    /// answer goes back; nothing is kept, and no route takes it.
    #[schemars(extend("default" = "queue"))]
    pub(in crate::config) mode: Option<At<Mode>>,
    /// The app that requests are passed on to, with the source's path and the query behind its URL; `mode: proxy` only. A URL,
    /// or `{ url, http }`.
    pub(in crate::config) app: Option<At<App>>,
    /// What happens while the app cannot be reached; `mode: proxy` only. `reject`: 502, and the sender tries again. `keep`: the
    /// event is kept durably, answered with 2xx, and delivered to the app as to a destination, which is called `app:` and the
    /// source's name.
    #[schemars(extend("default" = "reject"))]
    pub(in crate::config) if_app_fails: Option<At<IfAppFails>>,
    /// What happens while the store cannot be asked whether an event is a copy; `mode: proxy` only. `closed`: 503, and the
    /// sender tries again. `open`: it is passed on all the same, marked with `Hookward-Dedup: off`.
    #[schemars(extend("default" = "closed"))]
    pub(in crate::config) fail: Option<At<Fail>>,
    /// `on`: the guards refuse what they find wrong. `report`: they refuse nothing; what they would have refused is counted,
    /// noted in the ledger and marked with `Hookward-Reported`. For moving in.
    #[schemars(extend("default" = "on"))]
    pub(in crate::config) enforce: Option<At<Enforce>>,
    /// Methods that are taken; others are answered with 405.
    #[schemars(extend("default" = ["POST"]))]
    pub(in crate::config) methods: Option<At<Vec<At<String>>>>,
    /// Content types that are taken, without parameters; others are answered with 415. By default what the scheme's
    /// senders use: application/json for most providers, any for `hmac`, `token`, `basic` and `none`.
    pub(in crate::config) content_types: Option<At<Vec<At<String>>>>,
    /// The largest body; more is answered with 413. By default the scheme's, else the ingress's.
    pub(in crate::config) body_bytes_max: Option<At<Size>>,
    /// What a sender hears when its event is kept.
    pub(in crate::config) respond: Option<At<Respond>>,
    /// Who may send: addresses, networks, { file: … } with one a line, or { feed: … }, a list that a provider
    /// publishes. Everybody by default.
    pub(in crate::config) allow_ips: Option<At<OneOrMany<AllowEntry>>>,
    /// How fast may be sent, one limit or several. No limit by default.
    pub(in crate::config) rate_limit: Option<At<OneOrMany<RateLimit>>>,
    /// How a sender proves itself.
    pub(in crate::config) verify: At<Verify>,
    /// What makes an event a copy of another; `off` delivers copies again.
    pub(in crate::config) dedup: Option<At<Dedup>>,
}

/// What becomes of requests while the store cannot be asked.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Fail {
    Closed,
    Open,
}

/// How events are taken.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Mode {
    Queue,
    Proxy,
}

/// What happens while the app cannot be reached.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum IfAppFails {
    Reject,
    Keep,
}

/// Whether the guards refuse.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Enforce {
    On,
    Report,
}

/// What a sender hears when its event is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Respond {
    /// A 2xx status.
    #[schemars(extend("default" = 200), range(min = 200, max = 299))]
    pub(in crate::config) status: Option<At<u16>>,
    /// The body.
    #[schemars(extend("default" = "OK"))]
    pub(in crate::config) body: Option<At<String>>,
    /// The body's type.
    #[schemars(extend("default" = "text/plain; charset=utf-8"))]
    pub(in crate::config) content_type: Option<At<String>>,
}

/// How fast may be sent: a steady rate with a burst.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RateLimit {
    /// As many requests as this …
    #[schemars(range(min = 1))]
    pub(in crate::config) requests: At<u32>,
    /// … in this time, evenly spread. At most 24h.
    pub(in crate::config) per: At<Period>,
    /// As many at once after a rest; as many as `requests` by default.
    #[schemars(range(min = 1))]
    pub(in crate::config) burst: Option<At<u32>>,
    /// What counts as one client: `ip` (v6 by /64), `source` (all together), or `header:NAME`.
    #[schemars(extend("default" = "ip"), regex(pattern = r"^(ip|source|header:.+|.*\$\{.*)$"))]
    pub(in crate::config) by: Option<At<String>>,
}

/// `off`, or what makes a copy.
#[derive(Debug)]
pub(in crate::config) enum Dedup {
    Off,
    On { window: Option<At<Period>>, by: Option<At<String>> },
}

/// What makes an event a copy of another.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Dedup")]
struct DedupSettings {
    /// How long copies are told as such.
    #[schemars(extend("default" = "96h"))]
    window: Option<At<Period>>,
    /// What two copies have in common: `id` (the sender's own id), `body`, `header:NAME`, or a pointer such as /data/id.
    #[schemars(extend("default" = "id"), regex(pattern = r"^(id|body|header:.+|/.*|.*\$\{.*)$"))]
    by: Option<At<String>>,
}

// === impl Dedup ===

impl<'de> Deserialize<'de> for Dedup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(crate::config::document::spanned::WORD_OR_STRUCT, WordOrSettings)
    }
}

struct WordOrSettings;

impl<'de> serde::de::Visitor<'de> for WordOrSettings {
    type Value = Dedup;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("`off`, or a mapping with window and by")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Dedup, E> {
        match word {
            "off" | "Off" | "OFF" => Ok(Dedup::Off),
            _ => Err(E::custom("not `off`\nwrite `off`, or `{ window: 96h, by: id }`")),
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dedup, D::Error> {
        DedupSettings::deserialize(deserializer).map(|DedupSettings { window, by }| Dedup::On { window, by })
    }
}

impl JsonSchema for Dedup {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DedupOrOff".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<DedupSettings>();
        json_schema!({ "anyOf": [{ "enum": ["off", false] }, settings] })
    }
}
