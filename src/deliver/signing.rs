//! Our own signature on a delivery: Standard Webhooks (HMAC-SHA256 over `id.timestamp.body`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderValue;
use sha2::Sha256;

use crate::domain::Secret;

/// The key of `sign`: its HMAC state is made once and copied for each request.
#[derive(Clone)]
pub struct SigningKey {
    key: Secret,
    mac: Hmac<Sha256>,
}

/// Why a secret cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// Receivers decode it as base64.
    #[error(
        "a Standard Webhooks secret is base64, with or without `whsec_` in front; make one with `openssl rand -base64 32`"
    )]
    NotBase64,
    /// Nothing in it.
    #[error("the secret is empty")]
    Empty,
}

// === impl SigningKey ===

impl SigningKey {
    /// The key in a secret as Standard Webhooks writes it: base64, with or without `whsec_`.
    ///
    /// # Errors
    /// [`SigningKeyError`]; the message does not contain the secret.
    pub fn from_secret(secret: &Secret) -> Result<Self, SigningKeyError> {
        let text = secret.expose().trim_ascii();
        let text = text.strip_prefix(b"whsec_").unwrap_or(text);
        let key = Secret::new(STANDARD.decode(text).map_err(|_undecodable| SigningKeyError::NotBase64)?);
        if key.expose().is_empty() {
            return Err(SigningKeyError::Empty);
        }
        let mac = Hmac::new_from_slice(key.expose()).map_err(|_length| SigningKeyError::Empty)?;
        Ok(Self { key, mac })
    }

    /// The value of `webhook-signature` for one request.
    pub(super) fn sign(&self, id: &[u8], timestamp: &[u8], body: &[u8]) -> Option<HeaderValue> {
        let mut mac = self.mac.clone();
        for part in [id, b".", timestamp, b".", body] {
            mac.update(part);
        }
        let mut value = String::with_capacity(48);
        value.push_str("v1,");
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut value);
        HeaderValue::try_from(value).ok()
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example of the standard-webhooks repository's reference implementations.
        let key = SigningKey::from_secret(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let value = key.sign(b"msg_p5jXN8AQM9LWM0D4loKWxJek", b"1614265330", br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(value, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_that_receivers_could_not_decode_are_refused_without_showing_them() {
        assert_eq!(SigningKey::from_secret(&Secret::new("not base64!")), Err(SigningKeyError::NotBase64));
        assert_eq!(SigningKey::from_secret(&Secret::new("whsec_")), Err(SigningKeyError::Empty));
        let key = SigningKey::from_secret(&Secret::new("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        assert_eq!(format!("{key:?}"), "[key]");
    }
}
