//! What the verbs of a store take and give, and why they fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::{DeliveryId, Event, EventId, NewEvent, Plan, Rejection, Timestamp, WebhookId};

/// An event with everything that must become durable together with it.
#[derive(Clone, Debug)]
pub struct Admission {
    /// From [`Store::next_event_id`](super::Store::next_event_id), where the event must know its own id; `None` lets the store give it one.
    pub id: Option<EventId>,
    /// What was received.
    pub event: NewEvent,
    /// Where it goes.
    pub plan: Plan,
    /// What makes a later copy a duplicate; `None` where the source does not deduplicate.
    pub dedup: Option<DedupMark>,
    /// A second mark, where there is a first: a later event with either is a duplicate. Durable before the answer; a crash
    /// before the answer may leave the event without it, never it without the event.
    pub also: Option<DedupMark>,
}

/// The mark by which a copy is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupMark {
    /// Keyed hash of source and event id (or whatever the source deduplicates by).
    pub key: [u8; 16],
    /// How long a copy counts as one.
    pub window: Duration,
}

/// What [`Store::claim_mark`](super::Store::claim_mark) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkClaimed {
    /// Nobody has passed this event on, and nobody is doing it: it is the claimer's until the lease ends.
    Ours(MarkClaim),
    /// The first copy is on its way.
    InFlight,
    /// A copy of this event, which was taken before.
    Duplicate(EventId),
}

/// A mark that is ours until its lease ends; in memory only, so that it dies with the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkClaim {
    /// The event's id; tells this claim from others of the same mark too.
    pub event: EventId,
    /// The mark's key.
    pub key: [u8; 16],
}

/// What [`Store::admit`](super::Store::admit) did; either way the event is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Kept, with its deliveries.
    Kept(EventId),
    /// A copy of this event, which is durable: nothing was added. Dead deliveries of the first were re-armed.
    Duplicate(EventId),
}

/// Why nothing was admitted. In every case nothing of the event was kept that could make a later copy a duplicate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdmitError {
    /// `bytes_max` or `disk_free_min` is reached, or the disk is full.
    #[error("the store is full: {0}")]
    Full(Arc<str>),
    /// The store has failed and closed itself, or is closing.
    #[error("the store takes nothing: {0}")]
    Unavailable(Arc<str>),
}

/// Why the store could not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing has this id (any more).
    #[error("there is no such id in the store")]
    NotFound,
    /// It is there, but its state does not allow this.
    #[error("{0}")]
    Conflict(Arc<str>),
    /// What was stored does not match its checksum; it was set aside.
    #[error("a stored record is damaged: {0}")]
    Damaged(Arc<str>),
    /// The engine failed.
    #[error("the store failed: {0}")]
    Engine(Arc<str>),
    /// The engine has no place for this, by design.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// What others have done to webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhooksChanged {
    /// These were registered, changed or forgotten.
    These(Vec<WebhookId>),
    /// Perhaps any of them.
    All,
}

/// A delivery that is ours until its lease ends.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The delivery.
    pub id: DeliveryId,
    /// The target's name.
    pub target: Arc<str>,
    /// The number of the attempt that is about to be made, from 1.
    pub attempt: u16,
    /// The event, whole.
    pub event: Arc<Event>,
    /// When the delivery became due: what it waited for since then is our own delay.
    pub due_at: Timestamp,
    /// Not worth attempting later.
    pub expires_at: Option<Timestamp>,
    /// Tells this claim from an earlier one whose lease ended: only the newest may settle.
    pub lease: u64,
}

/// What a person has paused, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Paused {
    /// Its events are kept; their deliveries wait.
    Source(Arc<str>),
    /// Its deliveries are held.
    Destination(Arc<str>),
}

/// What the store must know of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSettings {
    /// The destination's name.
    pub name: Arc<str>,
    /// More pending deliveries than this: a new one is dead at once (`queue_full`), replayable.
    pub queue_max: u64,
    /// Paused: its deliveries are held.
    pub paused: bool,
    /// No more are claimed at once, by all gateways of the store together; `None`: each minds its own.
    pub in_flight_max: Option<u64>,
    /// One after the other, whichever gateways claim, in the order in which their events were accepted: the next one is
    /// claimed when the one before it has succeeded, is dead, cancelled or expired. One that starts again takes its old
    /// place, which is before all younger ones; one that waits for a paused source stands aside. Where the store has
    /// several shards the order is that of each.
    pub ordered: bool,
}

/// What is kept for how long, counted from the last terminal delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events, their deliveries and attempts.
    pub events: Duration,
    /// The ledger of rejections.
    pub rejections: Duration,
    /// Bytes on disk beyond which the oldest closed events go early; and where only open ones are left, admission is refused.
    pub bytes_max: Option<u64>,
}

/// What one step of [`Store::sweep`](super::Store::sweep) removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Events.
    pub events: u64,
    /// Rejections.
    pub rejections: u64,
    /// Bytes given back to the disk.
    pub bytes: u64,
    /// Whether another step would find more.
    pub more: bool,
}

/// One target's queue as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// The destination's name.
    pub target: Arc<str>,
    /// Pending deliveries, due or waiting.
    pub pending: u64,
    /// Claimed ones.
    pub in_flight: u64,
    /// Held ones.
    pub held: u64,
    /// Since when the oldest pending delivery that is due has been due.
    pub oldest_due_at: Option<Timestamp>,
}

/// Whether the store can keep events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Empty: everything works. Else what does not, and what to do, a sentence each.
    pub reasons: Vec<Arc<str>>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Records that were found damaged and set aside since the start.
    pub damaged_records: u64,
}

/// A refused request as the ledger keeps it.
#[derive(Clone, Debug)]
pub struct RejectedRequest {
    /// Why.
    pub rejection: Rejection,
    /// The source whose path it was, if any.
    pub source: Option<Arc<str>>,
    /// When.
    pub at: Timestamp,
    /// The client's address.
    pub client: Option<std::net::IpAddr>,
    /// Method and path with query.
    pub request_line: Box<str>,
    /// The headers, credentials masked, a line each, bounded.
    pub headers: Box<str>,
    /// The body where it was read, bounded.
    pub body: Bytes,
}
