//! A signature scheme as data: where the proof stands, what it covers and how it is written.
//!
//! One engine ([`Verifier`](super::Verifier)) reads these values; a provider is a value of [`Scheme`] and
//! no code. The configuration names a [preset](super::presets) ([`Scheme::named`]) or builds one
//! ([`Scheme::hmac`], [`Scheme::token`]).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;

use super::odd::Odd;
use super::template::{Part, Template};
use crate::guard::dedup::By;
use crate::guard::envelope::{Field, Lookup, Pointer};
use crate::guard::handshake::Handshake;

/// Text of a preset or of the configuration.
pub type Text = Cow<'static, str>;

/// Everything that the guards know about one kind of sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The word for it in the configuration, such as `appmint`.
    pub name: Text,
    /// What proves that the request is genuine.
    pub proof: Proof,
    /// Where the sender's own event id stands.
    pub event_id: Lookup,
    /// Where the event's type stands.
    pub event_type: Lookup,
    /// Where the second half of the type stands, put behind a dot where the body has it: GitHub's `pull_request`
    /// with the `action` of its body is `pull_request.opened`.
    pub type_detail: Option<Pointer>,
    /// What two copies have in common, unless the configuration says otherwise.
    pub copies: By,
    /// The content types that the sender uses, without parameters; `None` takes any.
    pub content_types: Option<Cow<'static, [Text]>>,
    /// The sender's own bound of a body; `None` leaves it to the ingress.
    pub body_bytes_max: Option<u64>,
    /// The body of the answer that the sender wants to see; `None`: any will do.
    pub respond: Option<Text>,
    /// What the sender asks besides sending events.
    pub handshakes: &'static [Handshake],
}

/// What proves that a request is genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Signatures over a template of the request.
    Signatures(Signatures),
    /// A header that equals the secret.
    Token(Token),
    /// A parameter of the query that equals the secret.
    Query(&'static str),
    /// `Authorization: Basic`; the secret is `user:password`.
    Basic,
    /// A sender that cannot be said in data.
    Odd(Odd),
    /// Nothing: everybody is believed.
    None,
}

/// Signatures over a template of the request: where they stand, how they are written, what they cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// Where they stand.
    pub place: Place,
    /// How they stand there.
    pub form: Form,
    /// What stands before each signature, such as `sha256=`; a signature without it is malformed (in a
    /// [`Form::List`] it is one of another version and passed over).
    pub prefix: Text,
    /// How they are computed.
    pub algorithm: Algorithm,
    /// How they are written.
    pub encoding: Encoding,
    /// What they cover.
    pub signed: Template,
    /// Where the signed time stands, where there is one.
    pub timestamp: Option<TimestampField>,
    /// How the secret becomes the key.
    pub key: KeyForm,
    /// How the sender writes the URL that it signs.
    pub url: UrlForm,
}

/// Where signatures stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In one header.
    Header(HeaderName),
    /// In headers that are counted from 1: the lower-case name without its number.
    NumberedHeaders(Text),
    /// In a field of the JSON body.
    Body(Pointer),
}

/// A header that equals the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The header.
    pub header: HeaderName,
    /// What stands before the token, such as `Bearer `.
    pub prefix: Text,
}

/// How signatures stand in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The value is one signature.
    Bare,
    /// `t=1700000000,v1=abc,v1=def`: pairs between separators, the signatures under one key.
    Pairs {
        /// Between two pairs, `,` or `;`.
        separator: char,
        /// The key of the signatures.
        key: &'static str,
    },
    /// Several signatures one after the other.
    List {
        /// Between two signatures, such as a space.
        separator: char,
    },
}

/// How a URL is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlForm {
    /// As it is.
    #[default]
    AsIs,
    /// With the scheme's usual port or without any: some senders do the one and some the other.
    WithOrWithoutPort,
    /// With the escapes undone of the characters that may stand in a URL as they are (HubSpot).
    Unescaped,
}

/// How a signature is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA1: some senders know no better; as a keyed hash it is not broken.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
    /// Ed25519: the secret is the sender's public key.
    Ed25519,
    /// ECDSA with P-256 and SHA-256, in DER: the secret is the sender's public key.
    EcdsaP256,
}

/// How bytes are written in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, either case.
    Hex,
    /// Base64 with padding.
    Base64,
    /// URL-safe base64, with or without padding.
    Base64Url,
}

/// How the secret becomes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyForm {
    /// Cut off before decoding where the secret starts with it, such as `whsec_`.
    pub strip_prefix: &'static str,
    /// What the rest is written in.
    pub encoding: KeyEncoding,
}

/// What a secret is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEncoding {
    /// The text's bytes are the key.
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Base64 with or without padding.
    Base64,
}

/// Where the signed time stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampField {
    /// Where.
    pub place: TimestampPlace,
    /// What it counts.
    pub unit: TimestampUnit,
    /// How far it may be from now, both ways, where the configuration does not say otherwise.
    pub tolerance: Duration,
}

/// Where a signed time stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampPlace {
    /// In a header of its own.
    Header(HeaderName),
    /// In the signature header's pairs, under this key.
    Pair(&'static str),
    /// In a field of the JSON body.
    Body(Pointer),
}

/// What a signed time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// RFC 3339 text.
    Rfc3339,
}

/// The word is none of those that are known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not known here: use one of {known}")]
pub struct UnknownWord {
    word: String,
    known: &'static str,
}

/// The tolerance of a signed time, both ways, unless scheme or configuration say otherwise.
pub const TOLERANCE_DEFAULT: Duration = Duration::from_secs(300);

// === impl Proof ===

impl Proof {
    /// Whether the body is part of what is proved, or of the proof.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        match self {
            Self::Signatures(_) | Self::Odd(_) => true,
            Self::Token(_) | Self::Query(_) | Self::Basic | Self::None => false,
        }
    }
}

// === impl Scheme ===

impl Scheme {
    /// The scheme `hmac` of the configuration: everything settable. What `event_id` and `event_type` name
    /// is needed: a request without it is refused.
    #[must_use]
    pub fn hmac(signatures: Signatures, event_id: Option<Field>, event_type: Option<Field>) -> Self {
        Self::custom("hmac", Proof::Signatures(signatures), event_id, event_type)
    }

    /// The scheme `token` of the configuration.
    #[must_use]
    pub fn token(token: Token, event_id: Option<Field>, event_type: Option<Field>) -> Self {
        Self::custom("token", Proof::Token(token), event_id, event_type)
    }

    /// The scheme `basic` of the configuration: each secret is `user:password`.
    #[must_use]
    pub fn basic(event_id: Option<Field>, event_type: Option<Field>) -> Self {
        Self::custom("basic", Proof::Basic, event_id, event_type)
    }

    /// The scheme `none` of the configuration: everybody is believed.
    #[must_use]
    pub fn none(event_id: Option<Field>, event_type: Option<Field>) -> Self {
        Self::custom("none", Proof::None, event_id, event_type)
    }

    fn custom(name: &'static str, proof: Proof, event_id: Option<Field>, event_type: Option<Field>) -> Self {
        Self {
            name: Cow::Borrowed(name),
            proof,
            event_id: Lookup::required(event_id),
            event_type: Lookup::required(event_type),
            type_detail: None,
            copies: By::Id,
            content_types: None,
            body_bytes_max: None,
            respond: None,
            handshakes: &[],
        }
    }

    /// The tolerance of the scheme's signed time; `None` where it signs none.
    #[must_use]
    pub fn tolerance(&self) -> Option<Duration> {
        match &self.proof {
            Proof::Signatures(signatures) => signatures.timestamp.as_ref().map(|timestamp| timestamp.tolerance),
            _ => None,
        }
    }

    /// Whether the sender signs the URL, which then must be known (`public_url`).
    #[must_use]
    pub fn signs_url(&self) -> bool {
        matches!(&self.proof, Proof::Signatures(signatures) if signatures.signed.has(&Part::Url))
    }

    /// Whether what the configuration calls the secret may be known to everybody: a public key.
    #[must_use]
    pub fn secret_is_public(&self) -> bool {
        match &self.proof {
            Proof::Signatures(signatures) => signatures.algorithm.has_public_key(),
            Proof::Odd(odd) => odd.secret_is_public(),
            _ => false,
        }
    }
}

impl Default for Signatures {
    /// HMAC-SHA256 of the body in hexadecimal in `X-Signature`; no timestamp; the secret's bytes as key.
    fn default() -> Self {
        Self {
            place: Place::Header(HeaderName::from_static("x-signature")),
            form: Form::Bare,
            prefix: Cow::Borrowed(""),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            signed: Template::BODY,
            timestamp: None,
            key: KeyForm::UTF8,
            url: UrlForm::AsIs,
        }
    }
}

impl Default for Token {
    /// `Authorization: Bearer …`.
    fn default() -> Self {
        Self { header: http::header::AUTHORIZATION, prefix: Cow::Borrowed("Bearer ") }
    }
}

// === impl KeyForm, TimestampField ===

impl KeyForm {
    /// The text's bytes are the key.
    pub const UTF8: Self = Self { strip_prefix: "", encoding: KeyEncoding::Utf8 };
}

impl TimestampField {
    /// Seconds in a header, with the usual tolerance of 300 s.
    #[must_use]
    pub const fn header(header: HeaderName) -> Self {
        Self { place: TimestampPlace::Header(header), unit: TimestampUnit::Seconds, tolerance: TOLERANCE_DEFAULT }
    }
}

// === impl Algorithm, Encoding, KeyEncoding ===

impl Algorithm {
    /// The fewest and the most bytes of its output.
    #[must_use]
    pub const fn output_bytes(self) -> (usize, usize) {
        match self {
            Self::Sha1 => (20, 20),
            Self::Sha256 => (32, 32),
            Self::Sha512 | Self::Ed25519 => (64, 64),
            // Two integers of 1 to 33 bytes, each behind two bytes, in a sequence.
            Self::EcdsaP256 => (8, 72),
        }
    }

    /// Whether the secret that checks is not the one that signs.
    #[must_use]
    pub const fn has_public_key(self) -> bool {
        matches!(self, Self::Ed25519 | Self::EcdsaP256)
    }
}

macro_rules! words {
    ($name:ty: $($word:literal => $value:expr),* ; $known:literal) => {
        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok($value),)*
                    _ => Err(UnknownWord { word: word.into(), known: $known }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(if *self == $value {
                    return f.write_str($word);
                })*
                Ok(())
            }
        }
    };
}

words!(
    Algorithm: "sha1" => Self::Sha1, "sha256" => Self::Sha256, "sha512" => Self::Sha512,
    "ed25519" => Self::Ed25519, "ecdsa-p256" => Self::EcdsaP256;
    "sha1, sha256, sha512, ed25519, ecdsa-p256"
);
words!(Encoding: "hex" => Self::Hex, "base64" => Self::Base64, "base64url" => Self::Base64Url; "hex, base64, base64url");
words!(KeyEncoding: "utf8" => Self::Utf8, "hex" => Self::Hex, "base64" => Self::Base64; "utf8, hex, base64");
