//! The seam between [`DedupLayer`](super::DedupLayer) and whatever keeps marks: memory, Redis, a table.

use std::future::Future;

/// Keeps marks of events. A mark is claimed, then settled or abandoned; claims of one key are atomic.
pub trait Marks {
    /// The answer to a claim.
    type Claiming: Future<Output = Claim>;
    /// The end of a claim.
    type Settling: Future<Output = ()>;

    /// Claims the mark of an event, if nobody has.
    fn claim(&self, key: [u8; 16]) -> Self::Claiming;

    /// Ends a claim: the mark becomes permanent for the window where the event was kept (2xx), and is
    /// released otherwise.
    fn settle(&self, key: [u8; 16], was_kept: bool) -> Self::Settling;

    /// The request of a claim was dropped before it was answered. Must not wait; a store that cannot release
    /// the mark at once lets it run out.
    fn abandon(&self, key: [u8; 16]);
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody had it: the event is new.
    First,
    /// Another request has it and is not done.
    InFlight,
    /// The event was kept before.
    Copy,
    /// The store cannot tell: the sender must come again.
    Unavailable,
}
