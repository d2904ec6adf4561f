//! A secret as a keyed hash that is ready to be cloned: keying costs two compressions, once.

use std::fmt;

use hmac::{Hmac as KeyedHash, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::encoding::Hash;
use super::scheme::Algorithm;

/// A keyed hash that has not seen any input yet, or has seen some.
#[derive(Clone)]
pub(super) enum Keyed {
    Sha1(KeyedHash<Sha1>),
    Sha256(KeyedHash<Sha256>),
    Sha512(Box<KeyedHash<Sha512>>),
}

// === impl Keyed ===

impl Keyed {
    /// The hash under this key; HMAC takes keys of any length.
    pub(super) fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Sha1 => KeyedHash::new_from_slice(key).ok().map(Self::Sha1),
            Algorithm::Sha256 => KeyedHash::new_from_slice(key).ok().map(Self::Sha256),
            Algorithm::Sha512 => KeyedHash::new_from_slice(key).ok().map(|keyed| Self::Sha512(Box::new(keyed))),
            Algorithm::Ed25519 | Algorithm::EcdsaP256 => None,
        }
    }

    /// Hashes one piece more.
    pub(super) fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(keyed) => keyed.update(piece),
            Self::Sha256(keyed) => keyed.update(piece),
            Self::Sha512(keyed) => keyed.update(piece),
        }
    }

    /// The hash of all pieces.
    pub(super) fn finish(self) -> Hash {
        match self {
            Self::Sha1(keyed) => Hash::of(&keyed.finalize().into_bytes()),
            Self::Sha256(keyed) => Hash::of(&keyed.finalize().into_bytes()),
            Self::Sha512(keyed) => Hash::of(&keyed.finalize().into_bytes()),
        }
    }

    /// Hashes what `feed` hands over, piece by piece.
    pub(super) fn hash(&self, feed: impl Fn(&mut dyn FnMut(&[u8]))) -> Hash {
        match self.clone() {
            Self::Sha1(mut keyed) => {
                feed(&mut |piece| keyed.update(piece));
                Hash::of(&keyed.finalize().into_bytes())
            }
            Self::Sha256(mut keyed) => {
                feed(&mut |piece| keyed.update(piece));
                Hash::of(&keyed.finalize().into_bytes())
            }
            Self::Sha512(mut keyed) => {
                feed(&mut |piece| keyed.update(piece));
                Hash::of(&keyed.finalize().into_bytes())
            }
        }
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}
