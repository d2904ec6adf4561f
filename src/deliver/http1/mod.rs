//! HTTP/1.1 as a client speaks it (RFC 9112), without sockets: bytes in, bytes out.
//!
//! - [`request`] writes a request's head into a buffer that is used again.
//! - [`response`] takes an answer apart, however its bytes come in; [`body`] knows where its body ends.
//!
//! Strict where framing is concerned: whatever could be read in two ways is not HTTP here, for an answer that
//! is cut in the wrong place becomes the answer to the next request.
//!
//! Deliberately absent: upgrades, pipelining, HTTP/2, trailers (read and dropped).

pub(super) mod body;
pub(super) mod request;
pub(super) mod response;

#[cfg(test)]
mod body_tests;
#[cfg(test)]
mod response_tests;

pub(super) use body::Body;
pub(super) use request::Head;
pub(super) use response::{Answer, Fault, Reader, Step};
