//! The embedded engine: one folder, one process, no server.
//!
//! - The **journal** is the truth: segments of records, written by one thread that commits everything that
//!   waits with one write and one sync. A record that was acknowledged is there.
//! - The **index** is derived: a SQLite file that another thread brings up to the journal, and from which
//!   lists are answered. Lost or damaged, it is built anew.
//! - The **lanes** are memory: the open deliveries of each target, loaded from the index at a start.
//!
//! An event's path: `admit` (dedup, encode) → `journal` (the batch) → `writer` (write, sync, answer)
//! → `lane` (due) → `claims` (attempted, settled), and behind it `indexer` → `index` → `search`.
//!
//! Invariants: nothing is acknowledged before the sync of its batch; an error of write or sync is final;
//! the index holds nothing that the journal has not synced; what is open is in a lane, in the index's open
//! rows, or in a record behind the index's position, and never in none of them.

mod config;
mod engine;
mod lock;
mod store;

mod admit;
mod answer;
mod bloom;
mod cache;
mod deaths;
mod dedup;
mod marks;

mod decode;
mod encode;
mod gate;
mod headroom;
mod journal;
mod keeper;
mod record;
mod scan;
mod segment;
mod segments;
mod writer;

mod checkpoints;
mod claims;
mod key;
mod lane;
mod line;
mod queue;
mod stirring;

mod carry;
mod edits;
mod fold;
mod holders;
mod index;
mod indexer;
mod lists;
mod loader;
mod moving;
mod names;
mod pacing;
mod packed;
mod pauses;
mod rare;
mod readers;
mod rejections;
mod requests;
mod retention;
mod rows;
mod runs;
mod search;
mod starved;
mod totals;
mod walk;
mod webhooks;
mod write_fold;
mod zones;

#[cfg(test)]
mod lists_tests;
#[cfg(test)]
mod lists_visits_tests;
#[cfg(test)]
mod record_tests;

pub use config::{Config, Durability, OpenError};
pub use engine::Embedded;
