//! The engine: a scheme and its secrets, checked once and ready for every request.

use std::borrow::Cow;
use std::sync::Arc;

use hmac::digest::Digest;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::encoding::{Hash, decode_base64, decode_key};
use super::key::Keyed;
use super::odd::{Certificates, Odd};
use super::pieces::{is_piece, pieces, urls};
use super::public_key::PublicKey;
use super::read::{Read, malformed, missing, single};
use super::scheme::{
    Algorithm, Encoding, Form, KeyEncoding, Place, Proof, Scheme, Signatures, TimestampPlace, Token, UrlForm,
};
use super::template::Part;
use super::{Config, SECRETS_MAX};
use crate::domain::{Facts, Reason, Rejection, Secret};
use crate::guard::layer::Head;

/// Checks the signatures of one source, and makes them.
#[derive(Debug)]
pub struct Verifier {
    pub(super) scheme: Scheme,
    pub(super) secrets: Vec<Secret>,
    /// What the sender may call this source: one URL, or one of two; empty where it is not signed.
    pub(super) urls: Vec<Box<str>>,
    pub(super) keys: Keys,
    /// Where the certificates are that odd senders name.
    certificates: Option<Arc<Certificates>>,
}

/// The secrets as the proof needs them, in their order.
#[derive(Debug)]
pub(super) enum Keys {
    Hmac(Vec<Keyed>),
    Public(Vec<PublicKey>),
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
    /// A public key that is none of the scheme's algorithm.
    #[error("secret {number} is not the sender's public key of {algorithm}")]
    PublicKey {
        /// Which, counted from 1.
        number: usize,
        /// What the scheme wants.
        algorithm: Algorithm,
    },
    /// A private key that is none of the scheme's algorithm, where requests are signed.
    #[error("secret {number} is not a private key of {algorithm}: signing takes the sender's half")]
    PrivateKey {
        /// Which, counted from 1.
        number: usize,
        /// What the scheme wants.
        algorithm: Algorithm,
    },
    /// A secret that is not what this sender's is.
    #[error("secret {number} is not {wanted}")]
    SecretForm {
        /// Which, counted from 1.
        number: usize,
        /// What it should be.
        wanted: &'static str,
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
        let mut form = UrlForm::AsIs;
        let keys = match &scheme.proof {
            Proof::Signatures(signatures) => {
                check_template(signatures, scheme, public_url.as_deref())?;
                form = signatures.url;
                if signatures.algorithm.has_public_key() {
                    Keys::Public(each_secret(secrets, |number, secret| public_key(signatures, number, secret))?)
                } else {
                    Keys::Hmac(each_secret(secrets, |number, secret| hmac_key(signatures, number, secret))?)
                }
            }
            Proof::Odd(odd) => {
                each_secret(secrets, |number, secret| odd.check_secret(number, secret))?;
                Keys::None
            }
            Proof::Token(_) | Proof::Query(_) => {
                Keys::Equal(each_secret(secrets, |_, secret| Ok(Sha256::digest(secret).into()))?)
            }
            Proof::Basic => Keys::Equal(each_secret(secrets, |number, secret| match secret.contains(&b':') {
                true => Ok(Sha256::digest(secret).into()),
                false => Err(ConfigError::SecretNotBasic { number }),
            })?),
            Proof::None => Keys::None,
        };
        let urls = urls(public_url.as_deref(), form);
        Ok(Self { scheme: scheme.clone(), secrets: secrets.clone(), urls, keys, certificates: None })
    }

    /// The same with the certificates that odd senders name; without them such a sender gets 503.
    #[must_use]
    pub fn with_certificates(self, certificates: Arc<Certificates>) -> Self {
        Self { certificates: Some(certificates), ..self }
    }

    /// The certificates, where this has them.
    #[must_use]
    pub fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.certificates.as_ref()
    }

    /// The odd sender that this is for.
    #[must_use]
    pub fn odd(&self) -> Option<Odd> {
        if let Proof::Odd(odd) = self.scheme.proof { Some(odd) } else { None }
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
            Proof::Signatures(signatures) => Read::head(signatures, self.id_header(), head).map(|_| ()),
            Proof::Token(token) => token_of(token, head).map(|_| ()),
            Proof::Query(name) => parameter_of(name, head).map(|_| ()),
            Proof::Basic => basic_of(head).map(|_| ()),
            Proof::Odd(odd) => odd.check_head(head),
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
            (Proof::Signatures(signatures), keys) => self.verify_signatures(signatures, keys, head, body, facts)?,
            (Proof::Token(token), Keys::Equal(hashes)) => equal_hash(hashes, token_of(token, head)?),
            (Proof::Query(name), Keys::Equal(hashes)) => equal_hash(hashes, parameter_of(name, head)?.as_bytes()),
            (Proof::Odd(odd), _) => odd.verify(&self.secrets, self.certificates.as_deref(), head, body, facts)?,
            (Proof::Basic, Keys::Equal(hashes)) => equal_hash(hashes, &basic_of(head)?),
            _ => return Ok(()),
        };
        self.settle(secret, facts)
    }

    /// Records which secret it was; refuses where it was none.
    pub(super) fn settle(&self, secret: Option<usize>, facts: &mut Facts) -> Result<(), Rejection> {
        let Some(secret) = secret else {
            let tried = self.secrets.len();
            let detail = format!("scheme {}: none of the {tried} secrets makes it", self.scheme.name);
            return Err(Rejection::new(Reason::SignatureMismatch, detail));
        };
        facts.secret_index = u8::try_from(secret).ok();
        Ok(())
    }

    fn verify_signatures(
        &self,
        signatures: &Signatures,
        keys: &Keys,
        head: Head<'_>,
        body: &[u8],
        facts: &mut Facts,
    ) -> Result<Option<usize>, Rejection> {
        let mut read = Read::head(signatures, self.id_header(), head)?;
        read.body(body)?;
        let mut matching = None;
        for url in &self.urls {
            let signed = Signed {
                head,
                body,
                timestamp: read.timestamp.as_ref().map_or("", |(text, _)| text),
                id: read.id,
                url,
                pieces: pieces(signatures, url, head, body)?,
            };
            matching = matching.or(match keys {
                Keys::Hmac(keys) => matching_key(signatures, keys, &read, &signed),
                Keys::Public(keys) => matching_public_key(signatures, keys, &read, &signed),
                Keys::Equal(_) | Keys::None => None,
            });
        }
        if matching.is_some() {
            read.signed_time_of_body(body)?;
        }
        facts.signed_at = read.timestamp.map(|(_, signed_at)| signed_at);
        Ok(matching)
    }

    /// A message's HMAC with the secret of this index, for handshakes that ask for one; `None` where the scheme
    /// has no such secret.
    #[must_use]
    pub fn prove(&self, message: &[u8], secret: usize, encoding: Encoding) -> Option<String> {
        let Keys::Hmac(keys) = &self.keys else { return None };
        Some(keys.get(secret)?.hash(|update| update(message)).encode(encoding))
    }

    /// What Braintree wants to hear, with the first secret; `None` where the challenge is none.
    #[must_use]
    pub fn answer_of_braintree(&self, challenge: &str) -> Option<String> {
        super::odd::braintree::answer(self.secrets.first()?, challenge)
    }

    pub(super) fn id_header(&self) -> Option<&http::HeaderName> {
        self.scheme.event_id.header.as_ref()
    }
}

/// The first key that made one of the signatures. Every key is tried against every signature, so that
/// the time does not tell which one it was.
fn matching_key(signatures: &Signatures, keys: &[Keyed], read: &Read<'_>, signed: &Signed<'_>) -> Option<usize> {
    let mut matching = None;
    for (index, key) in keys.iter().enumerate().rev() {
        let expected = signed.hash(signatures, key);
        read.each_signature(|signature| {
            if bool::from(signature.as_slice().ct_eq(expected.as_slice())) {
                matching = Some(index);
            }
        });
    }
    matching
}

/// The first public key that checks one of the signatures.
fn matching_public_key(
    signatures: &Signatures,
    keys: &[PublicKey],
    read: &Read<'_>,
    signed: &Signed<'_>,
) -> Option<usize> {
    let message = signed.message(signatures);
    let mut matching = None;
    for (index, key) in keys.iter().enumerate().rev() {
        read.each_signature(|signature| {
            if key.verifies(&message, signature) {
                matching = Some(index);
            }
        });
    }
    matching
}

/// What the template of a signature is filled in with.
pub(super) struct Signed<'a> {
    pub(super) head: Head<'a>,
    pub(super) body: &'a [u8],
    pub(super) timestamp: &'a str,
    pub(super) id: &'a [u8],
    pub(super) url: &'a str,
    /// What [`pieces`] made of the template.
    pub(super) pieces: Vec<Cow<'a, str>>,
}

impl Signed<'_> {
    /// The hash of the template, filled in.
    pub(super) fn hash(&self, signatures: &Signatures, key: &Keyed) -> Hash {
        key.hash(|update| self.feed(signatures, update))
    }

    /// The template, filled in.
    pub(super) fn message(&self, signatures: &Signatures) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.body.len() + 128);
        self.feed(signatures, &mut |piece| message.extend_from_slice(piece));
        message
    }

    fn feed(&self, signatures: &Signatures, update: &mut dyn FnMut(&[u8])) {
        let mut pieces = self.pieces.iter();
        for part in signatures.signed.parts() {
            match part {
                part if is_piece(part, signatures.url) => {
                    if let Some(piece) = pieces.next() {
                        update(piece.as_bytes());
                    }
                }
                part => self.feed_part(part, update),
            }
        }
    }

    /// One part of the template that is nothing that had to be made before.
    pub(super) fn feed_part(&self, part: &Part, update: &mut dyn FnMut(&[u8])) {
        match part {
            Part::Literal(text) => update(text.as_bytes()),
            Part::Body => update(self.body),
            Part::Timestamp => update(self.timestamp.as_bytes()),
            Part::Id => update(self.id),
            Part::Method => update(self.head.method.as_str().as_bytes()),
            Part::Url | Part::Field(_) | Part::Form => {
                update(self.url.as_bytes());
                if let Some(query) = self.head.uri.query() {
                    update(b"?");
                    update(query.as_bytes());
                }
            }
        }
    }
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

/// The bytes of a key as the scheme writes them.
pub(super) fn key_bytes(
    signatures: &Signatures,
    number: usize,
    secret: &[u8],
) -> Result<zeroize::Zeroizing<Vec<u8>>, ConfigError> {
    let encoding = signatures.key.encoding;
    let secret = secret.strip_prefix(signatures.key.strip_prefix.as_bytes()).unwrap_or(secret);
    match decode_key(secret, encoding).map(zeroize::Zeroizing::new) {
        Some(key) if key.is_empty() => Err(ConfigError::SecretEmpty { number }),
        Some(key) => Ok(key),
        None => Err(ConfigError::SecretEncoding { number, encoding }),
    }
}

fn hmac_key(signatures: &Signatures, number: usize, secret: &[u8]) -> Result<Keyed, ConfigError> {
    let key = key_bytes(signatures, number, secret)?;
    let encoding = signatures.key.encoding;
    Keyed::new(signatures.algorithm, &key).ok_or(ConfigError::SecretEncoding { number, encoding })
}

fn public_key(signatures: &Signatures, number: usize, secret: &[u8]) -> Result<PublicKey, ConfigError> {
    let key = key_bytes(signatures, number, secret)?;
    let algorithm = signatures.algorithm;
    PublicKey::new(algorithm, &key).ok_or(ConfigError::PublicKey { number, algorithm })
}

fn check_template(signatures: &Signatures, scheme: &Scheme, public_url: Option<&str>) -> Result<(), ConfigError> {
    let signs_timestamp = signatures.signed.has(&Part::Timestamp);
    match signatures.timestamp.as_ref().map(|field| &field.place) {
        None if signs_timestamp => return Err(ConfigError::TimestampNowhere),
        // Signed with the body that it stands in.
        Some(TimestampPlace::Body(_)) if signatures.signed.has(&Part::Body) => {}
        Some(_) if !signs_timestamp => return Err(ConfigError::TimestampUnsigned),
        Some(TimestampPlace::Pair(_)) if !has_pairs(signatures) => return Err(ConfigError::TimestampWithoutPairs),
        _ => {}
    }
    if signatures.signed.has(&Part::Id) && scheme.event_id.header.is_none() {
        return Err(ConfigError::IdNotInHeader);
    }
    if signatures.signed.has(&Part::Url) && public_url.is_none() {
        return Err(ConfigError::PublicUrlMissing);
    }
    Ok(())
}

fn has_pairs(signatures: &Signatures) -> bool {
    matches!((&signatures.form, &signatures.place), (Form::Pairs { .. }, Place::Header(_)))
}

/// The token that the request shows.
fn token_of<'a>(token: &Token, head: Head<'a>) -> Result<&'a [u8], Rejection> {
    let value = single(head, &token.header)?.as_bytes();
    match value.split_at_checked(token.prefix.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(token.prefix.as_bytes()) && !rest.is_empty() => Ok(rest),
        _ => Err(malformed(format!("{} does not hold `{}` and a token", token.header, token.prefix))),
    }
}

/// The token that the query shows; two of them are refused.
fn parameter_of<'a>(name: &str, head: Head<'a>) -> Result<Cow<'a, str>, Rejection> {
    let query = head.uri.query().unwrap_or_default();
    let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(shown, _)| shown == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(value),
        (None, _) => Err(missing(format!("the query has no {name}"))),
        (Some(_), Some(_)) => Err(malformed(format!("the query has more than one {name}"))),
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

// The longest signature that a scheme can name fits into what is decoded.
const _: () = assert!(Algorithm::EcdsaP256.output_bytes().1 == super::encoding::HASH_BYTES_MAX);

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
