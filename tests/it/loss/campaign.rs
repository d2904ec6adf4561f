//! Cycles of load, crash and restart against a real gateway, then the judgement.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::ledger::{DESTINATIONS, Ledger, is_refused_for_good, number};
use super::oracle::{ATTEMPT_MAX, Verdict, judge};
use super::stalls::Watch;
use super::storm::{Storm, resend};
use crate::support::{Answer, Disk, Gateway, PATIENCE, SECRET, Sink};

/// Big enough for a thousand cycles.
const DISK_BYTES: u64 = 4 << 30;

/// How long a life lasts before it ends, in milliseconds.
const LIFE: std::ops::Range<u64> = 30..500;

/// The same with retention, for which something must become old.
const RETENTION_LIFE: std::ops::Range<u64> = 30..1000;

/// How long the queue of a whole campaign may take to drain.
const DRAIN_MAX: Duration = Duration::from_secs(180);

/// How often the queue is drained and everything is judged.
const CYCLES_BETWEEN_JUDGEMENTS: usize = 10;

/// How the victim dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`.
    Kill,
    /// The disk loses power, then the process dies.
    PowerCut,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub(crate) fault: Fault,
    pub(crate) cycles: usize,
    /// The build that is the victim; `None` for the real one.
    pub(crate) binary: Option<PathBuf>,
    /// `store.durability: relaxed`: must lose nothing when the process dies; a power cut may.
    pub(crate) relaxed: bool,
    /// The gateway is also frozen for longer than an attempt may take, in the middle of attempts.
    pub(crate) freezes: bool,
    /// Retention removes all the time: what is a fifth of a second old, a file of the journal after the other.
    pub(crate) retention: bool,
    /// A broken build: drain and judge after every cycle and stop at the first loss.
    pub(crate) until_lost: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    fault: Fault,
    seed: u64,
    cycles: usize,
    slowest_start: Duration,
    took: Duration,
    /// Files of the journal that retention has removed.
    pub(crate) removed: u64,
    pub(crate) verdict: Verdict,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "loss: {:?}, seed {}, {} cycles in {:.1} s, slowest start {} ms, {} files removed by retention, {}",
            self.fault,
            self.seed,
            self.cycles,
            self.took.as_secs_f32(),
            self.slowest_start.as_millis(),
            self.removed,
            self.verdict
        )
    }
}

// === impl Campaign ===

impl Campaign {
    /// The real build with nothing else that is special.
    pub(crate) fn new(fault: Fault, cycles: usize) -> Self {
        Self { fault, cycles, binary: None, relaxed: false, freezes: false, retention: false, until_lost: false }
    }

    /// What the configuration says of the store.
    fn store(&self) -> String {
        let relaxed = if self.relaxed { ", durability: relaxed" } else { "" };
        // With a bound that is never reached retention looks ten times a second.
        let retention = ", bytes_max: 1GiB, retention: { events: 200ms, rejections: 200ms }";
        format!("{relaxed}{}", if self.retention { retention } else { "" })
    }

    /// Runs the cycles; the numbers are printed whatever comes of it.
    pub(crate) async fn run(self) -> Outcome {
        let start = Instant::now();
        let seed = std::env::var("LOSS_SEED").map_or_else(|_| fastrand::u64(..1 << 32), |seed| seed.parse().unwrap());
        fastrand::seed(seed);
        let ledger = Arc::new(Ledger::default());
        let watch = Watch::start();
        let sinks = [steady(&ledger).await, shaky(&ledger).await];
        let disk = (self.fault == Fault::PowerCut).then(|| Disk::new(DISK_BYTES));
        let mut gateway = Gateway::prepare("");
        if let Some(binary) = &self.binary {
            gateway.binary(binary);
        }
        if let Some(disk) = &disk {
            gateway.store_at(&disk.path().join("data"));
        }
        gateway.configure(&config(&sinks, &self.store()));
        gateway.run().await;
        let slowest_start = Duration::ZERO;
        let mut victim = Victim { campaign: self.clone(), gateway, disk, sinks, ledger, watch, slowest_start };
        let mut cycles = 0;
        let verdict = loop {
            cycles += 1;
            if !victim.suffer().await {
                break judge(&victim.ledger, &HashSet::new());
            }
            let last = cycles == self.cycles;
            if last || self.until_lost || cycles % CYCLES_BETWEEN_JUDGEMENTS == 0 {
                let verdict = victim.settle().await;
                if last || !verdict.is_clean() {
                    break verdict;
                }
            }
        };
        let outcome = Outcome {
            fault: self.fault,
            seed,
            cycles,
            slowest_start: victim.slowest_start,
            took: start.elapsed(),
            removed: victim.removed(),
            verdict,
        };
        println!("{outcome}");
        outcome
    }
}

/// A gateway under load that dies again and again.
struct Victim {
    campaign: Campaign,
    gateway: Gateway,
    disk: Option<Disk>,
    sinks: [Sink; 2],
    ledger: Arc<Ledger>,
    watch: Watch,
    slowest_start: Duration,
}

impl Victim {
    /// One cycle: load, death at a random moment, restart. False where a broken build does not come up again.
    async fn suffer(&mut self) -> bool {
        let storm = Storm::start(self.gateway.ingress(), &self.ledger);
        pause(if self.campaign.retention { RETENTION_LIFE } else { LIFE }).await;
        if self.campaign.freezes {
            let from = Instant::now();
            self.gateway.freeze();
            tokio::time::sleep(ATTEMPT_MAX + Duration::from_secs(1)).await;
            self.gateway.thaw();
            self.ledger.was_frozen(from, Instant::now());
            pause(300..1000).await;
        }
        self.die().await;
        storm.stop().await;
        // Dying while it recovers must do no harm either.
        while fastrand::u8(..4) == 0 {
            self.gateway.spawn();
            pause(0..120).await;
            self.die().await;
        }
        let start = Instant::now();
        if self.campaign.until_lost {
            self.gateway.spawn();
            if !self.gateway.becomes_ready().await {
                return false;
            }
        } else {
            self.gateway.run().await;
        }
        self.slowest_start = self.slowest_start.max(start.elapsed());
        true
    }

    async fn die(&mut self) {
        if self.disk.is_some() {
            // A machine without power answers nobody: it stops first. Were it running, a sync that the cut meets half
            // way could still report success (ext4 does not tell that it failed to convert the extents).
            self.gateway.freeze();
            self.gateway.frozen().await;
        }
        let died_at = Instant::now();
        if let Some(disk) = &self.disk {
            disk.cut();
        }
        self.gateway.kill();
        for sink in &self.sinks {
            sink.quiet().await;
        }
        self.ledger.died(died_at, self.disk.is_some());
        if let Some(disk) = &self.disk {
            disk.replug();
        }
    }

    /// Sends again what was not acknowledged, waits until nothing is pending, and judges.
    async fn settle(&self) -> Verdict {
        resend(self.gateway.ingress(), &self.ledger).await;
        self.gateway.drained(DRAIN_MAX).await;
        self.ledger.stood_still(self.watch.stalls());
        let dead = if self.campaign.retention { self.ledger.refused_for_good() } else { self.dead().await };
        let mut verdict = judge(&self.ledger, &dead);
        if self.campaign.retention {
            self.look_at_databases(&mut verdict);
        }
        // A build that loses events has other counts too: only where all else is well they say something.
        if verdict.is_clean() {
            self.balance(&mut verdict).await;
        }
        verdict
    }

    /// Whether SQLite finds anything to say against its files.
    fn look_at_databases(&self, verdict: &mut Verdict) {
        for file in ["index.db", "rejections.db"] {
            let database =
                Connection::open_with_flags(self.gateway.store().join(file), OpenFlags::SQLITE_OPEN_READ_ONLY);
            let check = database
                .and_then(|database| database.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0)));
            if check.as_deref() != Ok("ok") {
                verdict.oddities.push(format!("{file}: {check:?}"));
            }
        }
    }

    /// How many files of the journal are gone.
    fn removed(&self) -> u64 {
        let files = std::fs::read_dir(self.gateway.store().join("journal")).unwrap();
        let numbers = files.filter_map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".journal").and_then(|number| number.parse::<u64>().ok())
        });
        numbers.min().map_or(0, |oldest| oldest - 1)
    }

    /// O5: what the gateway says that it accepted, delivered and gave up is what the logs say. The index may be a
    /// moment behind, so it is asked until they agree, or long enough.
    async fn balance(&self, verdict: &mut Verdict) {
        let start = Instant::now();
        loop {
            let stats = self.gateway.get("/v1/stats").await.json();
            let ended = |name: &str, how: &str| {
                let rows = stats["destinations"].as_array().unwrap();
                rows.iter().find(|row| row["name"] == name).and_then(|row| row[how].as_u64()).unwrap_or_default()
            };
            let all = |how: &str| DESTINATIONS.iter().map(|name| ended(name, how)).sum::<u64>();
            let counted = [
                stats["sources"][0]["accepted"].as_u64().unwrap_or_default(),
                all("succeeded"),
                all("dead"),
                all("expired") + all("cancelled"),
            ];
            if verdict.agrees_with(counted) {
                return;
            }
            if start.elapsed() > PATIENCE {
                let what = "the gateway says that it accepted, delivered, gave up or ended otherwise";
                verdict.oddities.push(format!("{what} {counted:?}, and not what the logs say"));
                return;
            }
            pause(20..21).await;
        }
    }

    /// What the gateway shows as dead: events and destinations.
    async fn dead(&self) -> HashSet<(usize, usize)> {
        let mut dead = HashSet::new();
        let mut after = String::new();
        loop {
            let rows = self.gateway.list(&format!("/v1/deliveries?status=dead&limit=100{after}")).await;
            for row in &rows {
                let event = row["event"].as_str().unwrap();
                let event = self.gateway.get(&format!("/v1/events/{event}")).await.json();
                let destination = DESTINATIONS.iter().position(|name| row["destination"] == **name).unwrap();
                dead.insert((number(event["source_event_id"].as_str().unwrap()).unwrap(), destination));
            }
            match rows.last() {
                Some(last) if rows.len() == 100 => after = format!("&starting_after={}", last["id"].as_str().unwrap()),
                _ => return dead,
            }
        }
    }
}

async fn pause(milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(milliseconds))).await;
}

/// Two destinations, retries that are quick, time-outs of [`ATTEMPT_MAX`].
pub(super) fn config(sinks: &[Sink; 2], store: &str) -> String {
    let schedule = ["50ms"; 10].iter().chain(["200ms"; 40].iter()).copied().collect::<Vec<_>>().join(", ");
    let lanes = DESTINATIONS
        .iter()
        .zip(sinks)
        .map(|(name, sink)| {
            format!(
                "  {name}:\n    url: \"{}\"\n    timeout: {}s\n    retry: {{ schedule: [{schedule}], final: [410] }}\n    \
                 breaker: {{ failures: 50, window: 2s, open: 100ms }}\n",
                sink.url("/hook"),
                ATTEMPT_MAX.as_secs()
            )
        })
        .collect::<String>();
    format!(
        "store: {{ path: \"@STORE@\", disk_free_min: 1MiB{store} }}\n\
         sources:\n  appmint:\n    path: /in\n    verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }}\n\
         routes:\n  - {{ from: appmint, to: [steady, shaky] }}\ndestinations:\n{lanes}"
    )
}

/// A destination that takes everything.
async fn steady(ledger: &Arc<Ledger>) -> Sink {
    let ledger = Arc::clone(ledger);
    let sink = Sink::answering(move |hit| {
        ledger.arrived(0, hit, 200);
        Answer::status(200)
    })
    .await;
    sink.forget();
    sink
}

/// A destination that is down a quarter of the time, and else fails one request in ten in one of several ways.
async fn shaky(ledger: &Arc<Ledger>) -> Sink {
    let ledger = Arc::clone(ledger);
    let start = Instant::now();
    let sink = Sink::answering(move |hit| {
        let is_down = start.elapsed().as_millis() % 1000 < 250;
        let for_good = number(hit.header("hookward-source-event-id")).is_some_and(is_refused_for_good);
        let answer = match fastrand::u16(..1000) {
            _ if is_down => Answer::status(503),
            _ if for_good => Answer::status(410),
            0 => Answer::Hang,
            1..10 => Answer::Close,
            10..40 => Answer::status(200).after(Duration::from_millis(fastrand::u64(1..80))),
            40..60 => Answer::status(429).header("retry-after", 1),
            60..100 => Answer::status(500),
            _ => Answer::status(200),
        };
        ledger.arrived(1, hit, if let Answer::Reply { status, .. } = answer { status } else { 0 });
        answer
    })
    .await;
    sink.forget();
    sink
}
