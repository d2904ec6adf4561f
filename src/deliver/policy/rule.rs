//! The rule that the connector and the API ask.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::address::{canonical, special};
use super::spelling;
use crate::deliver::endpoint::{EndpointUrl, EndpointUrlError};

/// Which URLs and which addresses may be called. The same one is cheap to compare and to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(Option<Arc<[IpNet]>>);

/// An address that may not be called, and what it is for. For the log: a customer reads [`UrlRefused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} may not be called: {purpose}")]
pub struct NotAllowed {
    /// The address.
    pub address: IpAddr,
    /// What its range is for.
    pub purpose: &'static str,
}

/// Why a customer's URL is not taken, in words that may be shown to the customer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Not something that can be called at all.
    #[error(transparent)]
    Url(#[from] EndpointUrlError),
    /// Longer than [`Policy::URL_BYTES_MAX`].
    #[error("longer than {} bytes", Policy::URL_BYTES_MAX)]
    TooLong,
    /// Programs would not agree on what it means.
    #[error("{0}")]
    Spelling(&'static str),
    /// A port where something else than a web server listens.
    #[error("the port {0} belongs to another protocol; use 443, or one from 1024 on")]
    Port(u16),
    /// A name that is only known within a network.
    #[error("the host is a name of a private network, which is not called from here")]
    LocalName,
    /// The address that is written in it is not public.
    #[error("the address is not on the public internet, and is not called from here")]
    Address,
    /// Its name has an address that is not public; which one is not for the customer.
    #[error("the host leads to an address that is not on the public internet, and is not called from here")]
    Resolved,
}

// === impl Policy ===

impl Policy {
    /// The longest URL of a customer, in bytes.
    pub const URL_BYTES_MAX: usize = 2048;

    /// No rule: for what the operator wrote into the configuration.
    #[must_use]
    pub const fn anywhere() -> Self {
        Self(None)
    }

    /// The public Internet only, and these networks (`allow_private`).
    #[must_use]
    pub fn public(allow_private: impl IntoIterator<Item = IpNet>) -> Self {
        Self(Some(allow_private.into_iter().map(|network| network.trunc()).collect()))
    }

    /// Whether everything may be called.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this address may be called.
    ///
    /// # Errors
    /// [`NotAllowed`], for the log.
    pub fn permits(&self, address: IpAddr) -> Result<(), NotAllowed> {
        let Some(allowed) = &self.0 else { return Ok(()) };
        let Some(purpose) = special(address) else { return Ok(()) };
        // As it is judged, and as it is written: an exception may name either.
        let is_allowed = |address: IpAddr| allowed.iter().any(|network| network.contains(&address));
        if is_allowed(canonical(address)) || is_allowed(address) {
            return Ok(());
        }
        Err(NotAllowed { address, purpose })
    }

    /// Whether all of these may be called: one that may not is reason enough to call none.
    ///
    /// # Errors
    /// The first [`NotAllowed`], for the log.
    pub fn permits_all(&self, addresses: &[IpAddr]) -> Result<(), NotAllowed> {
        addresses.iter().try_for_each(|address| self.permits(*address))
    }

    /// Takes a customer's URL apart, as far as its text tells; where it has a name, what that leads to must be asked
    /// with [`permits_all`](Self::permits_all).
    ///
    /// # Errors
    /// [`UrlRefused`], for the customer.
    pub fn check_url(&self, text: &str) -> Result<EndpointUrl, UrlRefused> {
        let Some(allowed) = &self.0 else { return Ok(EndpointUrl::parse(text)?) };
        spelling::check(text)?;
        let url = EndpointUrl::parse(text)?;
        spelling::check_parsed(text, &url)?;
        match url.host() {
            url::Host::Ipv4(address) => self.permits(IpAddr::V4(*address)).map_err(|_told| UrlRefused::Address)?,
            url::Host::Ipv6(address) => self.permits(IpAddr::V6(*address)).map_err(|_told| UrlRefused::Address)?,
            // With exceptions a private network's own names may be meant; their addresses are judged all the same.
            url::Host::Domain(name) if allowed.is_empty() && spelling::is_local_name(name) => {
                return Err(UrlRefused::LocalName);
            }
            url::Host::Domain(_) => {}
        }
        Ok(url)
    }
}
