//! Retention: the oldest segment goes when everything in it is over and old enough.
//!
//! What is open is never forgotten: a few open events in a segment that is due are carried, with their
//! deliveries as they stand, to the end of the journal; a segment that is mostly open stays.

/// Where the sweep stands.
#[derive(Debug, Default)]
pub(super) struct Sweeper {}
