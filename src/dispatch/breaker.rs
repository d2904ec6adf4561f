//! When a destination counts as sick: nothing is attempted then, so nothing is used up.
//!
//! Closed → open after [`BreakerSettings::failures`] failed attempts within the window, unless more attempts
//! than that succeeded meanwhile: a destination that refuses one event in fifty is not sick. Open → half
//! open after [`BreakerSettings::open`]: one delivery is tried. Half open → closed or open again, as that one
//! ends. A pure machine: time is an argument.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::BreakerSettings;
use crate::telemetry::BreakerState;

/// The breaker of one lane.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// The last failures, oldest first, at most as many as open it; each with the successes before it.
    failures: VecDeque<(Instant, u64)>,
    successes: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open { since: Instant },
    HalfOpen { probing: bool },
}

/// What the breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Free,
    /// One delivery, to see how the destination is.
    Probe,
    /// Nothing until the probe has ended.
    AfterProbe,
    NotBefore(Instant),
}

/// What an outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    Opened,
    Closed,
}

// === impl Breaker ===

impl Breaker {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed, failures: VecDeque::new(), successes: 0 }
    }

    pub(super) fn reconfigure(&mut self, settings: BreakerSettings) {
        self.settings = settings;
    }

    /// The destination is another one now: whether that one is sick is not known.
    pub(super) fn forget(&mut self) {
        self.failures.clear();
        if matches!(self.state, State::Open { .. }) {
            self.state = State::HalfOpen { probing: false };
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    pub(super) fn passage(&mut self, now: Instant) -> Passage {
        match self.state {
            State::Closed => Passage::Free,
            State::HalfOpen { probing: false } => Passage::Probe,
            State::HalfOpen { probing: true } => Passage::AfterProbe,
            State::Open { since } => {
                let until = since + self.settings.open;
                if now < until {
                    return Passage::NotBefore(until);
                }
                self.state = State::HalfOpen { probing: false };
                Passage::Probe
            }
        }
    }

    /// The probe goes out.
    pub(super) fn probe(&mut self) {
        self.state = State::HalfOpen { probing: true };
    }

    /// There was nothing to probe with, or the probe came to nothing by our own fault.
    pub(super) fn probe_again(&mut self) {
        if matches!(self.state, State::HalfOpen { .. }) {
            self.state = State::HalfOpen { probing: false };
        }
    }

    /// An attempt ended; `alive`: the destination answered as one that works, be it with a refusal.
    pub(super) fn ended(&mut self, alive: bool, now: Instant) -> Turn {
        match (self.state, alive) {
            (State::Closed, true) => {
                self.successes += 1;
                Turn::None
            }
            (State::Closed, false) => self.failed(now),
            // Attempts that were under way when it opened say nothing new.
            (State::Open { .. }, _) => Turn::None,
            (State::HalfOpen { .. }, true) => {
                self.state = State::Closed;
                self.failures.clear();
                Turn::Closed
            }
            (State::HalfOpen { .. }, false) => self.open(now),
        }
    }

    fn failed(&mut self, now: Instant) -> Turn {
        let most = self.settings.failures.get() as usize;
        self.failures.push_back((now, self.successes));
        while self.failures.len() > most {
            self.failures.pop_front();
        }
        let Some((first_at, successes_before)) = self.failures.front() else { return Turn::None };
        let within = now.duration_since(*first_at) <= self.settings.window;
        let mostly = self.successes - successes_before <= most as u64;
        if self.failures.len() == most && within && mostly { self.open(now) } else { Turn::None }
    }

    fn open(&mut self, now: Instant) -> Turn {
        self.state = State::Open { since: now };
        self.failures.clear();
        Turn::Opened
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        let failures = NonZeroU32::new(3).unwrap();
        Breaker::new(BreakerSettings { failures, window: 10 * SECOND, open: 30 * SECOND })
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let (mut breaker, start) = (breaker(), Instant::now());
        assert_eq!(breaker.ended(false, start), Turn::None);
        assert_eq!(breaker.ended(false, start), Turn::None);
        assert_eq!(breaker.passage(start), Passage::Free);
        assert_eq!(breaker.ended(false, start + SECOND), Turn::Opened);
        assert_eq!(breaker.passage(start + SECOND), Passage::NotBefore(start + 31 * SECOND));
        assert_eq!(breaker.ended(true, start + 2 * SECOND), Turn::None, "began before it opened");
        assert_eq!(breaker.passage(start + 31 * SECOND), Passage::Probe);
        breaker.probe();
        assert_eq!(breaker.passage(start + 31 * SECOND), Passage::AfterProbe);
        assert_eq!(breaker.ended(false, start + 32 * SECOND), Turn::Opened);
        assert_eq!(breaker.passage(start + 61 * SECOND), Passage::NotBefore(start + 62 * SECOND));
        assert_eq!(breaker.passage(start + 62 * SECOND), Passage::Probe);
        breaker.probe();
        breaker.probe_again();
        assert_eq!(breaker.passage(start + 62 * SECOND), Passage::Probe);
        breaker.probe();
        assert_eq!(breaker.ended(true, start + 63 * SECOND), Turn::Closed);
        assert_eq!(breaker.passage(start + 63 * SECOND), Passage::Free);
        assert_eq!(breaker.ended(false, start + 64 * SECOND), Turn::None, "old failures are forgotten");
    }

    #[test]
    fn failures_that_are_rare_in_time_or_among_successes_do_not_open_it() {
        let (mut breaker, start) = (breaker(), Instant::now());
        for n in 0..20 {
            assert_eq!(breaker.ended(false, start + n * 6 * SECOND), Turn::None, "two in any ten seconds");
        }
        let (mut breaker, start) = (super::tests::breaker(), Instant::now());
        for n in 0..20 {
            for _ in 0..2 {
                assert_eq!(breaker.ended(true, start + n * SECOND / 10), Turn::None);
            }
            assert_eq!(breaker.ended(false, start + n * SECOND / 10), Turn::None, "one in three");
        }
    }

    #[test]
    fn a_new_url_is_probed_at_once() {
        let (mut breaker, start) = (breaker(), Instant::now());
        for _ in 0..3 {
            breaker.ended(false, start);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker.forget();
        assert_eq!(breaker.passage(start), Passage::Probe);
    }
}
