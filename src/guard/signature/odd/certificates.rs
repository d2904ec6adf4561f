//! Certificates that senders name: fetched once, kept while they are used, and never more than a few at a time.
//!
//! The host was pinned before ([`aws_sns`](super::aws_sns), [`paypal`](super::paypal)) and is proved by TLS; the
//! certificate itself is a key in a wrapping. What could not be fetched is not asked for again for a while, so that
//! strangers who name certificates that do not exist cost next to nothing.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ring::signature::{RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ParsedCertificate;
use tokio::sync::Semaphore;
use url::Url;

use crate::domain::{Clock, Timestamp};

/// What fetches: the gateway's client, or a test's.
pub trait Fetch: Send + Sync {
    /// The body of a 200 of this URL, bounded in bytes and time by the implementation; nothing is followed.
    fn fetch(&self, url: &Url) -> Fetched;
}

/// What comes of it; the error is for people.
pub type Fetched = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// The certificates of all sources.
pub struct Certificates {
    fetch: Arc<dyn Fetch>,
    clock: Clock,
    kept: Mutex<HashMap<Box<str>, Kept>>,
    fetching: Semaphore,
}

/// A certificate's key, or when it could not be had.
#[derive(Clone)]
struct Kept {
    key: Option<Arc<RsaKey>>,
    at: Timestamp,
}

/// The key of a certificate: an RSA public key of PKCS#1.
#[derive(Debug)]
pub struct RsaKey(Vec<u8>);

/// What an RSA signature hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaScheme {
    /// SHA-1: what SNS signs with unless it is told otherwise.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// The most bytes of a certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

/// What a sender is asked to wait whose certificate could not be fetched.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

const KEPT_MAX: usize = 64;
const FETCHES_MAX: usize = 4;
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
const FAILED_FOR: Duration = Duration::from_secs(10);

/// The algorithm identifier of RSA and the tag of the bit string behind it (RFC 3279 section 2.3.1).
const RSA_IDENTIFIER: [u8; 16] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03];

// === impl Certificates ===

impl Certificates {
    /// Certificates that this fetches.
    #[must_use]
    pub fn new(fetch: Arc<dyn Fetch>, clock: Clock) -> Self {
        Self { fetch, clock, kept: Mutex::default(), fetching: Semaphore::new(FETCHES_MAX) }
    }

    /// The key of a certificate that is there.
    #[must_use]
    pub fn get(&self, url: &Url) -> Option<Arc<RsaKey>> {
        self.lock().get(url.as_str())?.key.clone()
    }

    /// Fetches a certificate unless it is there, or could not be fetched a moment ago, or too many are under way.
    pub async fn ensure(&self, url: &Url) {
        if !self.is_wanted(url) {
            return;
        }
        let Ok(_permit) = self.fetching.try_acquire() else { return };
        let key = match self.fetch.fetch(url).await {
            Ok(pem) => match RsaKey::of_certificate(&pem) {
                Some(key) => Some(Arc::new(key)),
                None => {
                    tracing::warn!(%url, "not a certificate with an RSA key");
                    None
                }
            },
            Err(error) => {
                tracing::warn!(%url, error, "certificate not fetched");
                None
            }
        };
        let at = self.clock.now();
        let mut kept = self.lock();
        if kept.len() >= KEPT_MAX {
            // Those of strangers first, then the oldest.
            let oldest = kept.iter().min_by_key(|(_, kept)| (kept.key.is_some(), kept.at)).map(|(url, _)| url.clone());
            oldest.and_then(|oldest| kept.remove(&oldest));
        }
        kept.insert(url.as_str().into(), Kept { key, at });
    }

    /// Asks for a URL whose answer nobody needs: a confirmation.
    pub async fn call(&self, url: &Url) -> Result<(), String> {
        self.fetch.fetch(url).await.map(drop)
    }

    fn is_wanted(&self, url: &Url) -> bool {
        let now = self.clock.now();
        self.lock().get(url.as_str()).is_none_or(|kept| {
            let good_for = if kept.key.is_some() { KEPT_FOR } else { FAILED_FOR };
            now.since(kept.at) >= good_for
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("kept", &self.lock().len()).finish_non_exhaustive()
    }
}

// === impl RsaKey ===

impl RsaKey {
    /// The key of the first certificate of a PEM text.
    #[must_use]
    pub fn of_certificate(pem: &[u8]) -> Option<Self> {
        let certificate = CertificateDer::from_pem_slice(pem).ok()?;
        let info = ParsedCertificate::try_from(&certificate).ok()?.subject_public_key_info();
        let info = info.as_ref();
        let at = info.windows(RSA_IDENTIFIER.len()).position(|window| window == RSA_IDENTIFIER)?;
        let rest = info.get(at + RSA_IDENTIFIER.len()..)?;
        // The bit string's length, in one byte or in as many as its low bits say, and the byte of unused bits.
        let skipped = match rest.first()? {
            length @ 0x80.. => usize::from(length & 0x7f) + 1,
            _ => 1,
        };
        let (unused, key) = rest.get(skipped..)?.split_first()?;
        (*unused == 0).then(|| Self(key.to_vec()))
    }

    /// Whether the other half signed the message.
    #[must_use]
    pub fn verifies(&self, scheme: RsaScheme, message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match scheme {
            RsaScheme::Sha1 => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            RsaScheme::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.0).verify(message, signature).is_ok()
    }
}
