//! A named scheme in the words of the configuration: what a [`Scheme`] is made of, and what people must know to
//! set it up.
//!
//! Places are written as in the configuration: `header:NAME`, `body:/pointer`; a signature may also stand in
//! `headers:NAME-` (counted from 1), a time in `pair:KEY` of the signature's header.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderName;

use super::odd::Odd;
use super::scheme::{
    Algorithm, Encoding, Form, KeyEncoding, KeyForm, Place, Proof, Scheme, Signatures, TimestampField, TimestampPlace,
    TimestampUnit, Token, UrlForm,
};
use super::template::Template;
use crate::guard::dedup::By;
use crate::guard::envelope::{Field, Lookup};
use crate::guard::handshake::Handshake;

/// A scheme with a name.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The word for it in the configuration.
    pub name: &'static str,
    /// Who signs like that.
    pub provider: &'static str,
    /// How they prove themselves.
    pub proof: PresetProof,
    /// Where their event id stands.
    pub event_id: PresetField,
    /// Where the event's type stands.
    pub event_type: PresetField,
    /// Where the second half of the type stands: empty where there is none.
    pub type_detail: &'static str,
    /// What two copies have in common.
    pub copies: PresetCopies,
    /// The content types that they send; empty: any.
    pub content_types: &'static [&'static str],
    /// Their own bound of a body.
    pub body_bytes_max: Option<u64>,
    /// The body of the answer that they want to see; empty: any.
    pub respond: &'static str,
    /// What they ask besides sending events.
    pub handshakes: &'static [Handshake],
    /// What `secrets` takes, and where it is found.
    pub secret: &'static str,
    /// What to set up at the provider.
    pub setup: &'static str,
    /// Where the provider says so.
    pub page: &'static str,
    /// What an operator should know besides; may be empty.
    pub note: &'static str,
    /// Whose code the scheme was checked against.
    pub checked: Checked,
}

/// How the senders of a preset prove themselves.
#[derive(Clone, Copy, Debug)]
pub enum PresetProof {
    /// By signatures.
    Signatures(PresetSignatures),
    /// By a header that equals the secret, behind a prefix that may be empty.
    Token {
        /// The lower-case name of the header.
        header: &'static str,
        /// What stands before the token.
        prefix: &'static str,
    },
    /// By a parameter of the query that equals the secret.
    Query(&'static str),
    /// In a way of their own.
    Odd(Odd),
}

/// [`Signatures`] in words.
#[derive(Clone, Copy, Debug)]
pub struct PresetSignatures {
    /// `header:NAME`, `headers:NAME-` or `body:/pointer`.
    pub place: &'static str,
    /// How they stand there.
    pub form: Form,
    /// What stands before each.
    pub prefix: &'static str,
    /// How they are computed.
    pub algorithm: Algorithm,
    /// How they are written.
    pub encoding: Encoding,
    /// The template of what they cover.
    pub signed: &'static str,
    /// `header:NAME`, `pair:KEY` or `body:/pointer`; empty where no time is signed.
    pub time: &'static str,
    /// What the time counts.
    pub time_unit: TimestampUnit,
    /// How far the time may be from now, in seconds.
    pub tolerance_seconds: u64,
    /// How the secret becomes the key.
    pub key: KeyForm,
    /// How they write the URL that they sign.
    pub url: UrlForm,
}

/// Where a field of an event stands.
#[derive(Clone, Copy, Debug)]
pub enum PresetField {
    /// Nowhere.
    Nowhere,
    /// Places, the body before the header, and events may do without.
    Optional(&'static [&'static str]),
    /// Places, the body before the header, and events without it are refused.
    Required(&'static [&'static str]),
}

/// What two copies have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresetCopies {
    /// The event's id.
    Id,
    /// Every byte of the body: for batches, and for bodies that hold their time.
    Body,
}

/// Whose code a preset was checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// This package signs and we accept.
    TheySign(&'static str),
    /// We sign and this package, the provider's own, accepts.
    TheyVerify(&'static str),
    /// We sign and this package accepts, which somebody else publishes: their own code signs or verifies nowhere.
    OthersVerify(&'static str),
    /// This package and we accept the same requests, which it cannot make and we cannot either.
    TheSame(&'static str),
    /// Nobody publishes code to check against; built by their description alone.
    No,
}

// === impl Preset ===

impl Preset {
    /// What every preset begins with.
    pub(super) const BASE: Self = Self {
        name: "",
        provider: "",
        proof: PresetProof::Token { header: "authorization", prefix: "" },
        event_id: PresetField::Nowhere,
        event_type: PresetField::Nowhere,
        type_detail: "",
        copies: PresetCopies::Id,
        content_types: &["application/json"],
        body_bytes_max: None,
        respond: "",
        handshakes: &[],
        secret: "",
        setup: "",
        page: "",
        note: "",
        checked: Checked::No,
    };

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        let text = |text: &'static str| Some(Cow::Borrowed(text)).filter(|text| !text.is_empty());
        let types = self.content_types.iter().map(|kind| Cow::Borrowed(*kind)).collect::<Vec<_>>();
        Scheme {
            name: Cow::Borrowed(self.name),
            proof: match &self.proof {
                PresetProof::Signatures(signatures) => Proof::Signatures(signatures.signatures()),
                PresetProof::Query(name) => Proof::Query(name),
                PresetProof::Odd(odd) => Proof::Odd(*odd),
                PresetProof::Token { header, prefix } => {
                    Proof::Token(Token { header: HeaderName::from_static(header), prefix: Cow::Borrowed(prefix) })
                }
            },
            event_id: self.event_id.lookup(),
            event_type: self.event_type.lookup(),
            type_detail: self.type_detail.strip_prefix("body:").and_then(|pointer| pointer.parse().ok()),
            copies: match self.copies {
                PresetCopies::Id => By::Id,
                PresetCopies::Body => By::Body,
            },
            content_types: Some(Cow::Owned(types)).filter(|types: &Cow<'_, [_]>| !types.is_empty()),
            body_bytes_max: self.body_bytes_max,
            respond: text(self.respond),
            handshakes: self.handshakes,
        }
    }
}

// === impl PresetSignatures ===

impl PresetSignatures {
    /// HMAC-SHA256 of the body in hexadecimal, the secret's bytes as key.
    pub(super) const HEX: Self = Self {
        place: "header:x-signature",
        form: Form::Bare,
        prefix: "",
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        signed: "{body}",
        time: "",
        time_unit: TimestampUnit::Seconds,
        tolerance_seconds: 300,
        key: KeyForm::UTF8,
        url: UrlForm::AsIs,
    };

    /// HMAC-SHA256 of the body in base64, the secret's bytes as key.
    pub(super) const BASE64: Self = Self { encoding: Encoding::Base64, ..Self::HEX };

    /// `t=…,v1=…` over `time.body` in hexadecimal.
    pub(super) const TIME_AND_V1: Self = Self {
        form: Form::Pairs { separator: ',', key: "v1" },
        signed: "{timestamp}.{body}",
        time: "pair:t",
        ..Self::HEX
    };

    fn signatures(&self) -> Signatures {
        let place = match self.place.split_once(':') {
            Some(("headers", name)) => Place::NumberedHeaders(Cow::Borrowed(name)),
            Some(("body", pointer)) => pointer.parse().map_or_else(|_never| no_place(), Place::Body),
            Some(("header", name)) => Place::Header(HeaderName::from_static(name)),
            _ => no_place(),
        };
        Signatures {
            place,
            form: self.form,
            prefix: Cow::Borrowed(self.prefix),
            algorithm: self.algorithm,
            encoding: self.encoding,
            signed: self.signed.parse().unwrap_or(Template::BODY),
            timestamp: self.timestamp(),
            key: self.key,
            url: self.url,
        }
    }

    fn timestamp(&self) -> Option<TimestampField> {
        let place = match self.time.split_once(':')? {
            ("pair", key) => TimestampPlace::Pair(key),
            ("body", pointer) => TimestampPlace::Body(pointer.parse().ok()?),
            (_, name) => TimestampPlace::Header(HeaderName::from_static(name)),
        };
        Some(TimestampField { place, unit: self.time_unit, tolerance: Duration::from_secs(self.tolerance_seconds) })
    }
}

/// A header that no request has: what a misspelled place would become. A test reads every preset.
fn no_place() -> Place {
    Place::Header(HeaderName::from_static("hookward-no-place"))
}

// === impl PresetField ===

impl PresetField {
    fn lookup(self) -> Lookup {
        let (places, required) = match self {
            Self::Nowhere => return Lookup::NOWHERE,
            Self::Optional(places) => (places, false),
            Self::Required(places) => (places, true),
        };
        let mut lookup = Lookup { required, ..Lookup::NOWHERE };
        for place in places {
            match place.parse() {
                Ok(Field::Body(pointer)) => lookup.body = Some(pointer),
                Ok(Field::Header(name)) => lookup.header = Some(name),
                Err(_never) => {}
            }
        }
        lookup
    }
}

/// How Standard Webhooks write a key.
pub(super) const WHSEC: KeyForm = KeyForm { strip_prefix: "whsec_", encoding: KeyEncoding::Base64 };
