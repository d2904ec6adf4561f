//! What a store holds as lines of JSON, for another store: written down, and read in again.
//!
//! The first line has the keys of the store, so that ids and copies are known there too; then come webhooks, events (oldest
//! first, each with its deliveries and their attempts), marks, and a last line that counts them: a file without it is cut off.
//! Whatever a line holds is bytes as they were: text where it is UTF-8, else base64.
//!
//! Memory holds a page of events at a time. Reading the same lines again changes nothing of what is there already.

mod export;
mod import;
mod line;
mod octets;

use std::io;

pub use export::export;
pub use import::{Opening, begin, import};
pub use line::FORMAT;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Events that were written or read.
    pub events: u64,
    /// Those of them that the store did not have before.
    pub new: u64,
    /// Events that could not be read from the store.
    pub damaged: u64,
    /// Deliveries of those events that are open.
    pub open: u64,
    /// Dedup marks.
    pub marks: u64,
    /// Webhooks.
    pub webhooks: u64,
    /// Bytes that were written or read.
    pub bytes: u64,
}

/// Why it ended early; everything before it counts.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Reading or writing the lines.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A line says something that no export says.
    #[error("line {number}: {reason}")]
    Line {
        /// From 1.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// The last line is missing.
    #[error("the export is cut off: its last line is missing; make it again, or go on with the whole one")]
    CutOff,
}
