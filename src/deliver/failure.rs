//! Why an attempt brought no whole answer: the class that counts it and the words that explain it.

use std::fmt::Display;
use std::io;

use tokio_rustls::rustls;

use crate::domain::OutcomeClass;

/// What went wrong, classed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: OutcomeClass,
    pub(super) message: Box<str>,
}

/// The longest message that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 512;

// === impl Failure ===

impl Failure {
    pub(super) fn new(class: OutcomeClass, message: impl Display) -> Self {
        let mut message = message.to_string();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        Self { class, message: message.into() }
    }

    /// The name has no address, or nobody who knows answered.
    pub(super) fn dns(host: &str, why: &dyn Display) -> Self {
        Self::new(OutcomeClass::Dns, format_args!("the name {host} could not be resolved: {why}"))
    }

    /// No connection to any of the addresses.
    pub(super) fn connect(address: &dyn Display, why: &dyn Display) -> Self {
        Self::new(OutcomeClass::Connect, format_args!("no connection to {address}: {why}"))
    }

    /// The policy refuses what the host leads to. Which address that is belongs into the log only.
    pub(super) fn not_allowed(host: &dyn Display) -> Self {
        let message = format_args!("{host} leads to an address that is not on the public internet, and is not called");
        Self::new(OutcomeClass::Connect, message)
    }

    /// The handshake failed; rustls says why.
    pub(super) fn tls(error: &io::Error) -> Self {
        let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match reason {
            Some(reason) => Self::new(OutcomeClass::Tls, format_args!("the TLS handshake failed: {reason}")),
            None => Self::new(OutcomeClass::Tls, format_args!("the TLS handshake failed: {error}")),
        }
    }

    /// What was reached, and what did not come in time.
    pub(super) fn timeout(missing: &str) -> Self {
        Self::new(OutcomeClass::Timeout, format_args!("timed out: {missing}"))
    }

    /// The connection broke, or what came was not HTTP.
    pub(super) fn protocol(why: &dyn Display) -> Self {
        Self::new(OutcomeClass::Protocol, why)
    }
}
