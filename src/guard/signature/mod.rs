//! The signature: whether one of the source's secrets made one of the request's signatures; 401 otherwise.
//!
//! A [`Scheme`] is data (a preset or the configuration's own); one engine reads it.
//!
//! - [`scheme`]: what a scheme is made of
//! - [`template`]: what a signature covers
//! - [`presets`]: the schemes that have a name

pub mod presets;
pub mod scheme;
pub mod template;

pub use presets::PRESETS;
pub use scheme::{
    Algorithm, Encoding, Form, Hmac, KeyEncoding, KeyForm, Proof, Scheme, TOLERANCE_DEFAULT, TimestampField,
    TimestampPlace, TimestampUnit, Token, UnknownWord,
};
pub use template::{Part, Template, TemplateError};

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
