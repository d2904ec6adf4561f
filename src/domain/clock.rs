//! Time as a value that is handed in, so that tests own it.
//!
//! Due times and windows run on the wall time at start plus the monotonic clock: a jump of the wall clock
//! neither fires nor loses anything. Only the tolerance of signatures asks for the wall clock itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// Where the time comes from: the machine, or a test.
#[derive(Clone, Debug)]
pub struct Clock(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Machine { wall_at_start: Timestamp, started: Instant },
    Manual(Arc<AtomicU64>),
}

// === impl Timestamp ===

impl Timestamp {
    /// The time `duration` later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// The time `duration` earlier; saturates at 1970.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long ago `earlier` was; zero where it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since 1970, as most signature headers count.
    #[must_use]
    pub fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

/// RFC 3339 with milliseconds, in UTC: `2026-11-23T18:04:05.678Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

// === impl Clock ===

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn machine() -> Self {
        Self(Inner::Machine { wall_at_start: wall(), started: Instant::now() })
    }

    /// A clock that stands still at `start` until [`advance`](Self::advance) moves it; clones share it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Inner::Manual(Arc::new(AtomicU64::new(start.0))))
    }

    /// Now, for due times, windows and everything that is stored: never moves backwards.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::Machine { wall_at_start, started } => wall_at_start.plus(started.elapsed()),
            Inner::Manual(now) => Timestamp(now.load(Ordering::SeqCst)),
        }
    }

    /// What the wall clock shows: for the tolerance of signatures only.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            Inner::Machine { .. } => wall(),
            Inner::Manual(now) => Timestamp(now.load(Ordering::SeqCst)),
        }
    }

    /// Whether a test moves it: then no timer of the machine knows when its time comes.
    #[must_use]
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Inner::Manual(_))
    }

    /// Moves a manual clock forward; the machine's clock does not listen.
    pub fn advance(&self, by: Duration) {
        if let Inner::Manual(now) = &self.0 {
            now.fetch_add(millis(by), Ordering::SeqCst);
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::machine()
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place where the machine's wall clock is read")]
fn wall() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
