//! TLS at the ingress: certificates with their keys, which of them a client is shown, and the handshake.
//!
//! rustls over ring: TLS 1.2 and 1.3, and of those only what Mozilla's intermediate profile has. A [`Tls`] is made when
//! a configuration is checked, and never changes; a reload puts another one in its place, which new connections get.

mod acceptor;
mod handshake;
mod identity;

pub use acceptor::{Tls, TlsError};
pub(super) use handshake::{Encrypted, Failure, accept};
pub use identity::{Identity, IdentityError};
