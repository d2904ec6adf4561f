//! Stage 5: one attempt is one request is one outcome.
//!
//! A [`Client`] turns an [`Endpoint`] and a [`Parcel`] (event, delivery, number) into an
//! [`Attempt`](crate::domain::Attempt), never into an error: whatever the other side does is an outcome.
//!
//! - An attempt ends within the endpoint's `timeout`, and what it reads is bounded: head, body kept, body
//!   thrown away.
//! - The event goes out byte for byte: body, method, query, end-to-end headers. What is added is prefixed
//!   `Hookward-`, or is asked for by the endpoint.
//! - A request is written once. Over a connection that turned out to be closed it goes out anew only where
//!   nothing of it had been written; everything else is a failed attempt, which the schedule repeats.
//! - Redirects are answers like any other: nothing is followed.
//! - An endpoint of a customer is called only where its [`Policy`] lets it, whatever its name leads to at that moment.
//!
//! Deliberately absent: a pool for attempts. Whoever makes attempts one after the other owns the connection and
//! lends it to each attempt; between two attempts it watches over it with [`Client::closed`].
//!
//! The app of a proxy-mode source is an [`Upstream`]: it has a pool, since anybody's request may go out over any of its
//! connections, and its answers stream.
//!
//! The HTTP/1.1 is our own: one request at a time over one connection, in the task that asks, with the event's
//! bytes written from where they lie, costs less than half of what a general client does. HTTP/2, which only apps are
//! spoken to in, is the crate h2's.
//!
//! Reading order: [`endpoint`] (settings), [`policy`] (where a request may go), `request` (what goes out), `http1` (its form, and the answer's),
//! `connector` (from URL to socket; `look_ups`, how many names at once), `connection` (one exchange), [`client`] (all of it); `upstream`,
//! `idle`, `passing` and `http2`.

pub mod client;
pub mod endpoint;
pub mod policy;
pub mod resign;
pub mod signing;
pub mod webhook;

mod connection;
mod connector;
mod failure;
mod get;
mod http1;
mod http2;
mod idle;
mod look_ups;
mod passing;
mod request;
mod stream;
mod tls;
mod upstream;
mod vetting;

#[cfg(test)]
mod client_framing_tests;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod client_tls_tests;
#[cfg(test)]
mod request_tests;

pub use client::Client;
pub use connection::Connection;
pub use endpoint::{Endpoint, EndpointUrl, EndpointUrlError, HeaderEdits, SignatureMode};
pub use get::{Getter, Got};
pub use policy::{NotAllowed, Policy, UrlRefused};
pub use request::Parcel;
pub use resign::{KeepSignatures, Resign};
pub use signing::{SigningKey, SigningKeyError};
pub use upstream::{Onward, Speaks, Upstream};
pub use vetting::Vetting;
pub use webhook::{AsymmetricKey, WebhookHeaders, WebhookKey, WebhookRequest};
