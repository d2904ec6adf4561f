//! The few senders that cannot be said in data: what they sign has a form of its own, or its key must be fetched.
//!
//! - [`adyen`]: eight fields of each item of a batch
//! - [`braintree`]: a form of two fields, and XML within
//! - [`aws_sns`]: some fields of the body, by a certificate that the message names
//! - [`paypal`]: a checksum of the body, by a certificate that the head names
//! - [`certificates`]: those certificates, from pinned hosts alone, bounded and cached
//! - [`fetching`]: the layer that waits for one before the signature is asked for
//!
//! Invariants: nothing is fetched from a host that the sender's name does not belong to; a guard never waits, so
//! that a certificate that is not there is 503 and not a wait; a field that is there twice is refused.

pub mod adyen;
pub mod aws_sns;
pub mod braintree;
pub mod certificates;
pub mod fetching;
pub mod paypal;
mod question;

pub use certificates::{Certificates, Fetch, Fetched};
pub use fetching::FetchingLayer;
pub use question::Odd;
