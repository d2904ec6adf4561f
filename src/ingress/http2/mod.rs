//! HTTP/2 (RFC 9113): the same promises as HTTP/1.1, over many streams at a time.
//!
//! hyper and h2 speak the protocol; every limit that they have is set on purpose in `limits`. Around them: a stream
//! that follows the frames in both directions (`frames`, `watched`), for what they do not tell and for floods that
//! they do not mind; an executor that ends the streams of a connection with it (`streams`); the way from their
//! requests to the gateway's service (`service`); and the deadlines of a connection (`session`, `connection`).

mod connection;
mod frames;
mod limits;
mod service;
mod session;
mod streams;
mod watched;

pub(super) use connection::drive;
pub(super) use streams::Leftover;
