//! A signature over a body that comes in pieces: hashed as it comes, compared when it is whole.
//!
//! Only HMACs whose signatures, times and all other parts stand in the head; a body is hashed for every secret and, where
//! the sender may use two URLs, for both. Other schemes need the body at once.

use subtle::ConstantTimeEq;

use super::key::Keyed;
use super::pieces::is_piece;
use super::read::Read;
use super::scheme::{Place, Proof, Signatures, TimestampField, TimestampPlace};
use super::template::Part;
use super::verifier::{Keys, Signed, Verifier};
use crate::domain::{Facts, Rejection, Verified};
use crate::guard::layer::Head;

/// A body on its way into the hashes.
pub(in crate::guard) struct Hashing<'a> {
    signatures: &'a Signatures,
    read: Read<'a>,
    head: Head<'a>,
    /// For each URL one for each secret, with what stands before the body.
    hashes: Vec<(&'a str, Vec<Keyed>)>,
}

// === impl Verifier, Hashing ===

impl Verifier {
    /// Whether a body can be verified that is never in memory as a whole.
    pub(in crate::guard) fn takes_pieces(&self) -> bool {
        let Proof::Signatures(signatures) = &self.scheme.proof else { return !self.scheme.proof.reads_body() };
        let is_in_body = matches!(signatures.place, Place::Body(_))
            || matches!(signatures.timestamp, Some(TimestampField { place: TimestampPlace::Body(_), .. }));
        let parts = signatures.signed.parts();
        matches!(self.keys, Keys::Hmac(_))
            && !is_in_body
            && parts.iter().filter(|part| **part == Part::Body).count() == 1
            && !parts.iter().any(|part| is_piece(part, signatures.url))
    }

    /// Begins to hash a body behind this head; `None` where the proof does not cover the body.
    ///
    /// # Errors
    /// A signature header is absent or malformed.
    pub(in crate::guard) fn hashing<'a>(&'a self, head: Head<'a>) -> Result<Option<Hashing<'a>>, Rejection> {
        let (Proof::Signatures(signatures), Keys::Hmac(keys)) = (&self.scheme.proof, &self.keys) else {
            return Ok(None);
        };
        let read = Read::head(signatures, self.id_header(), head)?;
        let mut hashing = Hashing { signatures, read, head, hashes: Vec::new() };
        for url in &self.urls {
            let mut begun = keys.clone();
            hashing.feed(url, &mut begun, false);
            hashing.hashes.push((url, begun));
        }
        Ok(Some(hashing))
    }

    /// Records what came of it, as [`verify`](Self::verify) does.
    pub(super) fn conclude(&self, verified: Result<Verified, Rejection>, facts: &mut Facts) -> Result<(), Rejection> {
        let Verified { secret, signed_at } = verified?;
        facts.signed_at = signed_at;
        self.settle(secret, facts)
    }
}

impl Hashing<'_> {
    /// Hashes the next piece.
    pub(in crate::guard) fn take(&mut self, piece: &[u8]) {
        self.hashes.iter_mut().flat_map(|(_, keys)| keys).for_each(|key| key.update(piece));
    }

    /// The body is whole: which secret made one of the signatures. Every one is compared with every hash, so that the
    /// time does not tell which one it was.
    pub(in crate::guard) fn finish(mut self) -> Verified {
        let mut secret = None;
        for (url, mut keys) in std::mem::take(&mut self.hashes) {
            self.feed(url, &mut keys, true);
            let mut matching = None;
            for (index, key) in keys.into_iter().enumerate().rev() {
                let expected = key.finish();
                self.read.each_signature(|signature| {
                    if bool::from(signature.as_slice().ct_eq(expected.as_slice())) {
                        matching = Some(index);
                    }
                });
            }
            secret = secret.or(matching);
        }
        Verified { secret, signed_at: self.read.timestamp.map(|(_, signed_at)| signed_at) }
    }

    /// What stands in front of the body, or behind it.
    fn feed(&self, url: &str, keys: &mut [Keyed], is_behind: bool) {
        let timestamp = self.read.timestamp.as_ref().map_or("", |(text, _)| text);
        let signed = Signed { head: self.head, body: b"", timestamp, id: self.read.id, url, pieces: Vec::new() };
        let parts = self.signatures.signed.parts();
        let body = parts.iter().position(|part| *part == Part::Body).unwrap_or(parts.len());
        let (front, behind) = parts.split_at(body);
        for part in if is_behind { behind } else { front } {
            signed.feed_part(part, &mut |piece| keys.iter_mut().for_each(|key| key.update(piece)));
        }
    }
}

#[cfg(test)]
#[path = "hashing_tests.rs"]
mod tests;
