//! The signature: whether one of the source's secrets made one of the request's signatures; 401 otherwise.
//!
//! A [`Scheme`] is data (a preset or the configuration's own); one engine, the [`Verifier`], reads it.
//!
//! - [`scheme`], [`template`]: what a scheme is made of, what a signature covers
//! - [`preset`], [`presets`]: the schemes that have a name
//! - [`read`]: what the request says, its head before the body is there
//! - [`odd`]: the few senders that cannot be said in data
//! - [`verifier`]: the engine
//! - [`question`]: the engine as guards
//! - [`sign`], [`signer`]: the other direction
//! - [`diagnosis`]: why a signature does not verify, for the operator
//!
//! Invariants: the raw bytes are hashed, never anything parsed; every secret is tried against every
//! signature, in constant time; a signature of another length or with anything around it is refused before
//! it is compared; two headers where one belongs are refused. Nothing is ever compared as text.

pub mod diagnosis;
mod encoding;
mod hashing;
mod key;
pub mod odd;
mod pieces;
pub mod preset;
pub mod presets;
mod public_key;
pub mod question;
pub mod read;
mod sample;
pub mod scheme;
pub mod sign;
pub mod signer;
pub mod template;
pub mod verifier;

pub use diagnosis::{Diagnosis, Finding};
pub(in crate::guard) use hashing::Hashing;
pub use odd::Odd;
pub use preset::{Checked, Preset};
pub use presets::PRESETS;
pub use question::{Signature, SignatureHead, SignatureHeadLayer, SignatureLayer};
pub use read::SIGNATURES_MAX;
pub use sample::Sample;
pub use scheme::{
    Algorithm, Encoding, Form, KeyEncoding, KeyForm, Place, Proof, Scheme, Signatures, TOLERANCE_DEFAULT,
    TimestampField, TimestampPlace, TimestampUnit, Token, UnknownWord, UrlForm,
};
pub use sign::{ProofHeaders, SignError, Signing};
pub use signer::{Occasion, Signer};
pub use template::{Part, Template, TemplateError};
pub use verifier::{ConfigError, Verifier};

use crate::domain::Secret;

/// `sources.*.verify`, without `tolerance`, which is [`replay_window::Config`](super::replay_window::Config)'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How the sender proves itself.
    pub scheme: Scheme,
    /// Any one of them may have made the signature: at least one unless the scheme is `none`, at most
    /// [`SECRETS_MAX`].
    pub secrets: Vec<Secret>,
    /// The source's URL as the sender knows it, for templates with `{url}`: scheme, host and path.
    pub public_url: Option<Box<str>>,
}

/// The most secrets of a source.
pub const SECRETS_MAX: usize = 16;
