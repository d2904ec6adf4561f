//! Keys of which the sender keeps one half: ours checks, theirs signs.
//!
//! A public key is written as its bytes or as the `SubjectPublicKeyInfo` that tools export; a private one, for
//! making signatures ourselves, as Ed25519's seed or in PKCS#8.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    UnparsedPublicKey,
};

use super::encoding::Hash;
use super::scheme::Algorithm;

/// What checks.
#[derive(Clone, Debug)]
pub(super) enum PublicKey {
    Ed25519([u8; 32]),
    EcdsaP256([u8; 65]),
}

/// What signs.
pub(super) enum PrivateKey {
    Ed25519(Box<Ed25519KeyPair>),
    EcdsaP256(Box<EcdsaKeyPair>),
}

/// `SubjectPublicKeyInfo` of Ed25519 before the key (RFC 8410 section 4).
const ED25519_INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// `SubjectPublicKeyInfo` of P-256 before the point (RFC 5480 section 2).
const P256_INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

// === impl PublicKey ===

impl PublicKey {
    /// The key that these bytes are; `None` where they are none of this algorithm's.
    pub(super) fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Ed25519 => {
                let key = bytes.strip_prefix(&ED25519_INFO).unwrap_or(bytes);
                key.try_into().ok().map(Self::Ed25519)
            }
            Algorithm::EcdsaP256 => {
                let point = bytes.strip_prefix(&P256_INFO).unwrap_or(bytes);
                // Uncompressed: a four, then both coordinates.
                point.try_into().ok().filter(|point: &[u8; 65]| point.first() == Some(&4)).map(Self::EcdsaP256)
            }
            Algorithm::Sha1 | Algorithm::Sha256 | Algorithm::Sha512 => None,
        }
    }

    /// Whether its other half signed the message.
    pub(super) fn verifies(&self, message: &[u8], signature: &Hash) -> bool {
        let signature = signature.as_slice();
        match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok(),
            Self::EcdsaP256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
            }
        }
    }
}

// === impl PrivateKey ===

impl PrivateKey {
    /// The key that these bytes are; `None` where they are none of this algorithm's.
    pub(super) fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_seed_unchecked(bytes)
                    .or_else(|_not_a_seed| Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes));
                pair.ok().map(|pair| Self::Ed25519(Box::new(pair)))
            }
            Algorithm::EcdsaP256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes, &SystemRandom::new());
                pair.ok().map(|pair| Self::EcdsaP256(Box::new(pair)))
            }
            Algorithm::Sha1 | Algorithm::Sha256 | Algorithm::Sha512 => None,
        }
    }

    /// The bytes of the other half, as tools export them.
    pub(super) fn public(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Self::EcdsaP256(pair) => [&P256_INFO, pair.public_key().as_ref()].concat(),
        }
    }

    /// The signature of a message; `None` where the machine has no random numbers.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Hash> {
        match self {
            Self::Ed25519(pair) => Some(Hash::of(pair.sign(message).as_ref())),
            Self::EcdsaP256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).ok()?;
                Some(Hash::of(signature.as_ref()))
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_half_signs_the_other_checks() {
        let seed = [7; 32];
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).expect("a new key");
        for (algorithm, private) in [(Algorithm::Ed25519, &seed[..]), (Algorithm::EcdsaP256, pkcs8.as_ref())] {
            let private = PrivateKey::new(algorithm, private).expect("a private key");
            let public = PublicKey::new(algorithm, &private.public()).expect("a public key");
            let signature = private.sign(b"message").expect("signed");
            assert!(public.verifies(b"message", &signature), "{algorithm}");
            assert!(!public.verifies(b"massage", &signature), "{algorithm}");
            let mut changed = signature.as_slice().to_vec();
            changed[20] ^= 1;
            assert!(!public.verifies(b"message", &Hash::of(&changed)), "{algorithm}");
            assert!(!public.verifies(b"message", &Hash::of(b"")), "{algorithm}");
        }
    }

    #[test]
    fn keys_of_another_kind_are_refused() {
        for (algorithm, bytes) in [(Algorithm::Ed25519, 31), (Algorithm::Ed25519, 65), (Algorithm::EcdsaP256, 32)] {
            assert!(PublicKey::new(algorithm, &vec![4; bytes]).is_none(), "{algorithm} of {bytes}");
        }
        assert!(PublicKey::new(Algorithm::EcdsaP256, &[5; 65]).is_none(), "not a point");
        assert!(PublicKey::new(Algorithm::Ed25519, &[&ED25519_INFO[..], &[1; 32]].concat()).is_some());
    }
}
