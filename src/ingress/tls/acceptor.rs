//! Several certificates on one port: which one a client is shown, and what else the server side of TLS is set to.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};

use super::identity::{Identity, IdentityError, certificates};

/// The server side of TLS, as configured. Two are equal when they were made of the same certificates and keys.
pub struct Tls {
    config: Arc<ServerConfig>,
    choice: Arc<Choice>,
    asks_for_client_certificates: bool,
    digest: [u8; 32],
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nothing to show.
    #[error("there is no certificate")]
    NoIdentity,
    /// The certificates of `client_ca`.
    #[error(transparent)]
    ClientCa(#[from] IdentityError),
    /// rustls refuses them.
    #[error("{0}")]
    Refused(String),
}

/// The certificates, the first being the one for whoever asks for none of them.
#[derive(Debug)]
struct Choice(Vec<Identity>);

// === impl Tls ===

impl Tls {
    /// Shows these certificates, the first one to clients that name no server or an unknown one. With `client_ca`,
    /// certificates in PEM, clients must show a certificate that one of those has issued.
    ///
    /// # Errors
    /// No identity, or a `client_ca` that holds no usable certificate.
    pub fn new(identities: Vec<Identity>, client_ca: Option<&str>) -> Result<Self, TlsError> {
        if identities.is_empty() {
            return Err(TlsError::NoIdentity);
        }
        let refused = |error: &dyn fmt::Display| TlsError::Refused(error.to_string());
        let provider = Arc::new(ring::default_provider());
        let mut digest = Sha256::new();
        identities.iter().for_each(|identity| digest.update(identity.digest()));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&error))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem)? {
                    digest.update(&certificate);
                    roots.add(certificate).map_err(|error| refused(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| refused(&error))?)
            }
        };
        let choice = Arc::new(Choice(identities));
        let mut config = builder.with_cert_resolver(Arc::clone(&choice) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (config, digest) = (Arc::new(config), digest.finalize().into());
        Ok(Self { config, choice, asks_for_client_certificates: client_ca.is_some(), digest })
    }

    /// The certificates, the one for unknown names first.
    #[must_use]
    pub fn identities(&self) -> &[Identity] {
        &self.choice.0
    }

    /// Whether clients must show a certificate.
    #[must_use]
    pub fn asks_for_client_certificates(&self) -> bool {
        self.asks_for_client_certificates
    }

    /// Whether a request for `host` came over a connection that was made for another certificate: the client's name
    /// for the server (SNI) leads to one that `host` does not lead to, and that is not for `host` either.
    #[must_use]
    pub fn is_misdirected(&self, server_name: Option<&str>, host: &str) -> bool {
        let (shown, meant) = (self.choice.index(server_name), self.choice.index(Some(host)));
        let covers = |identity: &Identity| {
            let host = lower(host);
            identity.is_named(&host) || identity.is_wild_for(&host)
        };
        shown != meant && !self.choice.0.get(shown).is_some_and(covers)
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.asks_for_client_certificates == other.asks_for_client_certificates
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("identities", &self.choice.0).finish_non_exhaustive()
    }
}

// === impl Choice ===

impl Choice {
    /// Those for a name: a certificate that names it before one with a wildcard, in their order; else the first of all.
    fn candidates(&self, server_name: Option<&str>) -> Vec<usize> {
        let name = server_name.map(lower);
        let all = || (0..).zip(&self.0);
        let such = |is: &dyn Fn(&Identity, &str) -> bool| -> Vec<usize> {
            let Some(name) = &name else { return Vec::new() };
            all().filter(|(_, identity)| is(identity, name)).map(|(index, _)| index).collect()
        };
        let named = such(&|identity, name| identity.is_named(name));
        let found = if named.is_empty() { such(&|identity, name| identity.is_wild_for(name)) } else { named };
        if found.is_empty() { vec![0] } else { found }
    }

    fn index(&self, server_name: Option<&str>) -> usize {
        self.candidates(server_name).first().copied().unwrap_or_default()
    }
}

impl ResolvesServerCert for Choice {
    /// Of several for one name (RSA beside ECDSA) the first whose signatures the client takes.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(hello.server_name());
        let known = |index: &usize| self.0.get(*index).map(|identity| &identity.certified);
        let taken = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        let certified = candidates.iter().filter_map(known).find(taken);
        certified.or_else(|| candidates.first().and_then(known)).map(Arc::clone)
    }
}

/// A name as it is compared: without case, and without the dot that ends a full name.
fn lower(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
