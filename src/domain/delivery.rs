//! One event for one destination: its state, its attempts and what comes next.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{HeaderBlock, Timestamp};

/// Where the deliveries of one event go; frozen when the event is admitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One delivery a target, in the order of the routes; empty for an event that no route wants.
    pub deliveries: Vec<PlannedDelivery>,
}

/// One delivery as it was planned at admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDelivery {
    /// The destination's name, which is its identity.
    pub target: Arc<str>,
    /// The route (its index in the configuration) that asked for it.
    pub route: u16,
    /// Not to be attempted earlier.
    pub not_before: Option<Timestamp>,
    /// Not worth attempting later.
    pub expires_at: Option<Timestamp>,
    /// Deliveries of a target with the same key go out in the order of their events.
    pub order_key: Option<Box<str>>,
    /// Deliveries of a target with the same key may share a request.
    pub batch_key: Option<Box<str>>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Waits for its time.
    Pending,
    /// An attempt is under way.
    InFlight,
    /// Its destination was removed from the configuration or is paused.
    Held,
    /// The destination answered 2xx.
    Succeeded,
    /// Given up: the schedule is exhausted or the destination refused for good.
    Dead,
    /// Stopped by a person.
    Cancelled,
    /// Not delivered in the time that its route gave it.
    Expired,
}

/// Why a delivery is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// Every attempt of the schedule failed.
    Exhausted,
    /// The destination answered with one of its final statuses.
    Refused,
    /// The destination's queue was at its `queue_max` when the event came.
    QueueFull,
    /// What was stored of the event could not be read back (corruption, see the log).
    Unreadable,
}

/// What came of one attempt, as metrics and logs class it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeClass {
    /// 2xx.
    Succeeded,
    /// Any other status.
    Status,
    /// No whole answer within the destination's `timeout`.
    Timeout,
    /// The connection could not be made.
    Connect,
    /// The name could not be resolved.
    Dns,
    /// The TLS handshake failed.
    Tls,
    /// The connection broke or the answer was not HTTP.
    Protocol,
}

/// One request of a delivery and what came of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// From 1.
    pub number: u16,
    /// When the request was begun.
    pub started_at: Timestamp,
    /// Until the last byte that was read, or the failure.
    pub duration: Duration,
    /// How it is classed.
    pub outcome: OutcomeClass,
    /// The answer's status, where there was an answer.
    pub status: Option<u16>,
    /// The answer's headers, as far as they were kept.
    pub response_headers: HeaderBlock,
    /// The first bytes of the answer's body, at most the destination's `response_bytes_max`.
    pub response_body: Bytes,
    /// What went wrong, for people.
    pub error: Option<Box<str>>,
}

/// What becomes of the delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Done.
    Succeeded,
    /// Again at this time.
    RetryAt(Timestamp),
    /// Given up.
    Dead(DeadReason),
}

/// An attempt and its consequence, as it is handed to the store.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// What was done.
    pub attempt: Attempt,
    /// What follows.
    pub next: Next,
}

// === impl DeliveryState ===

impl DeliveryState {
    /// Every state, in the order of the design.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::InFlight, Self::Held, Self::Succeeded, Self::Dead, Self::Cancelled, Self::Expired];

    /// The word that the API, the command line and metrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InFlight => "in_flight",
            Self::Held => "held",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The state with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether something may still happen: such a delivery keeps its event from being pruned.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::InFlight | Self::Held)
    }
}

// === impl DeadReason, OutcomeClass ===

impl DeadReason {
    /// The word that the API and metrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Refused => "refused",
            Self::QueueFull => "queue_full",
            Self::Unreadable => "unreadable",
        }
    }
}

impl OutcomeClass {
    /// Every class.
    pub const ALL: [Self; 7] =
        [Self::Succeeded, Self::Status, Self::Timeout, Self::Connect, Self::Dns, Self::Tls, Self::Protocol];

    /// The word that the API and metrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Status => "status",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
        }
    }
}
