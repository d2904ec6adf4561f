//! Role `sender` in the open loop: events arrive at random moments of a fixed mean rate whether or not the gateway keeps
//! up, and latency counts from the moment at which an event was due, so that every stall is seen in full.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hdrhistogram::Histogram;
use rustix::event::epoll;
use serde::{Deserialize, Serialize};

use crate::control::{cpu_nanos, now_nanos, say};
use crate::event::Supply;
use crate::pacer::{Pacer, TIMER, histogram};
use crate::pool::{Pool, Seen};
use crate::sender::{Plan, Shared};

/// How long the last answers may take after the last arrival.
const DRAIN_NANOS_MAX: u64 = 10_000_000_000;

/// What the sender says at the end. All of it is about the events that were due between `mark` and `stop`, but for
/// `accepted`, which counts all.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Events answered 2xx since the start: so many the sink shall get.
    pub(crate) accepted: u64,
    /// Events that were due.
    pub(crate) offered: u64,
    /// From mark to stop.
    pub(crate) window_nanos: u64,
    /// 2xx that came from mark to stop, whenever their events had been due.
    pub(crate) answered_in_window: u64,
    /// Of the events that were due answered 2xx, the last ones after the stop.
    pub(crate) answered: u64,
    /// Answered with another status.
    pub(crate) refused: u64,
    /// Sent on a connection that ended without an answer.
    pub(crate) broken: u64,
    /// Not answered, or not even sent, 10 s after the stop.
    pub(crate) unanswered: u64,
    /// Found no idle connection when they were due.
    pub(crate) waited: u64,
    /// Connections at the end.
    pub(crate) connections: u64,
    /// CPU of the sender itself from `go` to `stop`, in cores: what it takes from the system under test.
    pub(crate) sender_cores: f64,
    /// From due to the 2xx, in nanoseconds; an event without any answer counts with its age when waiting ended.
    pub(crate) latency: Quantiles,
    /// From due to the moment at which the pacer had it in hand, in nanoseconds.
    pub(crate) late: Quantiles,
}

/// Quantiles in nanoseconds.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Quantiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() }
    }
}

/// Runs as told: says `ready`, starts at `go`, and ends at `stop` with its [`Outcome`].
pub(crate) fn run(plan: &Plan, shared: Arc<Shared>) {
    let events = Supply::new(plan);
    let pool = Pool::new(&plan.address);
    say("ready");
    while !shared.go.load(Relaxed) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let pacer = Pacer::new(pool.poll(), plan.rate, plan.seed, now_nanos());
    let mut open_loop = OpenLoop {
        shared,
        events,
        pool,
        pacer,
        waiting: VecDeque::new(),
        latency: histogram(),
        tally: Tally::default(),
    };
    let outcome = open_loop.run();
    say(&serde_json::to_string(&outcome).expect("an outcome as JSON"));
}

/// Counts, but for one, of the events that were due after the mark.
#[derive(Default)]
struct Tally {
    offered: u64,
    /// 2xx since the mark, whenever their events had been due.
    answered_after_mark: u64,
    answered: u64,
    refused: u64,
    broken: u64,
    waited: u64,
}

struct OpenLoop {
    shared: Arc<Shared>,
    events: Supply,
    pool: Pool,
    pacer: Pacer,
    /// Arrivals that found no connection, by when they were due.
    waiting: VecDeque<u64>,
    latency: Histogram<u64>,
    tally: Tally,
}

impl OpenLoop {
    fn run(&mut self) -> Outcome {
        let (begun, begun_cpu) = (now_nanos(), cpu_nanos());
        let mut ready = Vec::with_capacity(512);
        while !self.shared.stop.load(Relaxed) {
            self.step(&mut ready);
        }
        let stopped = now_nanos();
        // What was due before the stop is offered, also if this loop was away for a moment.
        self.arrivals(stopped);
        let answered_in_window = self.tally.answered_after_mark;
        let sender_cores = (cpu_nanos() - begun_cpu) as f64 / (stopped - begun) as f64;
        let give_up = stopped + DRAIN_NANOS_MAX;
        while now_nanos() < give_up && (!self.waiting.is_empty() || self.pool.in_flight().next().is_some()) {
            self.pool.wait(&mut ready, true);
            for event in ready.drain(..) {
                self.handle(event);
            }
            self.send_waiting();
        }
        Outcome { answered_in_window, sender_cores, ..self.outcome(stopped) }
    }

    /// Sleeps until the next arrival is near or an answer comes, and takes what there is.
    fn step(&mut self, ready: &mut Vec<epoll::Event>) {
        self.arrivals(now_nanos());
        let sleeps = self.pacer.sleeps(now_nanos());
        self.pool.wait(ready, sleeps);
        for event in ready.drain(..) {
            self.handle(event);
            // Many answers at once must not hold up what is due meanwhile.
            self.arrivals(now_nanos());
        }
        self.send_waiting();
    }

    /// Sends all that is due by `now`.
    fn arrivals(&mut self, now: u64) {
        while self.pacer.due() <= now {
            let due_nanos = self.pacer.due();
            self.pacer.advance();
            let measured = self.measured(due_nanos);
            if measured {
                self.tally.offered += 1;
                self.pacer.record_late(now_nanos() - due_nanos);
            }
            if !(self.waiting.is_empty() && self.send(due_nanos)) {
                self.tally.waited += u64::from(measured);
                self.waiting.push_back(due_nanos);
            }
        }
    }

    fn send(&mut self, due_nanos: u64) -> bool {
        let sent = self.pool.send(self.events.request(due_nanos), due_nanos);
        if sent {
            self.events.advance();
        }
        sent
    }

    fn send_waiting(&mut self) {
        while let Some(due_nanos) = self.waiting.front().copied()
            && self.send(due_nanos)
        {
            self.waiting.pop_front();
        }
    }

    fn handle(&mut self, event: epoll::Event) {
        if event.data.u64() == TIMER {
            return;
        }
        match self.pool.handle(event) {
            Some(Seen::Answer { due_nanos, genuine: true }) => {
                self.shared.accepted.fetch_add(1, Relaxed);
                self.tally.answered_after_mark += u64::from(self.shared.mark_nanos.load(Relaxed) > 0);
                if self.measured(due_nanos) {
                    self.tally.answered += 1;
                    self.record(due_nanos);
                }
            }
            Some(Seen::Answer { due_nanos, genuine: false }) => {
                self.shared.refused.fetch_add(1, Relaxed);
                self.tally.refused += u64::from(self.measured(due_nanos));
            }
            Some(Seen::Lost { due_nanos }) => {
                self.shared.broken.fetch_add(1, Relaxed);
                self.tally.broken += u64::from(self.measured(due_nanos));
            }
            None => {}
        }
    }

    /// Whether an event was due after the mark.
    fn measured(&self, due_nanos: u64) -> bool {
        let mark = self.shared.mark_nanos.load(Relaxed);
        mark > 0 && due_nanos >= mark
    }

    fn record(&mut self, due_nanos: u64) {
        self.latency.saturating_record(now_nanos().saturating_sub(due_nanos).max(1));
    }

    fn outcome(&mut self, stopped: u64) -> Outcome {
        let left: Vec<u64> = self.waiting.iter().copied().chain(self.pool.in_flight()).collect();
        let left: Vec<u64> = left.into_iter().filter(|due_nanos| self.measured(*due_nanos)).collect();
        for due_nanos in &left {
            self.record(*due_nanos);
        }
        Outcome {
            accepted: self.shared.accepted.load(Relaxed),
            offered: self.tally.offered,
            window_nanos: stopped.saturating_sub(self.shared.mark_nanos.load(Relaxed)),
            answered_in_window: 0,
            answered: self.tally.answered,
            refused: self.tally.refused,
            broken: self.tally.broken,
            unanswered: left.len() as u64,
            waited: self.tally.waited,
            sender_cores: 0.0,
            connections: self.pool.connections() as u64,
            latency: Quantiles::of(&self.latency),
            late: Quantiles::of(self.pacer.late()),
        }
    }
}
