//! A request that was made under a key of its sender's (`Idempotency-Key`), and what it was answered.

use bytes::Bytes;

use crate::domain::Timestamp;

/// How long it is known: a day.
pub const KNOWN_FOR: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// A request under a key. What it was and what it was answered is the caller's to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRequest {
    /// Project and key, hashed: no two keys have the same.
    pub name: [u8; 32],
    /// The project's part of it: no project pushes out the keys of another.
    pub project: u64,
    /// A hash of everything that makes it this request and no other.
    pub request: [u8; 32],
    /// When it was begun.
    pub begun_at: Timestamp,
    /// `None`: it was begun; whether it was done is not known.
    pub answer: Option<Bytes>,
}
