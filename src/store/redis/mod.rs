//! The Redis engine: any number of gateways, one truth.
//!
//! - **Redis is the truth**: everything that a verb changes it changes in one script, so that it happens as a whole or
//!   not at all, whichever gateway asked. What a gateway holds in memory are hints and copies.
//! - A **shard** is a hash tag: all keys of one script are in one slot. An event's shard stands in its seq, a mark's in
//!   its first byte, so that a copy meets the first one's mark.
//! - A shard's **courier** takes everything that waits and brings it in one pipeline: one round trip, and one sync of
//!   the server's append-only file, serve many requests.
//! - The **link** is the connection: made anew when it breaks, and used only after the server's settings were looked at.
//!   In a cluster each shard has one, to the node that has its slot.
//!
//! An event's path: `admit` → `courier` (one pipeline) → answer; `lane` (hint) → `claims` (claimed under a lease by a
//! token, read from `cache` or Redis) → `errand` (settled, with the next pipeline).
//!
//! Invariants: nothing is acknowledged whose script has not answered; a try whose answer was lost is made again with the
//! same seq and recognised; only the newest lease settles; leases that end are taken over by whoever claims next.
//!
//! Deliberately absent: pub/sub and blocking commands. A gateway looks every 100 ms for what others admitted or left, for
//! webhooks that they changed, and for what they paused.
//!
//! Reading order: `config`, `link` with `settings` (`links`, `cluster`, `again` where there are several nodes), `script` with `scripts/`, `courier`, then the verbs.

mod again;
mod cluster;
mod config;
mod connection;
mod identity;
mod link;
mod links;
mod memory;
mod script;
mod settings;

mod key;
mod record;
mod sequence;

mod courier;
mod errand;
mod jobs;
mod outbox;
mod replies;

mod admit;
mod cache;
mod claims;
mod lane;
mod marks;
mod turns;

mod deliveries;
mod edits;
mod end;
mod engine;
mod ledger;
mod lists;
mod moving;
mod newest;
mod pauses;
mod requests;
mod standing;
mod stirring;
mod store;
mod sweep;
mod totals;
mod webhooks;

pub use config::{Address, AddressError, Config, Durability, OpenError, Tls};
pub use engine::Redis;
