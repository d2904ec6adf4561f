//! What moves from one store to another: events as they stand, marks, and the keys by which both are known.
//!
//! A store that takes in what another one held has that one's keys, so that every id stays what it was and every copy is
//! still known. So the order is: keys first (a new store is opened with them), then events, then marks: a mark whose event
//! is not there yet would call the sender's copy a duplicate of nothing.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Attempt, DeadReason, DeliveryState, Event, OutcomeClass, PlannedDelivery, Seq, Timestamp};

/// The keys of a store, made once: whoever has them can make its ids.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoreKeys {
    /// Makes the ids.
    pub mint: [u8; 16],
    /// Hashes what sources deduplicate by.
    pub hash: [u8; 16],
}

/// An event with everything that became of it.
#[derive(Clone, Debug)]
pub struct MovedEvent {
    /// The event, whole.
    pub event: Arc<Event>,
    /// Its deliveries, by ordinal.
    pub deliveries: Vec<MovedDelivery>,
}

/// A delivery as it stands.
#[derive(Clone, Debug)]
pub struct MovedDelivery {
    /// How it was planned.
    pub planned: PlannedDelivery,
    /// Where it stands; whatever is open is [`DeliveryState::Pending`].
    pub state: DeliveryState,
    /// Why it is dead, if it is.
    pub dead_reason: Option<DeadReason>,
    /// Attempts made.
    pub attempts: u16,
    /// When the next one is due; of what has ended: when the last one was.
    pub due_at: Timestamp,
    /// When it ended; 0 while it is open.
    pub finished_at: Timestamp,
    /// The last answer's status.
    pub response_code: Option<u16>,
    /// How long the last attempt took, in whole milliseconds.
    pub response_time: Option<Duration>,
    /// The class of the last outcome.
    pub outcome: Option<OutcomeClass>,
    /// The attempts that are still known, by number.
    pub made: Vec<Attempt>,
}

/// A dedup mark of an event that was kept or passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedMark {
    /// The mark's key.
    pub key: [u8; 16],
    /// The event's place in time, from which its window counts.
    pub seq: Seq,
}

/// Some events of a store, oldest first.
#[derive(Clone, Debug, Default)]
pub struct MovedPage {
    /// The events that can be read.
    pub events: Vec<MovedEvent>,
    /// Go on behind this one; `None`: that was all.
    pub next: Option<Seq>,
    /// Events that were passed over because they are damaged.
    pub damaged: u64,
}

/// Bytes of bodies, headers and answers of one page, unless a single event has more.
pub(super) const PAGE_BYTES_MAX: usize = 8 << 20;

/// Events of one page.
pub(super) const PAGE_EVENTS_MAX: usize = 256;

// === impl StoreKeys ===

impl StoreKeys {
    /// New ones.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut keys = Self { mint: [0; 16], hash: [0; 16] };
        getrandom::fill(&mut keys.mint).and_then(|()| getrandom::fill(&mut keys.hash)).map_err(io::Error::other)?;
        Ok(keys)
    }
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKeys")
    }
}

// === impl MovedEvent ===

impl MovedEvent {
    /// When the last delivery ended, or the event came; `None` while one is open.
    #[must_use]
    pub fn over_at(&self) -> Option<Timestamp> {
        self.deliveries.iter().try_fold(self.event.seq.time(), |last, delivery| {
            (!delivery.state.is_open()).then(|| last.max(delivery.finished_at))
        })
    }

    /// Roughly what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let received = &self.event.received;
        let made = self.deliveries.iter().flat_map(|delivery| &delivery.made);
        let answers: usize = made.map(|attempt| attempt.response_body.len() + 512).sum();
        received.body.len() + received.headers.as_bytes().len() + answers + 512
    }
}
