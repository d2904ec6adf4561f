//! Stage 6: what became of an event: search, redelivery, replay, retention.
//!
//! - A look-up takes our id or the sender's own.
//! - Redelivery and replay go past dedup, and are durable before anybody is told.
//! - Retention works in small steps and never takes what is open; the store holds that promise.
//!
//! - What a store holds can be written down and taken in by another store, twice if need be, without doubling anything.
//!
//! Reading order: [`search`], [`again`], [`replays`], [`retention`], [`passed`], [`moving`].

pub mod again;
pub mod moving;
pub mod passed;
pub mod replays;
pub mod retention;
pub mod search;
