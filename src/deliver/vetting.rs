//! Asks of a customer's URL, before it is saved, what the connector will ask of it before each connection.

use std::time::Duration;

use tokio::time::Instant;

use super::connector::Connector;
use super::policy::{Policy, UrlRefused};
use super::{EndpointUrl, NotAllowed};

/// Judges URLs by their text and by what their names lead to; connects to nothing.
#[derive(Default)]
pub struct Vetting {
    connector: Connector,
}

// === impl Vetting ===

impl Vetting {
    /// The URL, where it may be called as far as can be told now, within `timeout`.
    ///
    /// A name that has no address yet, or whose servers do not answer, is no reason to refuse: it is judged again
    /// before every connection, and that is what protects.
    ///
    /// # Errors
    /// [`UrlRefused`], for the customer.
    pub async fn vet(&self, text: &str, policy: &Policy, timeout: Duration) -> Result<EndpointUrl, UrlRefused> {
        let url = policy.check_url(text)?;
        if policy.is_anywhere() {
            return Ok(url);
        }
        match self.connector.addresses(&url, Instant::now() + timeout).await {
            Ok(addresses) => match policy.permits_all(&addresses) {
                Ok(()) => Ok(url),
                Err(NotAllowed { address, purpose }) => {
                    tracing::info!(host = %url.host(), %address, purpose, "a webhook that is not taken: its host is not public");
                    Err(UrlRefused::Resolved)
                }
            },
            Err(unresolved) => {
                tracing::debug!(host = %url.host(), why = %unresolved.message, "a webhook whose host is not known yet");
                Ok(url)
            }
        }
    }
}
