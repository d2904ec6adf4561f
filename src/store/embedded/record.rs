//! What the journal holds: one type a kind of record, and where a record lies.
//!
//! On disk a record is a frame of 16 bytes (mark, checksum, payload length, kind, version), the payload, and
//! zeros up to a multiple of eight. Mark and checksum are mixed with the segment's secret salt and with the
//! record's offset when it is written, so that neither the leftovers of a recycled file nor bytes that a
//! sender chose can pass for a record.

use bytes::Bytes;

use crate::domain::{
    Attempt, DeadReason, DeliveryState, Next, OutcomeClass, PlannedDelivery, Seq, Timestamp, Webhook, WebhookId,
};
use crate::store::DedupMark;

/// The version that this build writes into every record. It reads version 1 too, whose headers are counted
/// pairs and whose events do not say when they were signed.
pub(super) const RECORD_VERSION: u8 = 2;

/// Bytes of a record before its payload.
pub(super) const FRAME_BYTES: usize = 16;

/// The kinds of records. The numbers are stored: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A new event with its deliveries and its dedup mark.
    Admit = 1,
    /// An event that was admitted in a segment that goes, with its deliveries as they stand.
    Carry = 2,
    /// An attempt and what follows.
    Settle = 3,
    /// A delivery that ends without an attempt: cancelled, expired, unreadable.
    Stop = 4,
    /// A delivery that starts again.
    Redeliver = 5,
    /// Deliveries added to an old event.
    Replay = 6,
    /// Dedup marks of events that are gone.
    Marks = 7,
    /// Stands before each batch and says how far the journal was synced by then.
    Batch = 8,
    /// The last record of a segment that is full: the next segment goes on.
    Rolled = 9,
    /// A webhook as it stands from here on.
    Webhook = 10,
    /// A webhook that there is no more.
    WebhookGone = 11,
    /// An event of another store, with its deliveries as they stood there.
    Moved = 12,
    /// An attempt of a delivery of such an event: it changes nothing of how the delivery stands.
    Made = 13,
}

/// Where a record lies, frame included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u32,
    /// Frame, payload and padding.
    pub(super) bytes: u32,
}

/// A place between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u32,
    pub(super) offset: u32,
}

/// A record as it was read; text and bytes point into the payload.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Admit(EventHead<'a>),
    Carry(EventHead<'a>),
    Settle(SettleRecord),
    Stop(StopRecord),
    Redeliver(RedeliverRecord),
    Replay(ReplayRecord),
    Marks(Vec<Mark>),
    Batch { durable: Position },
    Rolled,
    Webhook(Box<Webhook>),
    WebhookGone(WebhookId),
    Moved(EventHead<'a>),
    Made(SettleRecord),
}

/// An event without method, query, headers and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventHead<'a> {
    pub(super) seq: Seq,
    pub(super) received_at: Timestamp,
    pub(super) dedup: Option<DedupMark>,
    pub(super) secret_index: Option<u8>,
    pub(super) source: &'a str,
    pub(super) project: &'a str,
    pub(super) event_type: Option<&'a str>,
    pub(super) source_event_id: Option<&'a str>,
    pub(super) body_bytes: u32,
    pub(super) deliveries: Vec<DeliveryRecord>,
}

/// One delivery as the journal says it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeliveryRecord {
    pub(super) planned: PlannedDelivery,
    pub(super) progress: Progress,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// `Pending` stands for every open state: held and in flight are not stored.
    pub(super) state: DeliveryState,
    pub(super) dead_reason: Option<DeadReason>,
    pub(super) attempts: u16,
    pub(super) due_at: Timestamp,
    /// When it became terminal; 0 while it is open.
    pub(super) finished_at: Timestamp,
    pub(super) response_code: Option<u16>,
    pub(super) response_millis: Option<u32>,
    pub(super) outcome: Option<OutcomeClass>,
}

/// An attempt and what follows.
#[derive(Clone, Debug)]
pub(super) struct SettleRecord {
    pub(super) seq: Seq,
    pub(super) ordinal: u16,
    pub(super) attempt: Attempt,
    pub(super) next: Next,
}

/// A delivery that ended without an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StopRecord {
    pub(super) seq: Seq,
    pub(super) ordinal: u16,
    pub(super) state: DeliveryState,
    pub(super) dead_reason: Option<DeadReason>,
    pub(super) at: Timestamp,
}

/// A delivery that starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RedeliverRecord {
    pub(super) seq: Seq,
    pub(super) ordinal: u16,
    pub(super) at: Timestamp,
}

/// Deliveries added to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplayRecord {
    pub(super) seq: Seq,
    pub(super) first_ordinal: u16,
    pub(super) deliveries: Vec<DeliveryRecord>,
}

/// A dedup mark apart from its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) key: [u8; 16],
    pub(super) seq: Seq,
}

/// A record that is ready for the journal but for its mark, and for its checksum's share of salt and offset.
#[derive(Clone, Debug, Default)]
pub(super) struct Framed(pub(super) Vec<u8>);

impl AsRef<[u8]> for Framed {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A payload that was read back and whose checksum holds.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) kind: Kind,
    pub(super) version: u8,
    pub(super) bytes: Bytes,
}

// === impl Kind ===

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Admit,
            Self::Carry,
            Self::Settle,
            Self::Stop,
            Self::Redeliver,
            Self::Replay,
            Self::Marks,
            Self::Batch,
            Self::Rolled,
            Self::Webhook,
            Self::WebhookGone,
            Self::Moved,
            Self::Made,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

// === impl Place, Position ===

impl Place {
    pub(super) fn start(self) -> Position {
        Position { segment: self.segment, offset: self.offset }
    }

    pub(super) fn end(self) -> Position {
        Position { segment: self.segment, offset: self.offset.saturating_add(self.bytes) }
    }
}

// === impl Progress ===

impl Progress {
    /// A delivery that waits for `due_at` and was never attempted.
    pub(super) fn pending(due_at: Timestamp) -> Self {
        Self {
            state: DeliveryState::Pending,
            dead_reason: None,
            attempts: 0,
            due_at,
            finished_at: Timestamp(0),
            response_code: None,
            response_millis: None,
            outcome: None,
        }
    }

    /// A delivery that was given up before its first attempt.
    pub(super) fn dead(reason: DeadReason, at: Timestamp) -> Self {
        Self { state: DeliveryState::Dead, dead_reason: Some(reason), finished_at: at, ..Self::pending(at) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.is_open()
    }

    /// What an attempt makes of it.
    pub(super) fn settle(&mut self, attempt: &Attempt, next: Next) {
        let ended_at = attempt.started_at.plus(attempt.duration);
        self.attempts = attempt.number;
        self.response_code = attempt.status;
        self.response_millis = Some(u32::try_from(attempt.duration.as_millis()).unwrap_or(u32::MAX));
        self.outcome = Some(attempt.outcome);
        match next {
            Next::Succeeded => self.finish(DeliveryState::Succeeded, None, ended_at),
            Next::Dead(reason) => self.finish(DeliveryState::Dead, Some(reason), ended_at),
            Next::RetryAt(at) => self.reopen(at),
        }
    }

    /// What an end without an attempt makes of it.
    pub(super) fn finish(&mut self, state: DeliveryState, reason: Option<DeadReason>, at: Timestamp) {
        self.state = state;
        self.dead_reason = reason;
        self.finished_at = at;
    }

    /// Due (again) at `at`.
    pub(super) fn reopen(&mut self, at: Timestamp) {
        self.state = DeliveryState::Pending;
        self.dead_reason = None;
        self.due_at = at;
        self.finished_at = Timestamp(0);
    }
}
