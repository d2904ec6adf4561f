//! A sender of any scheme: whole requests as the provider would make them.
//!
//! Where a scheme keeps its time or its signature in the body, or a hash of the body in the query, those are put
//! there; everything else of the request stays as it is. Used by `hookward sign` and by the tests.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Uri};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::Config;
use super::encoding::{Hash, encode_key};
use super::odd::{Odd, adyen, braintree};
use super::public_key::PrivateKey;
use super::read::write_timestamp;
use super::scheme::{Place, Proof, Signatures, TimestampPlace};
use super::sign::{SignError, Signing};
use super::template::Part;
use super::verifier::{ConfigError, Keys, Signed, Verifier, key_bytes};
use crate::domain::{Secret, Timestamp};
use crate::guard::envelope::{Lookup, Pointer};

/// Signs requests with a scheme's secrets; where those are public keys, with their private halves.
#[derive(Debug)]
pub struct Signer {
    verifier: Verifier,
    /// As many as there are secrets; none where the secret is shared.
    private: Vec<PrivateKey>,
}

/// What is said about the event in the head, where the scheme has a place for it there.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The event's id.
    pub id: Option<&'a str>,
    /// The event's type.
    pub event_type: Option<&'a str>,
    /// When it is signed.
    pub signed_at: Timestamp,
}

// === impl Signer ===

impl Signer {
    /// A signer of this scheme. Each secret is what the sender has: for schemes with public keys the private one,
    /// in the encoding of the public one (Ed25519's seed, or PKCS#8).
    ///
    /// # Errors
    /// Scheme and secrets do not fit.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut config = config.clone();
        let mut private = Vec::new();
        if let Proof::Signatures(signatures) = &config.scheme.proof
            && signatures.algorithm.has_public_key()
        {
            for (index, secret) in config.secrets.iter_mut().enumerate() {
                let (number, algorithm) = (index + 1, signatures.algorithm);
                let bytes = key_bytes(signatures, number, secret.expose())?;
                let key = PrivateKey::new(algorithm, &bytes).ok_or(ConfigError::PrivateKey { number, algorithm })?;
                *secret = Secret::new(encode_key(&key.public(), signatures.key.encoding));
                private.push(key);
            }
        }
        Ok(Self { verifier: Verifier::new(&config)?, private })
    }

    /// What checks the signatures that this makes.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// What the receiver is given as the secret with this index: the public half, where there is one.
    #[must_use]
    pub fn receivers_secret(&self, index: usize) -> Option<&Secret> {
        self.verifier.secrets.get(index)
    }

    /// The request with everything that proves that it is genuine, made with one of the secrets.
    ///
    /// # Errors
    /// No such secret, no id where the scheme signs one, a body that has no place for what belongs there, or a
    /// value that cannot stand in a header.
    pub fn sign(
        &self,
        mut request: Request<Bytes>,
        occasion: Occasion<'_>,
        secret: usize,
    ) -> Result<Request<Bytes>, SignError> {
        let scheme = &self.verifier.scheme;
        if let (None, Some(kind)) = (request.headers().get(CONTENT_TYPE), scheme.content_types.as_ref())
            && let Some(kind) = kind.first().and_then(|kind| HeaderValue::from_str(kind).ok())
        {
            request.headers_mut().insert(CONTENT_TYPE, kind);
        }
        name_in_head(&mut request, &scheme.event_id, occasion.id)?;
        name_in_head(&mut request, &scheme.event_type, occasion.event_type)?;
        if let Proof::Signatures(signatures) = &scheme.proof {
            fill_body(&mut request, signatures, occasion)?;
            cover_body(&mut request, signatures)?;
        }
        let signing = Signing {
            body: request.body(),
            id: occasion.id,
            signed_at: occasion.signed_at,
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
        };
        let headers = match &scheme.proof {
            Proof::Query(name) => {
                let token = self.verifier.secrets.get(secret).ok_or(SignError::NoSuchSecret(secret))?;
                let token = form_urlencoded::byte_serialize(token.expose()).collect::<String>();
                add_to_query(&mut request, &format!("{name}={token}"))?;
                Vec::new()
            }
            Proof::Odd(odd) => {
                self.sign_odd(*odd, &mut request, secret)?;
                Vec::new()
            }
            Proof::Signatures(signatures) => match &signatures.place {
                Place::Body(pointer) => {
                    let time = time_text(signatures, occasion.signed_at);
                    let make = |signed: &Signed<'_>| self.make(signatures, signed, secret);
                    let signature = self.verifier.signature(signatures, &signing, &time, make)?;
                    let body = with_field(request.body(), pointer, Value::from(signature))?;
                    *request.body_mut() = body;
                    Vec::new()
                }
                _ => self.verifier.sign_with(signatures, &signing, |signed| self.make(signatures, signed, secret))?,
            },
            _ => self.verifier.sign(&signing, secret)?,
        };
        for (name, value) in headers {
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }

    fn sign_odd(&self, odd: Odd, request: &mut Request<Bytes>, secret: usize) -> Result<(), SignError> {
        let secret = self.verifier.secrets.get(secret).ok_or(SignError::NoSuchSecret(secret))?;
        let unfit = |what: &str| SignError::Request(what.to_owned());
        match odd {
            Odd::AwsSns | Odd::PayPal => return Err(SignError::SenderOnly),
            Odd::Braintree => {
                let form = braintree::form(secret, request.body()).ok_or_else(|| unfit("the secret has no colon"))?;
                *request.body_mut() = Bytes::from(form);
                let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers_mut().insert(CONTENT_TYPE, kind);
            }
            Odd::Adyen => {
                let key = hex::decode(secret.expose()).map_err(|_not_hex| unfit("the secret is not hexadecimal"))?;
                let mut number = 0;
                while let Some(signature) = adyen::sign(&key, request.body(), number) {
                    let item =
                        format!("/notificationItems/{number}/NotificationRequestItem/additionalData/hmacSignature");
                    let pointer = item.parse().map_err(|_never| unfit("no place for a signature"))?;
                    *request.body_mut() = with_field(request.body(), &pointer, Value::from(signature))?;
                    number += 1;
                }
                if number == 0 {
                    return Err(unfit("the body has no notificationItems"));
                }
            }
        }
        Ok(())
    }

    fn make(&self, signatures: &Signatures, signed: &Signed<'_>, secret: usize) -> Option<Hash> {
        match &self.verifier.keys {
            Keys::Hmac(keys) => keys.get(secret).map(|key| signed.hash(signatures, key)),
            _ => self.private.get(secret)?.sign(&signed.message(signatures)),
        }
    }
}

fn time_text(signatures: &Signatures, signed_at: Timestamp) -> String {
    signatures.timestamp.as_ref().map(|field| write_timestamp(signed_at, field.unit)).unwrap_or_default()
}

/// Id or type in its header, where it has no place in the body.
fn name_in_head(request: &mut Request<Bytes>, lookup: &Lookup, text: Option<&str>) -> Result<(), SignError> {
    let (Some(name), None, Some(text)) = (&lookup.header, &lookup.body, text) else { return Ok(()) };
    let value = HeaderValue::from_str(text).map_err(|_cause| SignError::NotAHeaderValue(name.clone()))?;
    request.headers_mut().insert(HeaderName::clone(name), value);
    Ok(())
}

/// Puts into the body what the scheme keeps there: the time, and the id that is signed by itself.
fn fill_body(request: &mut Request<Bytes>, signatures: &Signatures, occasion: Occasion<'_>) -> Result<(), SignError> {
    if let Some(field) = &signatures.timestamp
        && let TimestampPlace::Body(pointer) = &field.place
    {
        let text = write_timestamp(occasion.signed_at, field.unit);
        // Signed with the body it is a number; signed by itself it is the text that is signed.
        let value = match (signatures.signed.has(&Part::Timestamp), text.parse::<u64>()) {
            (false, Ok(number)) => Value::from(number),
            _ => Value::from(text),
        };
        *request.body_mut() = with_field(request.body(), pointer, value)?;
    }
    for part in signatures.signed.parts() {
        if let (Part::Field(pointer), Some(id)) = (part, occasion.id) {
            *request.body_mut() = with_field(request.body(), pointer, Value::from(id))?;
        }
    }
    Ok(())
}

/// A body that is no form is covered by its hash in the query.
fn cover_body(request: &mut Request<Bytes>, signatures: &Signatures) -> Result<(), SignError> {
    let kind = request.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    let is_form = kind.starts_with(b"application/x-www-form-urlencoded");
    if !signatures.signed.has(&Part::Form) || is_form || request.body().is_empty() {
        return Ok(());
    }
    let hash = hex::encode(Sha256::digest(request.body()));
    add_to_query(request, &format!("bodySHA256={hash}"))
}

fn add_to_query(request: &mut Request<Bytes>, pair: &str) -> Result<(), SignError> {
    let target = match request.uri().path_and_query().map(|target| target.as_str()) {
        Some(target) if target.contains('?') => format!("{target}&{pair}"),
        target => format!("{}?{pair}", target.unwrap_or("/")),
    };
    *request.uri_mut() = target.parse::<Uri>().map_err(|error| SignError::Request(error.to_string()))?;
    Ok(())
}

/// A JSON body with a field put at a pointer; objects on the way are made.
pub(super) fn with_field(body: &[u8], pointer: &Pointer, value: Value) -> Result<Bytes, SignError> {
    let not_json = |error: serde_json::Error| SignError::Request(format!("the body is not JSON: {error}"));
    let mut whole: Value = serde_json::from_slice(body).map_err(not_json)?;
    let mut at = &mut whole;
    for token in pointer.tokens() {
        let index = token.parse::<usize>().ok();
        at = match at {
            Value::Object(object) => {
                object.entry(token.as_ref()).or_insert_with(|| Value::Object(serde_json::Map::new()))
            }
            Value::Array(list) => index
                .and_then(|index| list.get_mut(index))
                .ok_or_else(|| SignError::Request(format!("the body has no place for {pointer}")))?,
            _ => return Err(SignError::Request(format!("the body has no place for {pointer}"))),
        };
    }
    *at = value;
    serde_json::to_vec(&whole).map(Bytes::from).map_err(not_json)
}

#[cfg(test)]
#[path = "signer_tests.rs"]
mod tests;
