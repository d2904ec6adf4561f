//! Stage 1: sockets, client address, routing by path.
//!
//! A [`Server`] accepts on its [`Listener`] and drives each connection in a task of its own. What it says before HTTP
//! (a PROXY header, TLS) is `opening`'s; its first bytes, or ALPN, say whether it speaks HTTP/2 (`http2`). Else hyper reads
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

pub mod answer;
pub mod body;
pub mod call;
pub mod client;
pub mod config;
mod connection;
mod drain;
mod ending;
mod framing;
pub mod host;
mod http2;
mod interim;
mod line;
pub mod listener;
mod opening;
mod preface;
mod prefixed;
mod progress;
pub mod proxy_protocol;
pub mod router;
mod scanner;
pub mod server;
pub mod service;
mod stream;
pub mod tls;

pub use answer::{Ledger, TurnedAway};
pub use body::RequestBody;
pub use client::{client_address, is_trusted};
pub use config::Config;
pub use ending::Endless;
pub use listener::{ListenError, Listener};
pub use router::{PathError, Router, Table};
pub use server::Server;
pub use service::{Arrival, Scheme};
pub use tls::Tls;

/// What a sender is asked to wait when the gateway itself is the reason for a 503.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);
