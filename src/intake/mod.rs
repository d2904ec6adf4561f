//! Stage 3: what the guards let through becomes durable, then the sender gets its answer.
//!
//! Invariants:
//!
//! - A 2xx leaves only after [`Store::admit`](crate::store::Store::admit) has said that event, deliveries and
//!   dedup mark are durable (promise 1), or that the first copy of the event is (promise 2).
//! - What is kept is what was received: end-to-end headers and body unchanged (promise 3). Hop-by-hop fields
//!   and a sender's own `Hookward-*` headers are the only things that go.
//! - Routes are asked once, here: fan-out is frozen at admission (promise 9).
//!
//! Reading order: [`keep`] (the service), [`headers`] (what of a request's head belongs to the event).
//! Deliberately absent: proxy mode, which passes a request on instead of keeping it.

pub mod headers;
pub mod keep;

pub use keep::{Config, Keep, Kept, Respond};
