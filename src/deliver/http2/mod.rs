//! HTTP/2 to an app (RFC 9113): many requests at a time over few connections.
//!
//! - [`pool`] has the connections that are open, and opens another one where none has room; [`session`] is one of them and
//!   the task that drives it, [`sending`] where its requests begin; [`exchange`] is one request over it, and [`answer`] the body that comes back.
//! - A connection takes requests when the app's SETTINGS are there, and no more at a time than they say: a request is
//!   never put into a queue of which nobody knows how much of it was sent.
//! - A request goes out again only where the app has said that it did nothing with it: REFUSED_STREAM, or a GOAWAY
//!   that names an earlier stream (sections 6.8 and 8.7).
//! - Whoever gives a request up resets its stream; the others over the same connection go on.
//!
//! The frames, the compression of fields and the flow control are the crate h2's. Deliberately absent: pushes, priorities,
//! CONNECT, the upgrade from HTTP/1.1.

mod answer;
mod exchange;
mod limits;
mod pool;
mod sending;
mod session;

pub(super) use exchange::Destined;
pub(super) use pool::{Sessions, Way};
