//! One certificate with its chain and its key, out of PEM.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::domain::Timestamp;

/// What the gateway shows to a client: a certificate, its chain, and the key that proves it.
#[derive(Clone)]
pub struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    not_before: Timestamp,
    not_after: Timestamp,
    digest: [u8; 32],
}

/// Why a pair of texts is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The first text holds no certificate.
    #[error("no certificate in it (PEM, `-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// A certificate that cannot be read.
    #[error("a certificate in it cannot be read: {0}")]
    BadCertificate(String),
    /// The second text holds no key.
    #[error("no private key in it (PEM, PKCS#8, PKCS#1 or SEC1, not encrypted)")]
    NoKey,
    /// A key that cannot be used.
    #[error("the private key cannot be used: {0}")]
    BadKey(String),
    /// Certificate and key are not a pair.
    #[error("the private key is not the one of the certificate")]
    Mismatch,
}

/// The most certificates of a chain.
const CHAIN_MAX: usize = 16;

// === impl Identity ===

impl Identity {
    /// A certificate with its chain, the own one first, and its private key.
    ///
    /// # Errors
    /// [`IdentityError`]; it never says anything of the key itself.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let chain = certificates(certificate)?;
        let leaf = chain.first().ok_or(IdentityError::NoCertificate)?;
        let parsed = Certificate::from_der(leaf).map_err(|error| IdentityError::BadCertificate(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_not_shown| IdentityError::NoKey)?;
        let mut digest = Sha256::new();
        chain.iter().for_each(|certificate| digest.update(certificate));
        digest.update(key.secret_der());
        let bad_key = |error: Error| IdentityError::BadKey(error.to_string());
        let signing = ring::sign::any_supported_type(&key).map_err(bad_key)?;
        let validity = parsed.tbs_certificate().validity();
        let names = names(&parsed)?;
        let (not_before, not_after) =
            (at(validity.not_before.to_unix_duration()), at(validity.not_after.to_unix_duration()));
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(IdentityError::Mismatch),
            Err(error) => return Err(IdentityError::BadCertificate(error.to_string())),
        }
        Ok(Self { certified: Arc::new(certified), names, not_before, not_after, digest: digest.finalize().into() })
    }

    /// The names and addresses that it is for, in lower case; `*` stands for one label.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// From when it is valid.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when it is valid.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it is for exactly this name, in lower case.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|known| **known == *name)
    }

    /// Whether it is for this name, in lower case, by a wildcard (RFC 9525 section 6.3: one label, the left-most).
    pub(super) fn is_wild_for(&self, name: &str) -> bool {
        let Some((label, parent)) = name.split_once('.') else { return false };
        !label.is_empty() && self.names.iter().any(|known| known.strip_prefix("*.") == Some(parent))
    }

    /// What tells it from others: of certificates and key together.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Every certificate of a text.
pub(super) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).take(CHAIN_MAX) {
        found.push(certificate.map_err(|error| IdentityError::BadCertificate(error.to_string()))?);
    }
    if found.is_empty() { Err(IdentityError::NoCertificate) } else { Ok(found) }
}

/// Names and addresses of the subject's alternative names; the common name does not count (RFC 9525 section 2).
fn names(certificate: &Certificate) -> Result<Vec<Box<str>>, IdentityError> {
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let found = found.map_err(|error| IdentityError::BadCertificate(error.to_string()))?;
    let mut names = Vec::new();
    for name in found.iter().flat_map(|(_critical, names)| &names.0) {
        match name {
            GeneralName::DnsName(name) => names.push(name.as_str().to_ascii_lowercase().into()),
            GeneralName::IpAddress(octets) => names.extend(address(octets.as_bytes())),
            _ => {}
        }
    }
    Ok(names)
}

fn address(octets: &[u8]) -> Option<Box<str>> {
    let address = match octets.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
    };
    Some(address.to_string().into())
}

fn at(since_1970: Duration) -> Timestamp {
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
