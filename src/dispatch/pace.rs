//! How fast attempts may begin: the destination's rate limit, and the ramp after its breaker closed.
//!
//! Nothing waits in here: asked how many may begin now, both answer with a number or with a time.

use std::time::Duration;

use tokio::time::Instant;

use super::RateLimit;

/// A token bucket (as GCRA): one number, no refilling.
#[derive(Debug)]
pub(super) struct Pace {
    settings: RateLimit,
    interval: Duration,
    /// How far ahead of the even pace attempts may run.
    slack: Duration,
    /// When the next attempt would begin at an even pace.
    next: Instant,
}

/// What a destination gets that was sick: a little in the first second, twice as much in each that follows.
#[derive(Debug)]
pub(super) struct Ramp {
    started: Instant,
    tick: u64,
    used: u64,
}

/// Timers fire late by up to this; attempts that were due meanwhile may begin at once.
const TIMER_STEP: Duration = Duration::from_millis(2);

const RAMP_TICK: Duration = Duration::from_millis(100);
const RAMP_TICKS: u64 = 100;
const RAMP_TICKS_TO_DOUBLE: u64 = 10;

/// Attempts in the first tenth of a second; the last, ten seconds later, lets through 2560.
const RAMP_FIRST: u64 = 5;

// === impl Pace ===

impl Pace {
    pub(super) fn new(settings: RateLimit, now: Instant) -> Self {
        let interval = settings.per / settings.requests.get();
        let slack = interval.saturating_mul(settings.burst.get()).max(interval + TIMER_STEP);
        Self { settings, interval: interval.max(Duration::from_nanos(1)), slack, next: now }
    }

    pub(super) fn settings(&self) -> RateLimit {
        self.settings
    }

    /// How many of `most` may begin, or when the first may.
    pub(super) fn take(&mut self, most: usize, now: Instant) -> Result<usize, Instant> {
        let next = self.next.max(now);
        let room = (now + self.slack).saturating_duration_since(next);
        let fit = usize::try_from(room.as_nanos() / self.interval.as_nanos()).unwrap_or(usize::MAX);
        if fit == 0 {
            return Err(next + self.interval - self.slack);
        }
        let granted = most.min(fit);
        self.next = next + times(self.interval, granted);
        Ok(granted)
    }

    pub(super) fn give_back(&mut self, count: usize) {
        self.next = self.next.checked_sub(times(self.interval, count)).unwrap_or(self.next);
    }
}

fn times(interval: Duration, count: usize) -> Duration {
    interval.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

// === impl Ramp ===

impl Ramp {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, tick: 0, used: 0 }
    }

    /// Whether it is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.tick_at(now) >= RAMP_TICKS
    }

    /// How many of `most` may begin, or when the next may.
    pub(super) fn take(&mut self, most: usize, now: Instant) -> Result<usize, Instant> {
        let tick = self.tick_at(now);
        if tick != self.tick {
            (self.tick, self.used) = (tick, 0);
        }
        let allowed = RAMP_FIRST << (tick / RAMP_TICKS_TO_DOUBLE).min(32);
        let left = allowed.saturating_sub(self.used);
        if left == 0 {
            return Err(self.started + RAMP_TICK.saturating_mul(u32::try_from(tick + 1).unwrap_or(u32::MAX)));
        }
        let granted = most.min(usize::try_from(left).unwrap_or(usize::MAX));
        self.used += granted as u64;
        Ok(granted)
    }

    pub(super) fn give_back(&mut self, count: usize) {
        self.used = self.used.saturating_sub(count as u64);
    }

    fn tick_at(&self, now: Instant) -> u64 {
        let ticks = now.duration_since(self.started).as_millis() / RAMP_TICK.as_millis();
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn limit(requests: u32, per_millis: u64, burst: u32) -> RateLimit {
        RateLimit {
            requests: NonZeroU32::new(requests).unwrap(),
            per: Duration::from_millis(per_millis),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    /// How many begin in the given time, asked again whenever the answer says.
    fn begun(limit: RateLimit, millis: u64) -> usize {
        let start = Instant::now();
        let (mut pace, mut now, mut begun) = (Pace::new(limit, start), start, 0);
        while now < start + Duration::from_millis(millis) {
            match pace.take(7, now) {
                Ok(granted) => begun += granted,
                Err(when) => {
                    assert!(when > now, "a wait that ends now would spin");
                    // As a timer does: to the next millisecond.
                    now = when + Duration::from_micros(700);
                }
            }
        }
        begun
    }

    #[test]
    fn the_rate_is_kept_and_the_burst_comes_once() {
        assert_eq!(begun(limit(10, 1000, 1), 2950), 30);
        assert_eq!(begun(limit(10, 1000, 5), 2950), 34);
        let fast = begun(limit(5000, 1000, 1), 2000);
        assert!((9990..=10_020).contains(&fast), "{fast}: timers must not slow it down");
        assert_eq!(begun(limit(1, 60_000, 1), 59_000), 1);
    }

    #[test]
    fn what_was_not_used_is_given_back() {
        let now = Instant::now();
        let mut pace = Pace::new(limit(1, 1000, 3), now);
        assert_eq!(pace.take(5, now), Ok(3));
        assert!(pace.take(1, now).is_err());
        pace.give_back(2);
        assert_eq!(pace.take(5, now), Ok(2));
        let mut ramp = Ramp::new(now);
        assert_eq!(ramp.take(9, now), Ok(5));
        ramp.give_back(1);
        assert_eq!(ramp.take(9, now), Ok(1));
    }

    #[test]
    fn a_ramp_doubles_every_second_and_ends() {
        let start = Instant::now();
        let mut ramp = Ramp::new(start);
        let mut in_second = [0; 10];
        let mut now = start;
        while !ramp.is_over(now) {
            match ramp.take(100, now) {
                Ok(granted) => in_second[usize::try_from((now - start).as_secs()).unwrap()] += granted,
                Err(when) => now = when,
            }
        }
        assert_eq!(in_second, [50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600]);
    }
}
