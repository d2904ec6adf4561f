//! One run: a fresh system, a fresh sink, one sender; warmed up, measured, drained, stopped.

use std::time::{Duration, Instant};

use crate::control::now_nanos;
use crate::event::Variety;
use crate::process::Role;
use crate::sender::Plan;
use crate::systems::{Places, Running, System, start};

/// Warm-up before the measured time.
const WARM: Duration = Duration::from_secs(1);
/// A system that has delivered nothing for so long while it still owes events is stuck.
pub(crate) const STUCK: Duration = Duration::from_secs(15);
/// Longest wait for the end of a queue.
const DRAIN_MAX: Duration = Duration::from_secs(90);

/// What one run measured.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) system: System,
    pub(crate) connections: usize,
    /// Events a second that reached the sink, until the last one was there: a queue left behind counts against it.
    pub(crate) delivered_per_second: f64,
    /// Events a second that were answered 2xx while the sender ran.
    pub(crate) accepted_per_second: f64,
    /// CPU of the system for each event, in microseconds.
    pub(crate) cpu_micros: f64,
    /// Largest memory of the system seen, in bytes.
    pub(crate) rss_bytes: u64,
    /// Largest number of accepted events that had not reached the sink yet.
    pub(crate) backlog_max: u64,
    /// The same when the sender stopped.
    pub(crate) backlog_end: u64,
    /// From the sender's stop to the last delivery, in seconds.
    pub(crate) drain_seconds: f64,
    /// Accept latency in the closed loop, in microseconds.
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    pub(crate) refused: u64,
    pub(crate) broken: u64,
    /// Events that reached the sink more than once.
    pub(crate) repeated: u64,
    /// Accepted events that had not reached the sink when waiting ended.
    pub(crate) missing: u64,
}

impl Run {
    /// For somebody who watches.
    pub(crate) fn line(&self) -> String {
        format!(
            "{:>3} connections · {:<8} {:>6.0} delivered/s, {:>6.0} accepted/s, {:>6.1} µs CPU/event",
            self.connections,
            self.system.name(),
            self.delivered_per_second,
            self.accepted_per_second,
            self.cpu_micros
        )
    }
}

/// Measures `system` once.
pub(crate) fn run(system: System, connections: usize, seconds: u64, places: &Places) -> Run {
    let mut sink = Role::start(&["sink".to_owned(), "127.0.0.1:0".to_owned()]);
    let sink_port = sink.port();
    let mut running = start(system, places, sink_port);
    let presigned = system.rate_max() * usize::try_from(seconds + WARM.as_secs()).expect("a short run");
    let mut sender = Role::start(&arguments(&closed_loop(&running, connections, presigned)));
    assert_eq!(sender.hear(), "ready");
    let keeps = system != System::Limit;
    let mut delivered = |sender: &[u64]| if keeps { sink.ask("stats") } else { vec![sender[0], 0, 0, 0, now_nanos()] };

    sender.tell("go");
    std::thread::sleep(WARM);
    sender.tell("mark");
    let first_sent = sender.ask("stats");
    let first = delivered(&first_sent);
    let (first_nanos, first_usage) = (now_nanos(), running.usage());

    let (mut backlog_max, mut rss_bytes) = (0, 0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut last_sent = first_sent.clone();
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50).min(end - Instant::now()));
        // The sink first: what is accepted in between may only make the backlog larger.
        let seen = delivered(&last_sent);
        last_sent = sender.ask("stats");
        if keeps {
            backlog_max = backlog_max.max(last_sent[0].saturating_sub(seen[0]));
        }
        rss_bytes = rss_bytes.max(running.usage().rss_bytes);
    }
    let last_nanos = now_nanos();
    running.check();
    sender.tell("stop");
    let finished = numbers(&sender.hear());
    let stopped_nanos = now_nanos();
    let backlog_end = finished[0].saturating_sub(delivered(&finished)[0]);
    let seen = drained(finished[0], || {
        rss_bytes = rss_bytes.max(running.usage().rss_bytes);
        delivered(&finished)
    });
    let usage = running.usage();
    let accepted_per_second = (last_sent[0] - first_sent[0]) as f64 / seconds_between(first_nanos, last_nanos);
    let missing = finished[0].saturating_sub(seen[0]);
    answers(system, last_sent[0] - first_sent[0], last_sent[1], last_sent[2]);
    delivers(system, seen[0] - first[0], seen[2]);
    let until = if missing > 0 { now_nanos() } else { seen[4].max(first_nanos + 1) };
    let events = (seen[0] - first[0]) as f64;
    Run {
        system,
        connections,
        delivered_per_second: if keeps { events / seconds_between(first_nanos, until) } else { accepted_per_second },
        accepted_per_second,
        cpu_micros: usage.cpu_micros.checked_sub(first_usage.cpu_micros).expect("no process that ends in a run") as f64
            / events,
        rss_bytes,
        backlog_max,
        backlog_end,
        drain_seconds: if keeps { seconds_between(stopped_nanos, until) } else { 0.0 },
        p50_micros: finished[3] as f64 / 1e3,
        p99_micros: finished[5] as f64 / 1e3,
        refused: finished[1],
        broken: finished[2],
        repeated: seen[1],
        missing,
    }
}

/// What the sender of a run does.
fn closed_loop(running: &Running, connections: usize, presigned: usize) -> Plan {
    Plan {
        address: running.address.clone(),
        path: running.path.to_owned(),
        credential: running.credential.to_owned(),
        connections,
        presigned,
        rate: 0,
        seed: 0,
        first: 1,
        events_max: 0,
        variety: Variety::None,
    }
}

/// Panics when a system accepted nothing in the measured time: there is no figure then, not one of 0.
pub(crate) fn answers(system: System, accepted: u64, refused: u64, broken: u64) {
    assert!(accepted > 0, "{} accepted nothing ({refused} refused, {broken} connections broken)", system.name());
}

/// Panics when nothing was delivered in the measured time, or something that nobody sent.
fn delivers(system: System, delivered: u64, unknown: u64) {
    assert!(delivered > 0, "{} delivered nothing", system.name());
    assert!(unknown == 0, "the sink got {unknown} requests without an event from {}", system.name());
}

/// Looks until the sink has `accepted` events, or nothing more comes; what it said last.
pub(crate) fn drained(accepted: u64, mut look: impl FnMut() -> Vec<u64>) -> Vec<u64> {
    let stopped = Instant::now();
    let mut seen = look();
    let mut progress = (seen[0], Instant::now());
    while seen[0] < accepted && stopped.elapsed() < DRAIN_MAX && progress.1.elapsed() < STUCK {
        std::thread::sleep(Duration::from_millis(10));
        seen = look();
        if seen[0] > progress.0 {
            progress = (seen[0], Instant::now());
        }
    }
    // Time for a repeat to show itself.
    std::thread::sleep(Duration::from_millis(100));
    look()
}

fn seconds_between(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e9
}

/// The words of one answer as numbers.
pub(crate) fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace().map(|word| word.parse().expect("a number from the role")).collect()
}

/// A sender's plan as the arguments of its process.
pub(crate) fn arguments(plan: &Plan) -> Vec<String> {
    vec![
        "sender".to_owned(),
        plan.address.clone(),
        plan.path.clone(),
        plan.credential.clone(),
        plan.connections.to_string(),
        plan.presigned.to_string(),
        plan.rate.to_string(),
        plan.seed.to_string(),
        plan.first.to_string(),
        plan.events_max.to_string(),
        plan.variety.word(),
    ]
}

/// The reverse of [`arguments`].
pub(crate) fn plan(words: &[String]) -> Plan {
    let count = |index: usize| words[index].parse::<u64>().expect("a number for the sender");
    Plan {
        address: words[0].clone(),
        path: words[1].clone(),
        credential: words[2].clone(),
        connections: usize::try_from(count(3)).expect("a small number"),
        presigned: usize::try_from(count(4)).expect("a small number"),
        rate: count(5),
        seed: count(6),
        first: count(7),
        events_max: count(8),
        variety: Variety::of_word(&words[9]),
    }
}
