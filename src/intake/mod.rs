//! Stage 3: what the guards let through becomes durable, or is passed on to the app; then the sender gets its answer.
//!
//! Invariants:
//!
//! - In queue mode a 2xx leaves only after [`Store::admit`](crate::store::Store::admit) has said that event, deliveries
//!   and dedup mark are durable (promise 1), or that the first copy of the event is (promise 2).
//! - In proxy mode a mark is permanent only where the app answered 2xx (promise 2), and a request is given to the app
//!   once.
//! - What is kept or passed on is what was received: end-to-end headers and body unchanged (promise 3). Hop-by-hop fields
//!   and a sender's own `Hookward-*` headers are the only things that go; in proxy mode also what a stranger says in the
//!   name of proxies.
//! - Routes are asked once, here: fan-out is frozen at admission (promise 9).
//!
//! Reading order: [`service`] (which of the two), [`keep`] with [`headers`] (what of a request's head belongs to the
//! event), [`pass`] with `onward`, `forwarding` and `trailers` (what the app hears), `back` (what the sender hears of its answer),
//! `body` (an answer that streams) and [`app`] (the seam to whatever speaks with it).

pub mod app;
mod back;
mod body;
mod forwarding;
pub mod headers;
pub mod keep;
mod onward;
pub mod pass;
pub mod service;
mod trailers;

pub use app::{App, Onward};
pub use keep::{Config, Keep, Kept, Respond};
pub use pass::{Pass, PassConfig, Passed};
pub use service::Intake;
