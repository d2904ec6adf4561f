//! Stage 1: sockets, client address, routing by path.
//!
//! A [`Server`] accepts on its [`Listener`] and drives each connection in a task of its own: hyper reads
//! HTTP/1.1 from a stream whose framing a scanner follows, one timer watches over the deadlines, and each
//! request goes to a tower service with its client's address in the extensions. A [`Router`] is such a
//! service: it finds the source by path and asks nothing of the body.
//!
//! Invariants:
//!
//! - Every limit is a field of [`Config`] or a constant beside the code that holds it.
//! - What can be read in two ways is refused with 400 (a transfer coding that is only unknown: 501) and the
//!   connection is closed, never mended.
//! - Nothing here reads a body: the guards decide first.
//! - A client's address comes from the socket, or from proxies that the configuration trusts.
//!
//! What a connection says before HTTP (the PROXY protocol) is `opening`'s; `connection::drive` takes any stream. HTTP/2
//! belongs into `drive` beside HTTP/1.1.

pub mod answer;
pub mod call;
pub mod client;
pub mod config;
mod connection;
mod drain;
mod framing;
pub mod host;
mod line;
pub mod listener;
mod opening;
mod prefixed;
mod progress;
pub mod proxy_protocol;
pub mod router;
mod scanner;
pub mod server;
pub mod service;
mod stream;

pub use answer::{Ledger, TurnedAway};
pub use client::client_address;
pub use config::Config;
pub use listener::{ListenError, Listener};
pub use router::{PathError, Router, Table};
pub use server::Server;
pub use service::Arrival;

/// What a sender is asked to wait when the gateway itself is the reason for a 503.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);
