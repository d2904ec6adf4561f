//! The client side of TLS: who is believed.

use std::sync::{Arc, OnceLock};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Makes the TLS configuration when the first encrypted destination is called, and once: reading the
/// machine's certificates takes milliseconds and about a megabyte, which plain destinations do not need.
pub(super) struct Tls {
    config: OnceLock<Arc<ClientConfig>>,
    offered: &'static [&'static [u8]],
}

/// The names of the protocols in the handshake (RFC 7301), the one that is liked best first.
pub(super) const HTTP1: &[u8] = b"http/1.1";
pub(super) const HTTP2: &[u8] = b"h2";

// === impl Tls ===

impl Default for Tls {
    fn default() -> Self {
        Self::offering(&[HTTP1])
    }
}

impl Tls {
    /// A configuration that was made elsewhere.
    pub(super) fn with(config: Arc<ClientConfig>) -> Self {
        Self { config: OnceLock::from(config), offered: &[] }
    }

    /// The machine's roots; these protocols are offered.
    pub(super) fn offering(offered: &'static [&'static [u8]]) -> Self {
        Self { config: OnceLock::new(), offered }
    }

    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(self.config.get_or_init(|| machine_config(self.offered))))
    }
}

/// The machine's roots; in an image without any, those of Mozilla that are compiled in.
fn machine_config(offered: &[&[u8]]) -> Arc<ClientConfig> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificates of the machine could not be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    tracing::debug!(added, ignored, roots = roots.len(), "roots for encrypted destinations loaded");
    Arc::new(client_config(roots, offered))
}

fn client_config(roots: RootCertStore, offered: &[&[u8]]) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = match versions {
        Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
        // Cannot happen with ring, which has both versions; the process-wide provider is the same one then.
        Err(_) => ClientConfig::builder().with_root_certificates(roots).with_no_client_auth(),
    };
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    config
}
