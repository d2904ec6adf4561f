//! Stage 4: which delivery is due: lanes per destination, retry, breaker.
//!
//! Each destination has a lane: a gate (concurrency, breaker, pace), workers that each keep a warm connection,
//! and a pump that wakes them. What makes the attempts is handed in ([`Attempts`]).
//!
//! - Nobody waits with a claim in hand: first a seat and a place in the pace, then the claim, then at once the
//!   attempt.
//! - An open breaker uses up no attempts: what was claimed when it opened is given back.
//! - A sick destination hurts nobody else: lanes share nothing but the store.
//! - A panic in an attempt is a failed attempt; one anywhere else in a lane costs a worker or a second, and
//!   what was claimed comes back when its lease ends.
//!
//! Thousands of webhooks have lanes that are made [`on_demand`]: an idle one costs nothing, all share a `room`.
//!
//! Deliberately absent: a queue. What is due waits in the store, not in memory.
//!
//! Reading order: [`destination`] (settings), [`dispatcher`] (all lanes), `lane` (one of them), `pump` and
//! `worker` (its tasks), `gate` with `breaker` and `pace` (who may begin), `retry` (what follows).

pub mod attempts;
pub mod destination;
pub mod dispatcher;
pub mod on_demand;

mod breaker;
mod gate;
mod lane;
mod pace;
mod pump;
mod retry;
mod room;
mod running;
mod seat;
mod worker;

pub use attempts::Attempts;
pub use destination::{BreakerSettings, Destination, RateLimit};
pub use dispatcher::{Dispatcher, LaneStatus};
pub use on_demand::{OnDemand, Resolved, Resolver};
