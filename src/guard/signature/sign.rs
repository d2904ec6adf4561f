//! The other direction: the signature headers that a sender with this scheme would make.
//!
//! Used by the demo, by tests, and where a late retry is signed anew: the sender's own timestamp would no
//! longer be accepted by the app behind.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};

use super::encoding::encode_base64;
use super::read::{Read, write_timestamp};
use super::scheme::{Form, Hmac, Proof, TimestampPlace};
use super::template::Part;
use super::verifier::{Keys, Signed, Verifier};
use crate::domain::Timestamp;
use crate::guard::layer::Head;

/// What is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// The body's bytes as they will be sent.
    pub body: &'a [u8],
    /// The event's id, for schemes that sign it.
    pub id: Option<&'a str>,
    /// The time to sign, for schemes that have one.
    pub signed_at: Timestamp,
    /// The request's method.
    pub method: &'a Method,
    /// The request's target, whose query a scheme with `{url}` signs.
    pub uri: &'a Uri,
}

/// A signature that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// There is no such secret.
    #[error("there is no secret with the index {0}")]
    NoSuchSecret(usize),
    /// The scheme signs an id and there is none.
    #[error("the scheme signs the event's id, and the event has none")]
    IdMissing,
    /// The value cannot stand in a header.
    #[error("the value of {0} cannot stand in a header")]
    NotAHeaderValue(HeaderName),
}

/// The headers in which a scheme's proof stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofHeaders<'a> {
    /// The signature or credential; `None` for the scheme `none`.
    pub proof: Option<&'a HeaderName>,
    /// The signed time, where it has a header of its own.
    pub timestamp: Option<&'a HeaderName>,
    /// Whether the proof is a credential that must be masked in every output.
    pub is_credential: bool,
}

// === impl Verifier ===

impl Verifier {
    /// The signature headers of an event, made with one of the secrets: signature, timestamp, and the id
    /// where the signature covers it.
    ///
    /// # Errors
    /// No such secret, no id where the scheme signs one, or a value that cannot stand in a header.
    pub fn sign(&self, event: &Signing<'_>, secret: usize) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
        let credential = self.secrets.get(secret).map(|secret| secret.expose());
        match (&self.scheme.proof, &self.keys) {
            (Proof::Hmac(hmac), Keys::Hmac(_)) => self.sign_hmac(hmac, event, secret),
            (Proof::Token(token), _) => {
                let credential = credential.ok_or(SignError::NoSuchSecret(secret))?;
                let value = [token.prefix.as_bytes(), credential].concat();
                Ok(vec![header(&token.header, &value, true)?])
            }
            (Proof::Basic, _) => {
                let credential = encode_base64(credential.ok_or(SignError::NoSuchSecret(secret))?);
                Ok(vec![header(&http::header::AUTHORIZATION, format!("Basic {credential}").as_bytes(), true)?])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn sign_hmac(
        &self,
        hmac: &Hmac,
        event: &Signing<'_>,
        secret: usize,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
        let Keys::Hmac(keys) = &self.keys else { return Err(SignError::NoSuchSecret(secret)) };
        let key = keys.get(secret).ok_or(SignError::NoSuchSecret(secret))?;
        let timestamp = hmac.timestamp.as_ref().map(|field| (field, write_timestamp(event.signed_at, field.unit)));
        let mut headers = Vec::with_capacity(3);
        let mut id = "";
        if let (true, Some(id_header)) = (hmac.signed.has(&Part::Id), self.id_header()) {
            id = event.id.ok_or(SignError::IdMissing)?;
            headers.push(header(id_header, id.as_bytes(), false)?);
        }
        let no_headers = http::HeaderMap::new();
        let signed = Signed {
            head: Head { method: event.method, uri: event.uri, headers: &no_headers },
            body: event.body,
            timestamp: timestamp.as_ref().map_or("", |(_, text)| text),
            id: id.as_bytes(),
        };
        let signature = self.hash(hmac, key, &signed).encode(hmac.encoding);
        let signature = format!("{}{signature}", hmac.prefix);
        let mut pair = String::new();
        if let Some((field, text)) = &timestamp {
            match &field.place {
                TimestampPlace::Header(name) => headers.push(header(name, text.as_bytes(), false)?),
                TimestampPlace::Pair(key) => pair = format!("{key}={text}"),
            }
        }
        let value = match &hmac.form {
            Form::Bare | Form::List { .. } => signature,
            Form::Pairs { key, .. } if pair.is_empty() => format!("{key}={signature}"),
            Form::Pairs { separator, key } => format!("{pair}{separator}{key}={signature}"),
        };
        headers.push(header(&hmac.header, value.as_bytes(), false)?);
        Ok(headers)
    }

    /// In which headers the proof stands.
    #[must_use]
    pub fn proof_headers(&self) -> ProofHeaders<'_> {
        let (proof, timestamp, is_credential) = match &self.scheme.proof {
            Proof::Hmac(hmac) => {
                let timestamp = hmac.timestamp.as_ref().and_then(|field| match &field.place {
                    TimestampPlace::Header(name) => Some(name),
                    TimestampPlace::Pair(_) => None,
                });
                (Some(&hmac.header), timestamp, false)
            }
            Proof::Token(token) => (Some(&token.header), None, true),
            Proof::Basic => (Some(&http::header::AUTHORIZATION), None, true),
            Proof::None => (None, None, false),
        };
        ProofHeaders { proof, timestamp, is_credential }
    }

    /// The time that the sender signed, by the headers alone: how old a kept event's signature is.
    #[must_use]
    pub fn signed_at(&self, head: Head<'_>) -> Option<Timestamp> {
        let Proof::Hmac(hmac) = &self.scheme.proof else { return None };
        let read = Read::head(hmac, self.id_header(), head).ok()?;
        read.timestamp.map(|(_, signed_at)| signed_at)
    }

    /// The tolerance of the scheme's signed time; `None` where it signs none, and the sender's headers never
    /// grow old.
    #[must_use]
    pub fn tolerance(&self) -> Option<Duration> {
        self.scheme.tolerance()
    }
}

fn header(name: &HeaderName, value: &[u8], is_credential: bool) -> Result<(HeaderName, HeaderValue), SignError> {
    let mut value = HeaderValue::from_bytes(value).map_err(|_cause| SignError::NotAHeaderValue(name.clone()))?;
    value.set_sensitive(is_credential);
    Ok((name.clone(), value))
}
