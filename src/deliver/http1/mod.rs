//! HTTP/1.1 as a client speaks it (RFC 9112), without sockets: bytes in, bytes out.
//!
//! - [`request`] writes a request's head into a buffer that is used again.
//! - [`head`] takes the head of an answer apart, however its bytes come in, and [`body`] knows where its body ends;
//!   [`response`] keeps what an attempt wants of both, [`relay`] hands it on as it comes.
//!
//! Strict where framing is concerned: whatever could be read in two ways is not HTTP here, for an answer that
//! is cut in the wrong place becomes the answer to the next request.
//!
//! Deliberately absent: upgrades, pipelining, trailers of requests: their bodies go out with a length.

pub(super) mod body;
pub(super) mod head;
pub(super) mod relay;
pub(super) mod request;
pub(super) mod response;

#[cfg(test)]
mod body_tests;
#[cfg(test)]
mod response_tests;

pub(super) use body::Body;
pub(super) use head::INTERIM_ANSWERS_MAX;
pub(super) use relay::{Relay, Taken};
pub(super) use request::Head;
pub(super) use response::{Answer, Fault, Reader, Step};
