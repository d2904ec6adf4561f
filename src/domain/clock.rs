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

    /// RFC 3339 with milliseconds, in UTC; `None` from the year 10000 on.
    #[must_use]
    pub fn rfc3339(self) -> Option<[u8; 24]> {
        const DAY: u64 = 86_400_000;
        const YEAR_10000: u64 = 253_402_300_800_000;
        if self.0 >= YEAR_10000 {
            return None;
        }
        let (year, month, day) = date_of(self.0 / DAY);
        let (millis, seconds) = (self.0 % 1000, self.0 % DAY / 1000);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let [y1, y2, y3, y4, _, mo1, mo2, _, d1, d2, _, h1, h2, _, mi1, mi2, _, s1, s2, _, f1, f2, f3, _] = &mut text;
        write_digits([y1, y2, y3, y4], year);
        write_digits([mo1, mo2], month);
        write_digits([d1, d2], day);
        write_digits([h1, h2], seconds / 3600);
        write_digits([mi1, mi2], seconds / 60 % 60);
        write_digits([s1, s2], seconds % 60);
        write_digits([f1, f2, f3], millis);
        Some(text)
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
        match self.rfc3339() {
            Some(text) => f.write_str(str::from_utf8(&text).unwrap_or_default()),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// Year, month and day of a day since 1970-01-01: counted in years that begin in March, so that the leap day is
/// a year's last, in cycles of 400 years (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date_of(days: u64) -> (u64, u64, u64) {
    const FROM_MARCH_OF_0: u64 = 719_468;
    const CYCLE: u64 = 146_097;
    let days = days + FROM_MARCH_OF_0;
    let (cycle, day) = (days / CYCLE, days % CYCLE);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next_year, month, day)
}

fn write_digits<const COUNT: usize>(places: [&mut u8; COUNT], mut value: u64) {
    for place in places.into_iter().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
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

    /// The same for a moment that was read already; a manual clock stands where it stands.
    #[must_use]
    pub fn at(&self, moment: Instant) -> Timestamp {
        match &self.0 {
            Inner::Machine { wall_at_start, started } => wall_at_start.plus(moment.saturating_duration_since(*started)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_jiff_writes_them() {
        const DAY: u64 = 86_400_000;
        let leap_days = [951_782_400_000, 68_169_600_000, 4_107_542_400_000];
        for start in (0..79_000).map(|n| n * 37 * DAY).take_while(|start| *start < 253_402_000_000_000).chain(leap_days)
        {
            for millis in [0, 1, 999, 86_399_999] {
                let time = Timestamp(start + millis);
                let theirs = jiff::Timestamp::from_millisecond(i64::try_from(time.0).unwrap()).unwrap();
                assert_eq!(time.to_string(), format!("{theirs:.3}"));
            }
        }
        assert_eq!(Timestamp(253_402_300_799_999).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp(253_402_300_800_000).to_string(), "253402300800000ms");
    }
}
