//! The latency mode: what accepting costs while events arrive at random moments, a quarter of what hookward can do,
//! whether or not anybody keeps up. Rounds are interleaved; the disk is measured between the runs.

use std::time::Duration;

use crate::admin::metrics;
use crate::disk::{Sync, fdatasync};
use crate::event::{BODY_BYTES, Variety};
use crate::open_loop::Outcome;
use crate::process::Role;
use crate::round::{answers, arguments, drained};
use crate::sender::Plan;
use crate::systems::{Places, Running, System, start};

/// Before the measured time.
const WARM_SECONDS: u64 = 1;

/// The bench sleeps while the sender sends. Slept longer by this, it was held up itself (a paused machine, say), whatever
/// the system under test did, and the run is void.
const OVERSLEPT_NANOS_MAX: u64 = 500_000_000;
/// Void runs before the bench gives up.
const VOID_MAX: u64 = 5;

/// Everything that the mode measured.
pub(crate) struct Latencies {
    /// Events a second that were wanted.
    pub(crate) rate: u64,
    /// Before each run, and after the last, with writes of the mean size of hookward's latest commits.
    pub(crate) syncs: Vec<Sync>,
    /// Runs that were run again.
    pub(crate) void: u64,
    /// Per round, in the order in which they ran.
    pub(crate) rounds: Vec<Vec<Latency>>,
}

/// What one run measured.
#[derive(Clone)]
pub(crate) struct Latency {
    pub(crate) system: System,
    pub(crate) outcome: Outcome,
    /// Events that reached the sink more than once; 0 for a system without deliveries.
    pub(crate) repeated: u64,
    /// Accepted events that had not reached the sink when waiting ended.
    pub(crate) missing: u64,
    /// Hookward's own count of its commits in the measured time.
    pub(crate) commits: Option<Commits>,
}

/// Means over hookward's commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commits {
    pub(crate) events: f64,
    pub(crate) bytes: f64,
    /// Of the sync alone, in microseconds.
    pub(crate) sync_micros: f64,
}

// === impl Latency ===

impl Latency {
    /// Events a second that were due.
    pub(crate) fn offered_per_second(&self) -> f64 {
        self.outcome.offered as f64 / (self.outcome.window_nanos as f64 / 1e9)
    }

    /// Events a second that were answered 2xx.
    pub(crate) fn answered_per_second(&self) -> f64 {
        self.outcome.answered_in_window as f64 / (self.outcome.window_nanos as f64 / 1e9)
    }

    /// Mean size of a commit; `None` for another system than hookward.
    fn commit_bytes(&self) -> Option<u64> {
        self.commits.map(|commits| commits.bytes.round() as u64)
    }
}

/// Measures every system once a round at `rate` events a second.
pub(crate) fn measure(systems: &[System], rate: u64, rounds: usize, seconds: u64, places: &Places) -> Latencies {
    // A run that is not counted finds the size of a commit, and what does not work.
    let trial = systems.contains(&System::Hookward).then(|| run(System::Hookward, rate, 0, seconds, places));
    let mut commit_bytes = trial.and_then(|run| run.commit_bytes()).unwrap_or(BODY_BYTES as u64);
    let mut all = Latencies { rate, syncs: Vec::new(), void: 0, rounds: Vec::new() };
    for round in 0..rounds {
        let mut order = systems.to_vec();
        // Nobody always runs behind the same neighbour's leftovers.
        order.rotate_left(round % systems.len());
        let mut runs = Vec::new();
        for system in order {
            all.syncs.push(fdatasync(&places.work, commit_bytes));
            let run = loop {
                let run = run(system, rate, 1 + round as u64, seconds, places);
                eprintln!("round {} · {rate}/s open loop · {}", round + 1, run.line());
                if run.outcome.window_nanos <= (seconds * 1_000_000_000) + OVERSLEPT_NANOS_MAX {
                    break run;
                }
                all.void += 1;
                eprintln!("the machine stood still for the bench itself: this run is void and is run again");
                assert!(all.void <= VOID_MAX, "{VOID_MAX} runs were void: the machine is too busy to measure on");
            };
            commit_bytes = run.commit_bytes().unwrap_or(commit_bytes);
            runs.push(run);
        }
        all.rounds.push(runs);
    }
    all.syncs.push(fdatasync(&places.work, commit_bytes));
    all
}

/// Measures `system` once; the arrivals are the same for the same `seed`.
fn run(system: System, rate: u64, seed: u64, seconds: u64, places: &Places) -> Latency {
    let mut sink = Role::start(&["sink".to_owned(), "127.0.0.1:0".to_owned()]);
    let mut running = start(system, places, sink.port());
    let mut sender = Role::start(&arguments(&Plan {
        address: running.address.clone(),
        path: running.path.to_owned(),
        credential: running.credential.to_owned(),
        connections: 0,
        presigned: usize::try_from(rate * (seconds + WARM_SECONDS + 1)).expect("a short run"),
        rate,
        seed,
        first: 1,
        events_max: 0,
        variety: Variety::None,
    }));
    assert_eq!(sender.hear(), "ready");
    sender.tell("go");
    std::thread::sleep(Duration::from_secs(WARM_SECONDS));
    let before = CommitSums::of(&running);
    sender.tell("mark");
    std::thread::sleep(Duration::from_secs(seconds));
    running.check();
    sender.tell("stop");
    let outcome: Outcome = serde_json::from_str(&sender.hear()).expect("an outcome of the sender");
    let after = CommitSums::of(&running);
    check(system, rate, &outcome);
    let seen = match system {
        System::Limit => vec![outcome.accepted, 0, 0],
        _ => drained(outcome.accepted, || sink.ask("stats")),
    };
    running.check();
    Latency {
        system,
        repeated: seen[1],
        missing: outcome.accepted.saturating_sub(seen[0]),
        commits: before.zip(after).map(|(before, after)| after.since(&before)),
        outcome,
    }
}

/// Panics where there is no figure to speak of.
fn check(system: System, rate: u64, outcome: &Outcome) {
    let wanted = rate as f64 * outcome.window_nanos as f64 / 1e9;
    // Six standard deviations of a Poisson count: never by chance.
    let off = (outcome.offered as f64 - wanted).abs();
    assert!(off <= 6.0 * wanted.sqrt() + 1.0, "the pacer offered {} events, not {wanted:.0}", outcome.offered);
    answers(system, outcome.answered, outcome.refused, outcome.broken);
}

/// Sums of hookward's metrics since its start.
struct CommitSums {
    commits: f64,
    events: f64,
    bytes: f64,
    syncs: f64,
    sync_seconds: f64,
}

impl CommitSums {
    /// `None` for another system than hookward.
    fn of(running: &Running) -> Option<Self> {
        let metrics = metrics(running.admin.as_ref()?);
        let sum = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in the metrics:\n{metrics}"))
        };
        Some(Self {
            commits: sum("hookward_store_commit_size_bytes_count"),
            events: sum("hookward_store_commit_events_sum"),
            bytes: sum("hookward_store_commit_size_bytes_sum"),
            syncs: sum("hookward_store_fsync_duration_seconds_count"),
            sync_seconds: sum("hookward_store_fsync_duration_seconds_sum"),
        })
    }

    fn since(&self, before: &Self) -> Commits {
        let commits = self.commits - before.commits;
        let syncs = self.syncs - before.syncs;
        assert!(commits > 0.0 && syncs > 0.0, "hookward counted no commits in the measured time");
        Commits {
            events: (self.events - before.events) / commits,
            bytes: (self.bytes - before.bytes) / commits,
            sync_micros: (self.sync_seconds - before.sync_seconds) / syncs * 1e6,
        }
    }
}
