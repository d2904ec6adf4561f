//! The ingress over real sockets: a server with a router, the body guard and a small service behind it.

mod answers;
mod gate;

pub(crate) use gate::{Gate, Peer, request};
