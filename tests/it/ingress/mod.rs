//! The ingress over real sockets: a server with a router, the body guard and a small service behind it.

mod answers;
mod draining;
pub(crate) mod gate;
mod limits;
mod proxy_protocol;
mod shortage;
mod smuggling;
mod spoofing;
mod targets;
mod timeouts;

use gate::{Gate, request};
