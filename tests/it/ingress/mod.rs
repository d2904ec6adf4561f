//! The ingress over real sockets: a server with a router, the body guard and a small service behind it.

mod answers;
mod gate;
mod limits;
mod smuggling;
mod targets;
mod timeouts;

use gate::{Gate, request};
