//! Who may begin an attempt: concurrency, breaker and pace of one lane behind one lock.
//!
//! Whoever enters has a seat until it leaves. Nobody waits in here: an entry that is refused says when, or
//! after what, to ask again.

use std::sync::Arc;

use tokio::time::Instant;

use super::breaker::{Breaker, Passage, Turn};
use super::pace::{Pace, Ramp};
use super::seat::{Bench, Seat};
use super::{Destination, RateLimit};
use crate::telemetry::BreakerState;

/// The gate of one lane, with its idle workers beside it.
#[derive(Debug)]
pub(super) struct Gate {
    concurrency: usize,
    in_use: usize,
    breaker: Breaker,
    pace: Option<Pace>,
    ramp: Option<Ramp>,
    stopped: bool,
    pub(super) bench: Bench,
    /// The pump was refused and wants to hear when that changes.
    pump_waits: bool,
    /// No breaker; failures in a row narrow it instead.
    keeps_schedule: bool,
    failures_in_row: u32,
}

/// After so many failures in a row there is one attempt at a time, until one succeeds.
const NARROW_AFTER: u32 = 3;

/// The answer to whoever wants to begin attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// So many seats are yours.
    Seats(usize),
    /// Not before this time.
    NotBefore(Instant),
    /// When somebody has left.
    WhenChanged,
    /// Never again.
    Stopped,
}

// === impl Gate ===

impl Gate {
    pub(super) fn new(destination: &Destination, now: Instant) -> Self {
        Self {
            concurrency: destination.concurrency.get(),
            in_use: 0,
            breaker: Breaker::new(destination.breaker),
            pace: destination.rate_limit.map(|limit| Pace::new(limit, now)),
            ramp: None,
            stopped: false,
            bench: Bench::default(),
            pump_waits: false,
            keeps_schedule: destination.keeps_schedule,
            failures_in_row: 0,
        }
    }

    /// New settings; `elsewhere`: the requests go elsewhere, or otherwise, than before.
    pub(super) fn reconfigure(&mut self, destination: &Destination, elsewhere: bool, now: Instant) {
        self.concurrency = destination.concurrency.get();
        self.breaker.reconfigure(destination.breaker);
        if elsewhere {
            self.breaker.forget();
            self.failures_in_row = 0;
        }
        let current: Option<RateLimit> = self.pace.as_ref().map(Pace::settings);
        if current != destination.rate_limit {
            self.pace = destination.rate_limit.map(|limit| Pace::new(limit, now));
        }
    }

    /// Seats for up to all who are free, for the pump.
    pub(super) fn enter(&mut self, now: Instant) -> Entry {
        let free = self.concurrency().saturating_sub(self.in_use);
        let entry = self.admit(free, now);
        if let Entry::Seats(seats) = entry {
            self.in_use += seats;
        }
        self.pump_waits = matches!(entry, Entry::WhenChanged);
        entry
    }

    /// Whether somebody who has a seat may keep it for another attempt.
    pub(super) fn again(&mut self, now: Instant) -> bool {
        // A probe is the pump's to send.
        self.in_use <= self.concurrency()
            && self.breaker.state() == BreakerState::Closed
            && matches!(self.admit(1, now), Entry::Seats(1))
    }

    /// Whether attempts fail, one after the other.
    pub(super) fn is_narrow(&self) -> bool {
        self.keeps_schedule && self.failures_in_row >= NARROW_AFTER
    }

    fn concurrency(&self) -> usize {
        if self.is_narrow() { 1 } else { self.concurrency }
    }

    fn admit(&mut self, most: usize, now: Instant) -> Entry {
        if self.stopped {
            return Entry::Stopped;
        }
        if most == 0 {
            return Entry::WhenChanged;
        }
        let (most, probe) = match self.breaker.passage(now) {
            Passage::Free => (most, false),
            Passage::Probe => (1, true),
            Passage::AfterProbe => return Entry::WhenChanged,
            Passage::NotBefore(when) => return Entry::NotBefore(when),
        };
        if self.ramp.as_ref().is_some_and(|ramp| ramp.is_over(now)) {
            self.ramp = None;
        }
        let most = match self.ramp.as_mut().map_or(Ok(most), |ramp| ramp.take(most, now)) {
            Ok(granted) => granted,
            Err(when) => return Entry::NotBefore(when),
        };
        match self.pace.as_mut().map_or(Ok(most), |pace| pace.take(most, now)) {
            Ok(granted) => {
                if let Some(ramp) = &mut self.ramp {
                    ramp.give_back(most - granted);
                }
                if probe {
                    self.breaker.probe();
                }
                Entry::Seats(granted)
            }
            Err(when) => {
                if let Some(ramp) = &mut self.ramp {
                    ramp.give_back(most);
                }
                Entry::NotBefore(when)
            }
        }
    }

    /// So many of the attempts that were let in did not begin. The seats stay taken.
    pub(super) fn unused(&mut self, count: usize) {
        if let Some(pace) = &mut self.pace {
            pace.give_back(count);
        }
        if let Some(ramp) = &mut self.ramp {
            ramp.give_back(count);
        }
        if count > 0 {
            self.breaker.probe_again();
        }
    }

    /// Gives seats back; true where the pump wants to hear of it.
    #[must_use]
    pub(super) fn leave(&mut self, count: usize) -> bool {
        self.in_use = self.in_use.saturating_sub(count);
        std::mem::take(&mut self.pump_waits)
    }

    /// A worker is idle from now on, and is where the pump finds it; false where it shall end instead.
    pub(super) fn sit_down(&mut self, seat: &Arc<Seat>, now: Instant) -> bool {
        if !self.stopped {
            self.bench.sit_down(Arc::clone(seat), now);
        }
        !self.stopped
    }

    /// An attempt ended; `alive`: the destination answered as one that works.
    pub(super) fn ended(&mut self, alive: bool, now: Instant) -> Turn {
        self.failures_in_row = if alive { 0 } else { self.failures_in_row.saturating_add(1) };
        if self.keeps_schedule {
            return Turn::None;
        }
        let turn = self.breaker.ended(alive, now);
        if turn == Turn::Closed {
            self.ramp = Some(Ramp::new(now));
        }
        turn
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether what was claimed a moment ago shall not be attempted after all.
    pub(super) fn is_shut(&self) -> bool {
        self.stopped || self.breaker.state() == BreakerState::Open
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }
}
