//! Neighbours: what dead and slow webhooks cost the healthy ones. Thousands of webhooks in thousands of projects get
//! events in an open loop; in every second run some of them refuse connections, take none, or answer late. What counts is the
//! time from the moment at which an event was due to the arrival of its request at a healthy webhook.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::admin::Client;
use crate::crowd::Ports;
use crate::event::{Variety, project_name};
use crate::open_loop::Outcome;
use crate::outbound::{OutboundPlan, PUBLISHER, Wish, register, start};
use crate::process::Role;
use crate::report::spread;
use crate::round::arguments;
use crate::sender::Plan;
use crate::systems::{Places, Running, wait_for};

/// Two webhooks each.
const PROJECTS: u64 = 5_000;
const WEBHOOKS_OF_PROJECT: u64 = 2;
/// One webhook in so many is dead: every other one of those refuses connections, the others take none.
const DEAD_EVERY: u64 = 100;
/// One in so many is slow.
const SLOW_EVERY: u64 = 500;
/// Events a second where nobody says otherwise.
const RATE: u64 = 1_000;
/// Before the measured time: long enough that time-outs of 10 s have come.
const WARM: Duration = Duration::from_secs(12);
/// Longest wait for the healthy deliveries after the sender's stop.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// What the mode measured.
pub(crate) struct Neighbours {
    pub(crate) webhooks: u64,
    pub(crate) rate: u64,
    /// Webhooks registered one after the other over one connection.
    pub(crate) registered_per_second: f64,
    /// After a start with all of them and nothing to do.
    pub(crate) idle_rss_bytes: u64,
    /// From the start of the process until it was ready.
    pub(crate) start_seconds: f64,
    /// Without and with sick neighbours.
    pub(crate) pairs: Vec<(Run, Run)>,
}

/// One run.
pub(crate) struct Run {
    /// Of deliveries to healthy webhooks, in nanoseconds since their event was due.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
    /// Events answered 2xx.
    pub(crate) accepted: u64,
    pub(crate) failed: u64,
    /// Deliveries to healthy webhooks that did not come, or came twice.
    pub(crate) missing: u64,
    pub(crate) repeated: u64,
    pub(crate) cpu_micros: f64,
    pub(crate) rss_bytes: u64,
}

/// How a webhook is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Healthy,
    Refuses,
    TakesNone,
    Slow,
}

fn kind(webhook: u64) -> Kind {
    if webhook.is_multiple_of(DEAD_EVERY) {
        if (webhook / DEAD_EVERY).is_multiple_of(2) { Kind::Refuses } else { Kind::TakesNone }
    } else if webhook % SLOW_EVERY == 250 {
        Kind::Slow
    } else {
        Kind::Healthy
    }
}

/// Runs so many pairs of so many measured seconds.
pub(crate) fn run(rate: u64, pairs: usize, seconds: u64, places: &Places) -> Neighbours {
    let rate = if rate > 0 { rate } else { RATE };
    let mut crowd = Role::start(&["crowd".to_owned()]);
    let ports: Ports = serde_json::from_str(&crowd.hear()).expect("the ports of the crowd");
    let registered = places.folder("neighbours-registered");
    let registered_per_second = fill(places, &registered, &ports);
    let mut all = Neighbours {
        webhooks: PROJECTS * WEBHOOKS_OF_PROJECT,
        rate,
        registered_per_second,
        idle_rss_bytes: 0,
        start_seconds: 0.0,
        pairs: Vec::new(),
    };
    for pair in 0..pairs {
        let mut one = |sick: bool| {
            let folder = copy(&registered, &places.work.join("neighbours"));
            let begun = Instant::now();
            let mut running = start(places, &folder, &OutboundPlan { more: "" });
            wait_for(&mut running);
            all.start_seconds = begun.elapsed().as_secs_f64();
            std::thread::sleep(Duration::from_secs(1));
            all.idle_rss_bytes = running.usage().rss_bytes;
            let run = measure(&mut running, &mut crowd, sick, rate, pair as u64, seconds);
            eprintln!("pair {} · {} · {}", pair + 1, if sick { "sick" } else { "well" }, run.line());
            run
        };
        // Nobody always goes first.
        let (well, sick) = if pair % 2 == 0 {
            let well = one(false);
            (well, one(true))
        } else {
            let sick = one(true);
            (one(false), sick)
        };
        all.pairs.push((well, sick));
    }
    all
}

/// Registers everything; how many a second.
fn fill(places: &Places, folder: &Path, ports: &Ports) -> f64 {
    let mut running = start(places, folder, &OutboundPlan { more: "" });
    wait_for(&mut running);
    let mut client = Client::new(&running.address);
    let begun = Instant::now();
    for webhook in 0..PROJECTS * WEBHOOKS_OF_PROJECT {
        let (port, path) = match kind(webhook) {
            Kind::Healthy => (ports.open, "well"),
            Kind::Slow => (ports.open, "slow"),
            Kind::Refuses => (ports.refusing, "sick"),
            Kind::TakesNone => (ports.full, "sick"),
        };
        let url = format!("http://127.0.0.1:{port}/{path}/{webhook}");
        let wish = Wish { url: &url, types: &["*".to_owned()] };
        register(&mut client, &project_name(webhook / WEBHOOKS_OF_PROJECT), &wish);
    }
    (PROJECTS * WEBHOOKS_OF_PROJECT) as f64 / begun.elapsed().as_secs_f64()
}

/// A folder like this one, in place of the last run's.
fn copy(from: &Path, to: &Path) -> std::path::PathBuf {
    if to.exists() {
        std::fs::remove_dir_all(to).expect("the folder of the last run removed");
    }
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().is_ok_and(|status| status.success()), "cp");
    to.to_owned()
}

fn measure(running: &mut Running, crowd: &mut Role, sick: bool, rate: u64, seed: u64, seconds: u64) -> Run {
    assert_eq!(crowd.ask(if sick { "sick" } else { "well" }), [u64::from(sick)]);
    let mut sender = Role::start(&arguments(&Plan {
        address: running.address.clone(),
        path: running.path.to_owned(),
        credential: PUBLISHER.to_owned(),
        connections: 0,
        presigned: 0,
        rate,
        seed: 1 + seed,
        first: 1,
        events_max: 0,
        variety: Variety::Projects(PROJECTS),
    }));
    assert_eq!(sender.hear(), "ready");
    let before = running.usage();
    sender.tell("go");
    std::thread::sleep(WARM);
    sender.tell("mark");
    crowd.ask("mark");
    std::thread::sleep(Duration::from_secs(seconds));
    running.check();
    sender.tell("stop");
    let outcome: Outcome = serde_json::from_str(&sender.hear()).expect("an outcome of the sender");
    let usage = running.usage();
    let wanted = healthy(outcome.accepted);
    let give_up = Instant::now() + DRAIN_MAX;
    let mut seen = crowd.ask("stats");
    while seen[0] < wanted && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(50));
        seen = crowd.ask("stats");
    }
    Run {
        p50: seen[2],
        p99: seen[3],
        max: seen[4],
        accepted: outcome.accepted,
        failed: outcome.refused + outcome.broken + outcome.unanswered,
        missing: wanted.saturating_sub(seen[0]),
        repeated: seen[1],
        cpu_micros: (usage.cpu_micros - before.cpu_micros) as f64 / outcome.accepted as f64,
        rss_bytes: usage.rss_bytes,
    }
}

/// How many healthy webhooks the first so many events go to.
fn healthy(events: u64) -> u64 {
    let of_project = |project: u64| {
        let webhooks = project * WEBHOOKS_OF_PROJECT..(project + 1) * WEBHOOKS_OF_PROJECT;
        webhooks.filter(|webhook| kind(*webhook) == Kind::Healthy).count() as u64
    };
    (1..=events).map(|number| of_project(number % PROJECTS)).sum()
}

// === impl Run, Neighbours ===

impl Run {
    fn line(&self) -> String {
        format!(
            "p50 {:.2} ms, p99 {:.2} ms, {} events, {} failed, {} missing, {} repeated, {:.0} µs CPU/event, {:.0} MB",
            self.p50 as f64 / 1e6,
            self.p99 as f64 / 1e6,
            self.accepted,
            self.failed,
            self.missing,
            self.repeated,
            self.cpu_micros,
            self.rss_bytes as f64 / 1e6
        )
    }
}

impl Neighbours {
    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let run = |run: &Run| {
            json!({
                "p50_nanos": run.p50, "p99_nanos": run.p99, "max_nanos": run.max, "accepted": run.accepted,
                "failed": run.failed, "missing": run.missing, "repeated": run.repeated,
                "cpu_micros_per_event": run.cpu_micros, "rss_bytes": run.rss_bytes,
            })
        };
        let pairs = self.pairs.iter().map(|(well, sick)| json!({ "well": run(well), "sick": run(sick) }));
        json!({
            "webhooks": self.webhooks, "rate": self.rate, "registered_per_second": self.registered_per_second,
            "idle_rss_bytes": self.idle_rss_bytes, "start_seconds": self.start_seconds,
            "pairs": pairs.collect::<Vec<_>>(),
        })
    }

    /// p99 with sick neighbours in proportion to p99 without, pair by pair.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        self.pairs.iter().map(|(well, sick)| sick.p99 as f64 / well.p99.max(1) as f64).collect()
    }

    /// Events that failed and healthy deliveries that are missing.
    pub(crate) fn lost(&self) -> u64 {
        self.pairs.iter().flat_map(|(well, sick)| [well, sick]).map(|run| run.failed + run.missing).sum()
    }

    /// The Markdown table with a sentence above it.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} webhooks in {PROJECTS} projects, registered at {:.0}/s; ready {:.2} s after the start, RSS {:.0} MB at rest; {} events/s\n\n\
             | pair | well: p50 ms | p99 | max | sick: p50 ms | p99 | max | ratio of p99 | CPU µs/event, well, sick | RSS MB, well, sick | missing, repeated |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
            self.webhooks,
            self.registered_per_second,
            self.start_seconds,
            self.idle_rss_bytes as f64 / 1e6,
            self.rate
        );
        let ms = |nanos: u64| nanos as f64 / 1e6;
        for (index, ((well, sick), ratio)) in self.pairs.iter().zip(self.ratios()).enumerate() {
            text += &format!(
                "| {} | {:.2} | {:.2} | {:.1} | {:.2} | {:.2} | {:.1} | {ratio:.2} | {:.0}, {:.0} | {:.0}, {:.0} | {}, {} |\n",
                index + 1,
                ms(well.p50),
                ms(well.p99),
                ms(well.max),
                ms(sick.p50),
                ms(sick.p99),
                ms(sick.max),
                well.cpu_micros,
                sick.cpu_micros,
                well.rss_bytes as f64 / 1e6,
                sick.rss_bytes as f64 / 1e6,
                well.missing + sick.missing,
                well.repeated + sick.repeated
            );
        }
        if let Some(all) = spread(self.ratios()) {
            text += &format!("\nmedian ratio {:.2} ({:.2}–{:.2})\n", all.median, all.min, all.max);
        }
        text
    }
}
