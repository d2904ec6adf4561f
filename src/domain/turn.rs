//! A turn in a rate that is kept for several gateways together.

use std::sync::Arc;
use std::time::Duration;

/// One request of one client under one limit: who it counts for, and how fast that one may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The limit; the same for every gateway.
    pub limit: Arc<str>,
    /// The client under it: a hash that every gateway makes in the same way.
    pub client: u64,
    /// The time between two turns at the steady rate; a microsecond at least.
    pub interval: Duration,
    /// So many at once after a rest; at least one.
    pub burst: u32,
}
