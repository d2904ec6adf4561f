//! The schemes that have a name, as data.
//!
//! To add one: a constant here, its name in [`PRESETS`], and an interop test with the vendor's own package.

use std::borrow::Cow;

use http::HeaderName;

use super::scheme::{
    Algorithm, Encoding, Form, Hmac, KeyEncoding, KeyForm, Proof, Scheme, Text, TimestampField, Token,
};
use super::template::{Part, Template};
use crate::guard::envelope::{Lookup, Pointer};

/// Every scheme that the configuration knows by name alone, beside `hmac` and `token`, which take settings
/// of their own.
pub static PRESETS: [Scheme; 2] = [APPMINT, STANDARD_WEBHOOKS];

const JSON_ONLY: Option<Cow<'static, [Text]>> = Some(Cow::Borrowed(&[Cow::Borrowed("application/json")]));

/// The platform's own: HMAC-SHA256 of the raw body, `X-Appmint-Signature: sha256=<hex>`.
///
/// Id and type stand in the signed body; the headers serve only where the body has none. The platform's
/// event is JSON, and needs both.
pub const APPMINT: Scheme = Scheme {
    name: Cow::Borrowed("appmint"),
    proof: Proof::Hmac(Hmac {
        header: HeaderName::from_static("x-appmint-signature"),
        form: Form::Bare,
        prefix: Cow::Borrowed("sha256="),
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        signed: Template::BODY,
        timestamp: None,
        key: KeyForm::UTF8,
    }),
    event_id: Lookup {
        body: Some(Pointer::of(&[Cow::Borrowed("id")])),
        header: Some(HeaderName::from_static("x-appmint-event-id")),
        required: true,
    },
    event_type: Lookup {
        body: Some(Pointer::of(&[Cow::Borrowed("type")])),
        header: Some(HeaderName::from_static("x-appmint-event-type")),
        required: true,
    },
    content_types: JSON_ONLY,
    body_bytes_max: None,
};

/// Standard Webhooks 1.0.0, symmetric (`v1`): HMAC-SHA256 of `id.timestamp.body`, keys as `whsec_<base64>`.
///
/// The id is the signed `webhook-id`. The body's `type` is recommended there, not required.
pub const STANDARD_WEBHOOKS: Scheme = Scheme {
    name: Cow::Borrowed("standard-webhooks"),
    proof: Proof::Hmac(Hmac {
        header: HeaderName::from_static("webhook-signature"),
        form: Form::List { separator: ' ' },
        prefix: Cow::Borrowed("v1,"),
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Base64,
        signed: Template::of(&[
            Part::Id,
            Part::Literal(Cow::Borrowed(".")),
            Part::Timestamp,
            Part::Literal(Cow::Borrowed(".")),
            Part::Body,
        ]),
        timestamp: Some(TimestampField::header(HeaderName::from_static("webhook-timestamp"))),
        key: KeyForm { strip_prefix: Cow::Borrowed("whsec_"), encoding: KeyEncoding::Base64 },
    }),
    event_id: Lookup { body: None, header: Some(HeaderName::from_static("webhook-id")), required: true },
    event_type: Lookup { body: Some(Pointer::of(&[Cow::Borrowed("type")])), header: None, required: false },
    content_types: None,
    body_bytes_max: None,
};

impl Scheme {
    /// The names that [`named`](Self::named) knows.
    pub const NAMES: &[&str] = &["appmint", "standard-webhooks", "hmac", "token", "basic", "none"];

    /// The scheme with this name in the configuration; `hmac` and `token` come with their default settings.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "hmac" => Some(Self::hmac(Hmac::default(), None, None)),
            "token" => Some(Self::token(Token::default(), None, None)),
            "basic" => Some(Self::basic(None, None)),
            "none" => Some(Self::none(None, None)),
            _ => PRESETS.iter().find(|preset| preset.name == name).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_scheme() {
        for name in Scheme::NAMES {
            assert_eq!(Scheme::named(name).expect("known").name, *name);
        }
        assert_eq!(Scheme::NAMES.len(), PRESETS.len() + 4);
        assert!(Scheme::named("nonsense").is_none());
    }
}
