//! Which URLs and which addresses may be called: customers' URLs are hostile (RELIABILITY.md S10).
//!
//! - Pure: no look-up, no socket. [`Policy::check_url`] judges a text, [`Policy::permits`] an address, and
//!   [`Policy::permits_all`] what a name leads to; the connector asks the last one right before it connects.
//! - All or nothing: a name with one address that may not be called is not called at all. Which of its addresses a
//!   connection goes to is then never a matter of order or luck.
//! - Only the public unicast Internet may be called, `allow_private` excepted. The table of [`special`] ranges is that of the
//!   IANA registries; an address that carries an IPv4 address is judged by what it carries.
//! - What a customer reads never names an address that a look-up found.
//!
//! Destinations from the configuration are the operator's own and may be anywhere: [`Policy::anywhere`].
//!
//! Reading order: [`special`] (the ranges), `address` (judging one), `spelling` (judging a URL), [`rule`].

pub mod rule;
pub mod special;

mod address;
mod spelling;

#[cfg(test)]
mod spelling_tests;

pub use rule::{NotAllowed, Policy, UrlRefused};
