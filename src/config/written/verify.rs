//! `sources.*.verify`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::SecretText;
use crate::config::document::fault::similar;
use crate::config::document::spanned::{At, OneOrMany};
use crate::config::later;
use crate::config::quantity::Period;
use crate::guard::signature::Scheme;

/// How a sender proves itself. Which keys belong here depends on `scheme`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Verify {
    /// The kind of proof. `none` believes everybody and must be written out.
    pub(in crate::config) scheme: At<SchemeName>,
    /// One secret, or several while they are rotated: any of them may match. For `basic` each is user:password.
    pub(in crate::config) secrets: Option<At<OneOrMany<SecretText>>>,
    /// What the sender's handshake must show, as it is set at the provider: `meta`, and `handshake: strava`. Without it
    /// every handshake is answered.
    pub(in crate::config) verify_token: Option<At<SecretText>>,
    /// `hmac`, `token`, `basic`, `none`: whose handshake is answered: cloudevents, microsoft-graph, monday, okta or strava.
    /// Named schemes answer their own.
    pub(in crate::config) handshake: Option<At<String>>,
    /// How far the signed time may be from now, both ways. Only where the scheme signs a time; 300s by default.
    pub(in crate::config) tolerance: Option<At<Period>>,
    /// The URL of this source as the sender knows it. Only where the sender signs it: square, twilio, hubspot, and
    /// `hmac` where `signed` has {url}.
    pub(in crate::config) public_url: Option<At<String>>,
    /// `hmac`: the header with the signature (required). `token`: the header with the token (Authorization by default).
    pub(in crate::config) header: Option<At<String>>,
    /// `hmac`, `token`: what stands before the signature or token, such as sha256=. For `token` in Authorization
    /// it is "Bearer " by default.
    pub(in crate::config) prefix: Option<At<String>>,
    /// `hmac`: the hash; sha256 by default.
    pub(in crate::config) algorithm: Option<At<Algorithm>>,
    /// `hmac`: how the signature is written; hex by default.
    pub(in crate::config) encoding: Option<At<Encoding>>,
    /// `hmac`: what is signed, a template of {body} {timestamp} {id} {method} {url} {form}; {body} by default.
    pub(in crate::config) signed: Option<At<String>>,
    /// `hmac`: the header with the signed time in seconds since 1970; none by default.
    pub(in crate::config) timestamp_header: Option<At<String>>,
    /// `hmac`, `token`, `basic`, `none`: where the event's id stands, body:/pointer or header:NAME; nowhere by default.
    pub(in crate::config) id: Option<At<String>>,
    /// `hmac`, `token`, `basic`, `none`: where the event's type stands, body:/pointer or header:NAME; nowhere by
    /// default.
    #[serde(rename = "type")]
    pub(in crate::config) event_type: Option<At<String>>,
    /// `hmac`: what the secrets are written in; utf8 by default.
    pub(in crate::config) key_encoding: Option<At<KeyEncoding>>,
}

/// The name of a scheme that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct SchemeName(pub(in crate::config) &'static str);

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Encoding {
    Hex,
    Base64,
    Base64Url,
}

/// What a secret is written in.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum KeyEncoding {
    Utf8,
    Hex,
    Base64,
}

// === impl SchemeName ===

impl<'de> Deserialize<'de> for SchemeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = SchemeName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a scheme")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<SchemeName, E> {
                let name = name.trim();
                Scheme::names().find(|known| *known == name).map(SchemeName).ok_or_else(|| E::custom(unknown(name)))
            }
        }

        deserializer.deserialize_str(Name)
    }
}

/// What is said of a name that no scheme has, its hint behind a line break.
fn unknown(name: &str) -> String {
    let hint = if let Some(feature) = later::value("Scheme", name) {
        return format!("not built yet: {feature}\nthis version refuses it rather than ignore it: choose another");
    } else if let Some(meant) = Scheme::alias(name) {
        format!("write `{meant}`: that is how it signs")
    } else if let Some(near) = similar(name, Scheme::names()) {
        format!("did you mean `{near}`?")
    } else {
        "`hookward schemes` lists them; `hmac` can be set to most of the others".to_owned()
    };
    format!("not one of the schemes\n{hint}")
}

impl JsonSchema for SchemeName {
    fn schema_name() -> Cow<'static, str> {
        "Scheme".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Scheme::names().collect();
        json_schema!({ "description": "The kinds of proof.", "type": "string", "enum": names })
    }
}
