//! The engine: a scheme and its secrets, checked once and ready for every request.

use hmac::digest::Digest;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::encoding::{Hash, decode_base64, decode_key};
use super::key::Keyed;
use super::read::{Read, malformed, single};
use super::scheme::{Algorithm, Form, Hmac, KeyEncoding, Proof, Scheme, TimestampPlace, Token};
use super::template::Part;
use super::{Config, SECRETS_MAX};
use crate::domain::{Facts, Reason, Rejection, Secret};
use crate::guard::layer::Head;

/// Checks the signatures of one source, and makes them.
#[derive(Debug)]
pub struct Verifier {
    pub(super) scheme: Scheme,
    pub(super) secrets: Vec<Secret>,
    pub(super) public_url: Option<Box<str>>,
    pub(super) keys: Keys,
}

/// The secrets as the proof needs them, in their order.
#[derive(Debug)]
pub(super) enum Keys {
    Hmac(Vec<Keyed>),
    /// SHA-256 of each secret: equal length whatever is compared.
    Equal(Vec<[u8; 32]>),
    None,
}

/// A scheme and secrets that cannot work together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No secret, or too many.
    #[error("the scheme `{scheme}` needs 1 to {SECRETS_MAX} secrets, there are {found}")]
    SecretCount {
        /// The scheme's name.
        scheme: String,
        /// How many there are.
        found: usize,
    },
    /// `none` with secrets.
    #[error("the scheme `none` checks nothing: remove the secrets, or name the scheme that they are for")]
    SecretsUnused,
    /// A secret without a byte.
    #[error("secret {number} is empty")]
    SecretEmpty {
        /// Which, counted from 1.
        number: usize,
    },
    /// A secret that is not written as the scheme wants it.
    #[error("secret {number} is not written in {encoding}")]
    SecretEncoding {
        /// Which, counted from 1.
        number: usize,
        /// What the scheme wants.
        encoding: KeyEncoding,
    },
    /// A secret of `basic` without a colon.
    #[error("secret {number} of the scheme `basic` is not of the form user:password")]
    SecretNotBasic {
        /// Which, counted from 1.
        number: usize,
    },
    /// `{timestamp}` without a place to read it from.
    #[error("what is signed has {{timestamp}}: say in `timestamp_header` where it stands")]
    TimestampNowhere,
    /// A timestamp that the signature does not cover.
    #[error("a timestamp that is not signed protects from nothing: put {{timestamp}} into `signed`")]
    TimestampUnsigned,
    /// A timestamp under a key of pairs that do not exist.
    #[error("the timestamp stands in the signature header's pairs, but that header has none")]
    TimestampWithoutPairs,
    /// `{id}` without a header to read it from.
    #[error("what is signed has {{id}}: say in `id` which header it stands in (`header:NAME`)")]
    IdNotInHeader,
    /// `{url}` without `public_url`.
    #[error("what is signed has {{url}}: say in `public_url` how the sender calls this source")]
    PublicUrlMissing,
}

// === impl Verifier ===

impl Verifier {
    /// Checks that scheme and secrets fit and prepares the keys.
    ///
    /// # Errors
    /// They do not fit.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let Config { scheme, secrets, public_url } = config;
        if matches!(scheme.proof, Proof::None) {
            if !secrets.is_empty() {
                return Err(ConfigError::SecretsUnused);
            }
        } else if secrets.is_empty() || secrets.len() > SECRETS_MAX {
            return Err(ConfigError::SecretCount { scheme: scheme.name.to_string(), found: secrets.len() });
        }
        let keys = match &scheme.proof {
            Proof::Hmac(hmac) => {
                check_template(hmac, scheme, public_url.as_deref())?;
                Keys::Hmac(each_secret(secrets, |number, secret| hmac_key(hmac, number, secret))?)
            }
            Proof::Token(_) => Keys::Equal(each_secret(secrets, |_, secret| Ok(Sha256::digest(secret).into()))?),
            Proof::Basic => Keys::Equal(each_secret(secrets, |number, secret| match secret.contains(&b':') {
                true => Ok(Sha256::digest(secret).into()),
                false => Err(ConfigError::SecretNotBasic { number }),
            })?),
            Proof::None => Keys::None,
        };
        Ok(Self { scheme: scheme.clone(), secrets: secrets.clone(), public_url: public_url.clone(), keys })
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Whether the head has what the signature needs: asked before the body is read.
    ///
    /// # Errors
    /// A signature header is absent or does not have the scheme's form.
    pub fn check_head(&self, head: Head<'_>) -> Result<(), Rejection> {
        match &self.scheme.proof {
            Proof::Hmac(hmac) => Read::head(hmac, self.id_header(), head).map(|_| ()),
            Proof::Token(token) => token_of(token, head).map(|_| ()),
            Proof::Basic => basic_of(head).map(|_| ()),
            Proof::None => Ok(()),
        }
    }

    /// Whether one of the secrets made one of the request's signatures; records which one
    /// ([`Facts::secret_index`]) and the signed time ([`Facts::signed_at`]).
    ///
    /// # Errors
    /// A signature header is absent or malformed, or no secret makes any of the signatures.
    pub fn verify(&self, head: Head<'_>, body: &[u8], facts: &mut Facts) -> Result<(), Rejection> {
        let secret = match (&self.scheme.proof, &self.keys) {
            (Proof::Hmac(hmac), Keys::Hmac(keys)) => {
                let read = Read::head(hmac, self.id_header(), head)?;
                facts.signed_at = read.timestamp.map(|(_, signed_at)| signed_at);
                self.matching_key(hmac, keys, &read, head, body)
            }
            (Proof::Token(token), Keys::Equal(hashes)) => equal_hash(hashes, token_of(token, head)?),
            (Proof::Basic, Keys::Equal(hashes)) => equal_hash(hashes, &basic_of(head)?),
            _ => return Ok(()),
        };
        let Some(secret) = secret else {
            let tried = self.secrets.len();
            let detail = format!("scheme {}: none of the {tried} secrets makes it", self.scheme.name);
            return Err(Rejection::new(Reason::SignatureMismatch, detail));
        };
        facts.secret_index = u8::try_from(secret).ok();
        Ok(())
    }

    /// The first key that made one of the signatures. Every key is tried against every signature, so that
    /// the time does not tell which one it was.
    fn matching_key(&self, hmac: &Hmac, keys: &[Keyed], read: &Read<'_>, head: Head<'_>, body: &[u8]) -> Option<usize> {
        let timestamp = read.timestamp.map_or("", |(text, _)| text);
        let mut matching = None;
        for (index, key) in keys.iter().enumerate().rev() {
            let expected = self.hash(hmac, key, &Signed { head, body, timestamp, id: read.id });
            read.each_signature(|signature| {
                if bool::from(signature.as_slice().ct_eq(expected.as_slice())) {
                    matching = Some(index);
                }
            });
        }
        matching
    }

    /// The hash of the scheme's template, filled in.
    pub(super) fn hash(&self, hmac: &Hmac, key: &Keyed, signed: &Signed<'_>) -> Hash {
        key.hash(|update| {
            for part in hmac.signed.parts() {
                match part {
                    Part::Literal(text) => update(text.as_bytes()),
                    Part::Body => update(signed.body),
                    Part::Timestamp => update(signed.timestamp.as_bytes()),
                    Part::Id => update(signed.id),
                    Part::Method => update(signed.head.method.as_str().as_bytes()),
                    Part::Url => {
                        update(self.public_url.as_deref().unwrap_or_default().as_bytes());
                        if let Some(query) = signed.head.uri.query() {
                            update(b"?");
                            update(query.as_bytes());
                        }
                    }
                }
            }
        })
    }

    pub(super) fn id_header(&self) -> Option<&http::HeaderName> {
        self.scheme.event_id.header.as_ref()
    }
}

/// What the template of a signature is filled in with.
pub(super) struct Signed<'a> {
    pub(super) head: Head<'a>,
    pub(super) body: &'a [u8],
    pub(super) timestamp: &'a str,
    pub(super) id: &'a [u8],
}

fn each_secret<T>(
    secrets: &[Secret],
    prepare: impl Fn(usize, &[u8]) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    let prepared = secrets.iter().enumerate().map(|(index, secret)| match secret.expose() {
        [] => Err(ConfigError::SecretEmpty { number: index + 1 }),
        secret => prepare(index + 1, secret),
    });
    prepared.collect()
}

fn hmac_key(hmac: &Hmac, number: usize, secret: &[u8]) -> Result<Keyed, ConfigError> {
    let encoding = hmac.key.encoding;
    let secret = secret.strip_prefix(hmac.key.strip_prefix.as_bytes()).unwrap_or(secret);
    let key = decode_key(secret, encoding).map(zeroize::Zeroizing::new);
    match key.as_ref().map(|key| key.as_slice()) {
        Some([]) => Err(ConfigError::SecretEmpty { number }),
        Some(key) => Keyed::new(hmac.algorithm, key).ok_or(ConfigError::SecretEncoding { number, encoding }),
        None => Err(ConfigError::SecretEncoding { number, encoding }),
    }
}

fn check_template(hmac: &Hmac, scheme: &Scheme, public_url: Option<&str>) -> Result<(), ConfigError> {
    let signs_timestamp = hmac.signed.has(&Part::Timestamp);
    match &hmac.timestamp {
        None if signs_timestamp => return Err(ConfigError::TimestampNowhere),
        Some(_) if !signs_timestamp => return Err(ConfigError::TimestampUnsigned),
        Some(field) => {
            let in_pair = matches!(field.place, TimestampPlace::Pair(_));
            if in_pair && !matches!(hmac.form, Form::Pairs { .. }) {
                return Err(ConfigError::TimestampWithoutPairs);
            }
        }
        None => {}
    }
    if hmac.signed.has(&Part::Id) && scheme.event_id.header.is_none() {
        return Err(ConfigError::IdNotInHeader);
    }
    if hmac.signed.has(&Part::Url) && public_url.is_none() {
        return Err(ConfigError::PublicUrlMissing);
    }
    Ok(())
}

/// The token that the request shows.
fn token_of<'a>(token: &Token, head: Head<'a>) -> Result<&'a [u8], Rejection> {
    let value = single(head, &token.header)?.as_bytes();
    match value.split_at_checked(token.prefix.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(token.prefix.as_bytes()) && !rest.is_empty() => Ok(rest),
        _ => Err(malformed(format!("{} does not hold `{}` and a token", token.header, token.prefix))),
    }
}

/// `user:password` as the request shows it.
fn basic_of(head: Head<'_>) -> Result<Vec<u8>, Rejection> {
    const PREFIX: &str = "Basic ";
    let value = single(head, &http::header::AUTHORIZATION)?.as_bytes();
    let encoded =
        value.split_at_checked(PREFIX.len()).filter(|(prefix, _)| prefix.eq_ignore_ascii_case(PREFIX.as_bytes()));
    encoded
        .and_then(|(_, text)| decode_base64(text))
        .ok_or_else(|| malformed("authorization does not hold `Basic` and base64"))
}

/// The first of the hashes that is the hash of `shown`; all of them are compared.
fn equal_hash(hashes: &[[u8; 32]], shown: &[u8]) -> Option<usize> {
    let shown: [u8; 32] = Sha256::digest(shown).into();
    let mut matching = None;
    for (index, hash) in hashes.iter().enumerate().rev() {
        if bool::from(hash.ct_eq(&shown)) {
            matching = Some(index);
        }
    }
    matching
}

// The longest hash that a scheme can name fits into what is decoded.
const _: () = assert!(Algorithm::Sha512.output_bytes() == super::encoding::HASH_BYTES_MAX);

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
