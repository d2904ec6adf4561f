//! `sources.*.verify`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretText;
use crate::config::document::spanned::{At, OneOrMany};
use crate::config::quantity::Period;

/// How a sender proves itself. Which keys belong here depends on `scheme`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Verify {
    /// The kind of proof. `none` believes everybody and must be written out.
    pub(in crate::config) scheme: At<Scheme>,
    /// One secret, or several while they are rotated: any of them may match. For `basic` each is user:password.
    pub(in crate::config) secrets: Option<At<OneOrMany<SecretText>>>,
    /// How far the signed time may be from now, both ways. Only where the scheme signs a time; 300s by default.
    pub(in crate::config) tolerance: Option<At<Period>>,
    /// The URL of this source as the sender knows it. Only where `signed` has {url}.
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
    /// `hmac`: what is signed, a template of {body} {timestamp} {id} {method} {url}; {body} by default.
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

/// The kinds of proof.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Scheme {
    Appmint,
    StandardWebhooks,
    Hmac,
    Token,
    Basic,
    None,
}

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

// === impl Scheme ===

impl Scheme {
    /// The word in the configuration.
    pub(in crate::config) fn word(self) -> &'static str {
        match self {
            Self::Appmint => "appmint",
            Self::StandardWebhooks => "standard-webhooks",
            Self::Hmac => "hmac",
            Self::Token => "token",
            Self::Basic => "basic",
            Self::None => "none",
        }
    }
}
