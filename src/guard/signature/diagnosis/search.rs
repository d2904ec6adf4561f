//! The search for the change that makes a signature fit, within a bound.

use http::Uri;

use super::super::key::Keyed;
use super::super::pieces::pieces;
use super::super::public_key::PublicKey;
use super::super::scheme::{Algorithm, Signatures};
use super::super::template::Part;
use super::super::verifier::{Keys, Signed, Verifier, key_bytes};
use super::body::BodyChange;
use super::finding::Fit;
use super::given::Given;
use super::question::Question;
use super::secret::SecretChange;
use super::shape::hmac_of;
use super::url::SignedUrl;
use crate::guard::layer::Head;
use subtle::ConstantTimeEq;

/// What a search may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that are hashed.
    pub bytes_max: u64,
    /// Hashes or signature checks.
    pub tries_max: u32,
}

/// A search in progress.
pub(super) struct Search<'a> {
    signatures: &'a Signatures,
    given: &'a Given<'a>,
    /// By the lengths of what was given.
    algorithms: Vec<Algorithm>,
    left: Budget,
    pub(super) tries: u32,
}

/// What a try is made with.
enum Key<'a> {
    Hmac(&'a [u8]),
    Public(&'a PublicKey),
}

/// What a try is made over.
#[derive(Clone, Copy)]
struct Over<'a> {
    head: Head<'a>,
    body: &'a [u8],
    url: &'a str,
}

// === impl Budget ===

impl Default for Budget {
    /// 64 MiB, about a quarter of a second, and 2,000 tries.
    fn default() -> Self {
        Self { bytes_max: 64 << 20, tries_max: 2000 }
    }
}

// === impl Search ===

impl<'a> Search<'a> {
    pub(super) fn new(signatures: &'a Signatures, given: &'a Given<'a>, budget: Budget) -> Self {
        let mut algorithms = Vec::new();
        for candidate in &given.signatures {
            let algorithm = match signatures.algorithm.has_public_key() {
                true => Some(signatures.algorithm),
                false => hmac_of(candidate.hash.as_slice().len()),
            };
            algorithms.extend(algorithm.filter(|algorithm| !algorithms.contains(algorithm)));
        }
        Self { signatures, given, algorithms, left: budget, tries: 0 }
    }

    /// Whether the bound ended it.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.bytes_max == 0 || self.left.tries_max == 0
    }

    /// The change after which one of the given signatures fits; the likely ones are tried first.
    pub(super) fn find(&mut self, question: &Question<'_>, body: &[u8]) -> Option<Fit> {
        if self.algorithms.is_empty() {
            return None;
        }
        let verifier = question.verifier;
        let as_sent = |url| Over { head: question.head, body, url };
        let urls = || verifier.urls.iter().map(|url| as_sent(url));
        urls()
            .find_map(|over| self.with_secrets(verifier, over))
            .or_else(|| urls().find_map(|over| self.with_changed_secrets(verifier, over)))
            .or_else(|| urls().find_map(|over| self.with_others(question, over)))
            .or_else(|| self.with_changed_bodies(verifier, question.head, body))
            .or_else(|| self.with_changed_urls(verifier, question.head, body))
    }

    /// Every secret as it is.
    fn with_secrets(&mut self, verifier: &Verifier, over: Over<'_>) -> Option<Fit> {
        let of = verifier.secrets.len();
        if let Keys::Public(keys) = &verifier.keys {
            return keys.iter().enumerate().find_map(|(index, key)| {
                Some(Fit { secret: Some((index + 1, of)), ..self.fits(&Key::Public(key), over)? })
            });
        }
        verifier.secrets.iter().enumerate().find_map(|(index, secret)| {
            let key = key_bytes(self.signatures, index + 1, secret.expose()).ok()?;
            Some(Fit { secret: Some((index + 1, of)), ..self.fits(&Key::Hmac(&key), over)? })
        })
    }

    fn with_changed_secrets(&mut self, verifier: &Verifier, over: Over<'_>) -> Option<Fit> {
        if !matches!(verifier.keys, Keys::Hmac(_)) {
            return None;
        }
        let of = verifier.secrets.len();
        SecretChange::ALL.into_iter().find_map(|change| {
            verifier.secrets.iter().enumerate().find_map(|(index, secret)| {
                let key = change.key(secret.expose(), self.signatures.key)?;
                let fit = self.fits(&Key::Hmac(&key), over)?;
                Some(Fit { secret: Some((index + 1, of)), secret_change: Some(change), ..fit })
            })
        })
    }

    /// The secrets of other sources: two were mixed up.
    fn with_others(&mut self, question: &Question<'_>, over: Over<'_>) -> Option<Fit> {
        if !matches!(question.verifier.keys, Keys::Hmac(_)) {
            return None;
        }
        question.others.iter().find_map(|other| {
            if !matches!(other.verifier.keys, Keys::Hmac(_)) {
                return None;
            }
            let fit = self.with_secrets(other.verifier, over)?;
            Some(Fit { source: Some(other.name.into()), ..fit })
        })
    }

    fn with_changed_bodies(&mut self, verifier: &Verifier, head: Head<'_>, body: &[u8]) -> Option<Fit> {
        let mut found = None;
        let covers_body = self.signatures.signed.has(&Part::Body) || self.signatures.signed.has(&Part::Form);
        if covers_body {
            BodyChange::each(body, |change, changed| {
                let urls = verifier.urls.iter();
                let fit = urls
                    .map(|url| Over { head, body: changed, url })
                    .find_map(|over| self.with_secrets(verifier, over));
                found = fit.map(|fit| Fit { body: Some(change), ..fit });
                found.is_some() || self.is_exhausted()
            });
        }
        found
    }

    fn with_changed_urls(&mut self, verifier: &Verifier, head: Head<'_>, body: &[u8]) -> Option<Fit> {
        if !self.signatures.signed.has(&Part::Url) {
            return None;
        }
        let without_query = head.uri.path().parse::<Uri>().unwrap_or_default();
        SignedUrl::all(verifier.urls.first().map_or("", |url| url), head).into_iter().find_map(|url| {
            let uri = if url.with_query { head.uri } else { &without_query };
            let fit = self.with_secrets(verifier, Over { head: Head { uri, ..head }, body, url: &url.url })?;
            Some(Fit { url: Some(url), ..fit })
        })
    }

    /// One try with each algorithm that the given signatures may be of.
    fn fits(&mut self, key: &Key<'_>, over: Over<'_>) -> Option<Fit> {
        let signed = Signed {
            head: over.head,
            body: over.body,
            timestamp: self.given.timestamp.as_deref().unwrap_or_default(),
            id: self.given.id,
            url: over.url,
            pieces: pieces(self.signatures, over.url, over.head, over.body).ok()?,
        };
        for algorithm in self.algorithms.clone() {
            self.pay(over.body.len())?;
            let found = match key {
                Key::Hmac(key) => {
                    let expected = signed.hash(self.signatures, &Keyed::new(algorithm, key)?);
                    let expected = expected.as_slice();
                    let is_it = |given: &[u8]| given.len() == expected.len() && bool::from(given.ct_eq(expected));
                    self.given.signatures.iter().find(|candidate| is_it(candidate.hash.as_slice()))
                }
                Key::Public(key) => {
                    let message = signed.message(self.signatures);
                    self.given.signatures.iter().find(|candidate| key.verifies(&message, &candidate.hash))
                }
            };
            if let Some(candidate) = found {
                let algorithm = Some(algorithm).filter(|algorithm| *algorithm != self.signatures.algorithm);
                return Some(Fit { algorithm, header: candidate.header.clone(), ..Fit::default() });
            }
        }
        None
    }

    /// Pays for a try; `None` where nothing is left.
    fn pay(&mut self, bytes: usize) -> Option<()> {
        let cost = bytes as u64 + 256;
        if self.left.tries_max == 0 || self.left.bytes_max < cost {
            self.left.bytes_max = 0;
            return None;
        }
        self.left = Budget { bytes_max: self.left.bytes_max - cost, tries_max: self.left.tries_max - 1 };
        self.tries += 1;
        Some(())
    }
}
