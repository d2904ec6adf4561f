//! Secrets at rest: ChaCha20-Poly1305 (RFC 8439) under a key derived from `outbound.secrets_key` (HKDF, RFC 5869).
//!
//! Sealed text names what it belongs to: moved to another webhook, or to another use, it does not open.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::domain::{Sealed, Secret};

/// Seals with its first key, opens with any.
pub struct Sealer {
    keys: Vec<LessSafeKey>,
}

/// Why something was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no key, or the system gave no random numbers.
    #[error("nothing can be sealed: the system gives no random numbers, or there is no key")]
    Unsealable,
    /// None of the keys opens it.
    #[error("sealed with another key, or damaged")]
    Unopenable,
}

/// The form of what is sealed: this byte, the nonce, the text and its tag.
const VERSION: u8 = 1;

const SALT: &[u8] = b"hookward: secrets of webhooks";

// === impl Sealer ===

impl Sealer {
    /// A sealer with keys made of these secrets; the first one seals.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        let salt = Salt::new(HKDF_SHA256, SALT);
        let derive = |secret: &Secret| {
            let extracted = salt.extract(secret.expose());
            extracted.expand(&[b"chacha20-poly1305"], &CHACHA20_POLY1305).ok().map(UnboundKey::from)
        };
        Self { keys: secrets.iter().filter_map(derive).map(LessSafeKey::new).collect() }
    }

    /// Seals a text for one use, such as `webhook_…: secret`.
    ///
    /// # Errors
    /// [`SealError::Unsealable`].
    pub fn seal(&self, of: &str, text: &[u8]) -> Result<Sealed, SealError> {
        let key = self.keys.first().ok_or(SealError::Unsealable)?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_unexplained| SealError::Unsealable)?;
        let mut out = Vec::with_capacity(1 + NONCE_LEN + text.len() + CHACHA20_POLY1305.tag_len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        let mut text = text.to_vec();
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(of.as_bytes()), &mut text)
            .map_err(|_unexplained| SealError::Unsealable)?;
        out.extend_from_slice(&text);
        out.extend_from_slice(tag.as_ref());
        Ok(Sealed(out.into()))
    }

    /// The text that was sealed for this use.
    ///
    /// # Errors
    /// [`SealError::Unopenable`].
    pub fn open(&self, of: &str, sealed: &Sealed) -> Result<Secret, SealError> {
        let (version, rest) = sealed.0.split_first().ok_or(SealError::Unopenable)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Unopenable)?;
        if *version != VERSION {
            return Err(SealError::Unopenable);
        }
        for key in &self.keys {
            let mut text = text.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            if let Ok(opened) = key.open_in_place(nonce, Aad::from(of.as_bytes()), &mut text) {
                return Ok(Secret::new(&*opened));
            }
        }
        Err(SealError::Unopenable)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(keys: &[&str]) -> Sealer {
        Sealer::new(&keys.iter().map(|key| Secret::new(*key)).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_sealed_opens_for_its_use_and_with_its_key_only() {
        let one = sealer(&["one"]);
        let sealed = one.seal("a: secret", b"whsec_x").unwrap();
        assert!(!sealed.0.windows(7).any(|window| window == b"whsec_x"));
        assert_ne!(sealed, one.seal("a: secret", b"whsec_x").unwrap(), "each with a nonce of its own");
        assert_eq!(one.open("a: secret", &sealed), Ok(Secret::new("whsec_x")));
        assert_eq!(one.open("b: secret", &sealed), Err(SealError::Unopenable));
        assert_eq!(sealer(&["two"]).open("a: secret", &sealed), Err(SealError::Unopenable));
        assert_eq!(sealer(&["two", "one"]).open("a: secret", &sealed), Ok(Secret::new("whsec_x")));
        for at in 0..sealed.0.len() {
            let mut bytes = sealed.0.to_vec();
            bytes[at] ^= 1;
            assert_eq!(one.open("a: secret", &Sealed(bytes.into())), Err(SealError::Unopenable), "byte {at}");
        }
        for length in 0..sealed.0.len() {
            assert!(one.open("a: secret", &Sealed(sealed.0.slice(..length))).is_err());
        }
    }
}
