//! How a destination's deliveries are paced and retried: the checked settings of this stage.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::Schedule;

/// One destination as this stage sees it. [`Destination::new`] has the defaults.
///
/// Where its requests go is the endpoint that is applied together with it; `discard: true` is a destination
/// without one.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// Its name, which is its identity across reloads.
    pub name: Arc<str>,
    /// How many attempts may be under way at once.
    pub concurrency: NonZeroUsize,
    /// Whether that is the limit of all gateways at one store together, instead of each one's.
    pub concurrency_shared: bool,
    /// One after the other, in the order in which the events were accepted: the store hands out the next one when the one
    /// before it has ended.
    pub ordered: bool,
    /// How long one attempt may take: the same as the endpoint's `timeout`. A claim lasts somewhat longer.
    pub timeout: Duration,
    /// More pending deliveries than this: a new one is dead at once, replayable.
    pub queue_max: u64,
    /// How fast attempts may begin.
    pub rate_limit: Option<RateLimit>,
    /// When a failed delivery is attempted again.
    pub schedule: Schedule,
    /// When attempts stop because the destination is sick.
    pub breaker: BreakerSettings,
    /// Held by a person: nothing is attempted, everything queues up.
    pub paused: bool,
    /// Every delivery keeps its schedule, whatever becomes of the others: there is no breaker, but one attempt at a time
    /// while they fail.
    pub keeps_schedule: bool,
}

/// `rate_limit` of a destination: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many attempts may begin…
    pub requests: NonZeroU32,
    /// …in this time (more than zero).
    pub per: Duration,
    /// How many may begin at once after a pause; 1 spaces them evenly.
    pub burst: NonZeroU32,
}

/// `breaker` of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// It opens after this many failed attempts…
    pub failures: NonZeroU32,
    /// …within this time, unless more attempts than that succeeded meanwhile.
    pub window: Duration,
    /// For this long; then a single delivery is tried.
    pub open: Duration,
}

// === impl Destination ===

impl Destination {
    /// Default of `concurrency`.
    pub const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);
    /// Default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// Default of `queue_max`.
    pub const QUEUE_MAX: u64 = 1_000_000;

    /// A destination with the defaults.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            concurrency: Self::CONCURRENCY,
            concurrency_shared: false,
            ordered: false,
            timeout: Self::TIMEOUT,
            queue_max: Self::QUEUE_MAX,
            rate_limit: None,
            schedule: Schedule::default(),
            breaker: BreakerSettings::default(),
            paused: false,
            keeps_schedule: false,
        }
    }
}

// === impl BreakerSettings ===

impl Default for BreakerSettings {
    /// 20 failures within 30 s open it for 30 s.
    fn default() -> Self {
        Self {
            failures: NonZeroU32::MIN.saturating_add(19),
            window: Duration::from_secs(30),
            open: Duration::from_secs(30),
        }
    }
}
