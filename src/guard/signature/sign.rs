//! The other direction: the signature headers that a sender with this scheme would make.
//!
//! Used by the demo, by tests, and where a late retry is signed anew: the sender's own timestamp would no
//! longer be accepted by the app behind.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::encoding::{Hash, encode_base64};
use super::pieces::pieces;
use super::read::{Read, write_timestamp};
use super::scheme::{Form, Place, Proof, Signatures, TimestampPlace};
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
    /// The request's headers: a scheme that signs forms looks at the content type.
    pub headers: &'a HeaderMap,
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
    /// The scheme's secrets are the sender's public keys: they check and cannot sign.
    #[error("the secrets are public keys: signing takes the sender's private one")]
    PublicKeyOnly,
    /// The proof stands in the body or in the query, which are the sender's.
    #[error("the proof does not stand in a header")]
    InBody,
    /// Only the sender itself can sign: its certificate is at its own host.
    #[error("only the sender itself can sign: its certificate is at its own host")]
    SenderOnly,
    /// The request does not have what the scheme signs.
    #[error("the request cannot be signed: {0}")]
    Request(String),
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
            (Proof::Signatures(signatures), Keys::Hmac(keys)) => {
                let key = keys.get(secret).ok_or(SignError::NoSuchSecret(secret))?;
                self.sign_with(signatures, event, |signed| Some(signed.hash(signatures, key)))
            }
            (Proof::Signatures(_), _) => Err(SignError::PublicKeyOnly),
            (Proof::Token(token), _) => {
                let credential = credential.ok_or(SignError::NoSuchSecret(secret))?;
                let value = [token.prefix.as_bytes(), credential].concat();
                Ok(vec![header(&token.header, &value, true)?])
            }
            (Proof::Odd(_) | Proof::Query(_), _) => Err(SignError::InBody),
            (Proof::Basic, _) => {
                let credential = encode_base64(credential.ok_or(SignError::NoSuchSecret(secret))?);
                Ok(vec![header(&http::header::AUTHORIZATION, format!("Basic {credential}").as_bytes(), true)?])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The signature headers, the signature computed by `make`.
    pub(super) fn sign_with(
        &self,
        signatures: &Signatures,
        event: &Signing<'_>,
        make: impl Fn(&Signed<'_>) -> Option<Hash>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
        let place = match &signatures.place {
            Place::Header(name) => name.clone(),
            Place::NumberedHeaders(name) => {
                format!("{name}1").parse().map_err(|_not_a_name| SignError::Request(format!("no header {name}1")))?
            }
            Place::Body(_) => return Err(SignError::InBody),
        };
        let timestamp =
            signatures.timestamp.as_ref().map(|field| (field, write_timestamp(event.signed_at, field.unit)));
        let time = timestamp.as_ref().map_or("", |(_, text)| text);
        let mut headers = Vec::with_capacity(3);
        if let (true, Some(id_header)) = (signatures.signed.has(&Part::Id), self.id_header()) {
            headers.push(header(id_header, event.id.ok_or(SignError::IdMissing)?.as_bytes(), false)?);
        }
        let signature = self.signature(signatures, event, time, make)?;
        let mut pair = String::new();
        if let Some((field, text)) = &timestamp {
            match &field.place {
                TimestampPlace::Header(name) => headers.push(header(name, text.as_bytes(), false)?),
                TimestampPlace::Pair(key) => pair = format!("{key}={text}"),
                TimestampPlace::Body(_) => {}
            }
        }
        let value = match signatures.form {
            Form::Bare | Form::List { .. } => signature,
            Form::Pairs { key, .. } if pair.is_empty() => format!("{key}={signature}"),
            Form::Pairs { separator, key } => format!("{pair}{separator}{key}={signature}"),
        };
        headers.push(header(&place, value.as_bytes(), false)?);
        Ok(headers)
    }

    /// The signature with its prefix, computed by `make`.
    pub(super) fn signature(
        &self,
        signatures: &Signatures,
        event: &Signing<'_>,
        timestamp: &str,
        make: impl Fn(&Signed<'_>) -> Option<Hash>,
    ) -> Result<String, SignError> {
        let head = Head { method: event.method, uri: event.uri, headers: event.headers };
        let url = self.urls.first().map_or("", |url| url);
        let signed = Signed {
            head,
            body: event.body,
            timestamp,
            id: event.id.unwrap_or_default().as_bytes(),
            url,
            pieces: pieces(signatures, url, head, event.body)
                .map_err(|rejection| SignError::Request(rejection.detail.to_string()))?,
        };
        let signature = make(&signed).ok_or(SignError::PublicKeyOnly)?.encode(signatures.encoding);
        Ok(format!("{}{signature}", signatures.prefix))
    }

    /// In which headers the proof stands.
    #[must_use]
    pub fn proof_headers(&self) -> ProofHeaders<'_> {
        let (proof, timestamp, is_credential) = match &self.scheme.proof {
            Proof::Signatures(signatures) => {
                let timestamp = signatures.timestamp.as_ref().and_then(|field| match &field.place {
                    TimestampPlace::Header(name) => Some(name),
                    TimestampPlace::Pair(_) | TimestampPlace::Body(_) => None,
                });
                let proof = match &signatures.place {
                    Place::Header(name) => Some(name),
                    Place::NumberedHeaders(_) | Place::Body(_) => None,
                };
                (proof, timestamp, false)
            }
            Proof::Token(token) => (Some(&token.header), None, true),
            Proof::Basic => (Some(&http::header::AUTHORIZATION), None, true),
            Proof::Query(_) | Proof::Odd(_) | Proof::None => (None, None, false),
        };
        ProofHeaders { proof, timestamp, is_credential }
    }

    /// The time that the sender signed, by the headers alone: how old a kept event's signature is.
    #[must_use]
    pub fn signed_at(&self, head: Head<'_>) -> Option<Timestamp> {
        let Proof::Signatures(signatures) = &self.scheme.proof else { return None };
        let read = Read::head(signatures, self.id_header(), head).ok()?;
        read.timestamp.map(|(_, signed_at)| signed_at)
    }

    /// Whether a signature of ours can take the place of the sender's by changing headers alone.
    #[must_use]
    pub fn can_renew(&self) -> bool {
        match (&self.scheme.proof, &self.keys) {
            (Proof::Signatures(signatures), Keys::Hmac(_)) => {
                !matches!(signatures.place, Place::Body(_)) && signatures.signed.has(&Part::Timestamp)
            }
            _ => false,
        }
    }
}

fn header(name: &HeaderName, value: &[u8], is_credential: bool) -> Result<(HeaderName, HeaderValue), SignError> {
    let mut value = HeaderValue::from_bytes(value).map_err(|_cause| SignError::NotAHeaderValue(name.clone()))?;
    value.set_sensitive(is_credential);
    Ok((name.clone(), value))
}
