//! F02: `kill -9` at each call with which the gateway changes a file of its store, one after the other.
//!
//! A first run, which nothing disturbs, counts the calls of a short scripted load by file and by thread. Then the
//! same load runs once for each of them and strace kills the gateway as it makes the k-th; it is started again,
//! everything is sent once more, and the oracle judges. A restart of what a crash left behind is swept as well.
//!
//! F04: the same with the power of its disk. strace stops the gateway as it comes back from the k-th call, then the disk
//! loses its power: between a rename and the sync of the folder, in the middle of recovery or of a roll.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use super::campaign::{Fault, config};
use super::ledger::{Ledger, body};
use super::oracle::{Verdict, judge};
use super::storm::{resend, send};
use crate::support::{Answer, Disk, Gateway, PATIENCE, SECRET, Sender, Sink, eventually};

/// What changes a file, its name or the disk's idea of it.
const CALLS: [&str; 9] =
    ["write", "pwrite64", "fdatasync", "fsync", "rename", "ftruncate", "fallocate", "unlink", "unlinkat"];

/// Every file that the store makes under a load of this size.
const FILES: [&str; 15] = [
    "",
    "lock",
    "journal",
    "journal/0000000001.new",
    "journal/0000000001.journal",
    "journal/0000000002.new",
    "journal/0000000002.journal",
    "journal/0000000003.new",
    "journal/0000000003.journal",
    "index.db",
    "index.db-wal",
    "index.db-journal",
    "rejections.db",
    "rejections.db-wal",
    "rejections.db-journal",
];

/// Events of the load; two senders send half of them each.
const EVENTS: usize = 6;

/// The disk of a life. Files of the journal are an eighth of what is free: the load fills one and goes on in the next.
const DISK_BYTES: u64 = 24 << 20;

/// The same in memory, where a file system takes nothing for itself.
const MEMORY_BYTES: u64 = 18 << 20;

/// So often in a row a stopped process must look the same.
const LOOKS_AT_A_STOP: usize = 10;

/// Lives that are swept at the same time: each waits most of the time.
const AT_ONCE: usize = 3;

/// SQLite makes many calls that are alike: of those on its files CI takes every so-manieth.
const SQLITE_EVERY_IN_CI: usize = 5;

/// What the load begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    /// No store at all.
    Fresh,
    /// What a killed gateway left behind, with open deliveries.
    Crashed,
}

/// One place at which the gateway dies.
#[derive(Clone, Debug)]
struct Point {
    start: Start,
    file: &'static str,
    call: &'static str,
    /// Counted from 1 for each thread.
    k: usize,
}

/// What came of all of them.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// By file and call: how many points, and at how many of them the gateway died.
    points: BTreeMap<(Start, &'static str, &'static str), (usize, usize)>,
    pub(super) failed: Vec<String>,
    events: usize,
    repeated_by_crashes: usize,
    took: Duration,
}

/// All of it, as a part.
pub(super) const WHOLE: (usize, usize) = (1, 1);

/// Kills at every call, or with `all` unset at every call on the journal and at some on SQLite's files. Power is cut
/// without `all` only at calls that change names or sizes, or sync, on the journal. Of all these places the K-th of N
/// parts, every N-th place.
pub(super) async fn sweep(fault: Fault, all: bool, (part, of): (usize, usize)) -> Swept {
    let begun = Instant::now();
    let crashed = tempfile::tempdir().unwrap();
    leave_behind(crashed.path()).await;
    let mut points = Vec::new();
    for start in [Start::Fresh, Start::Crashed] {
        for ((file, call), n) in count(fault, start, crashed.path()).await {
            if fault == Fault::PowerCut && !all && (file.contains(".db") || matches!(call, "write" | "pwrite64")) {
                continue;
            }
            let step = if all || !file.contains(".db") { 1 } else { SQLITE_EVERY_IN_CI };
            points.extend((1..=n).step_by(step).map(|k| Point { start, file, call, k }));
        }
    }
    let points = points.into_iter().skip(part - 1).step_by(of).collect();
    let mut swept = LocalSet::new().run_until(sweep_points(fault, points, crashed.path())).await;
    swept.took = begun.elapsed();
    println!("{swept}");
    swept
}

async fn sweep_points(fault: Fault, points: Vec<Point>, crashed: &Path) -> Swept {
    let queue = Arc::new(Mutex::new(points.into_iter()));
    let swept = Arc::new(Mutex::new(Swept::default()));
    let mut lives = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (queue, swept, crashed) = (Arc::clone(&queue), Arc::clone(&swept), crashed.to_owned());
        lives.spawn_local(async move {
            loop {
                let Some(point) = queue.lock().unwrap().next() else { return };
                let (died, verdict) = die_at(fault, &point, &crashed).await;
                swept.lock().unwrap().add(&point, died, &verdict);
            }
        });
    }
    lives.join_all().await;
    Arc::into_inner(swept).unwrap().into_inner().unwrap()
}

/// A gateway with its destinations and the log of what is sent.
struct Life {
    gateway: Gateway,
    disk: Disk,
    sinks: [Sink; 2],
    ledger: Arc<Ledger>,
}

/// Runs the load once without dying: how often each call was made, by the thread that made it most often.
async fn count(fault: Fault, start: Start, crashed: &Path) -> BTreeMap<(&'static str, &'static str), usize> {
    let mut life = Life::prepare(fault, start, crashed).await;
    let log = life.gateway.folder().join("calls");
    let store = life.gateway.store().to_owned();
    let mut command = strace(&store, &FILES, &CALLS.join(","));
    command.extend(["-y", "-s", "0", "-o", log.to_str().unwrap()].map(str::to_owned));
    life.gateway.under(command);
    life.gateway.spawn();
    let pid = life.gateway.pid();
    assert_eq!(life.load().await, None, "nothing kills it");
    // strace fills a short process id up with spaces.
    let ended = |line: &str| {
        line.split_once(' ')
            .is_some_and(|(of, rest)| of == pid.to_string() && rest.trim_start() == "+++ exited with 0 +++")
    };
    let text = eventually("the end of strace's log", async || {
        std::fs::read_to_string(&log).ok().filter(|text| text.lines().any(ended))
    })
    .await;
    let mut calls: BTreeMap<(&'static str, &'static str, &str), usize> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some(call) = CALLS.into_iter().find(|call| rest.trim_start().starts_with(&format!("{call}("))) else {
            continue;
        };
        let named = |file: &&&str| {
            let path = store.join(file).to_str().unwrap().trim_end_matches('/').to_owned();
            rest.contains(&format!("<{path}>")) || rest.contains(&format!("\"{path}\""))
        };
        if let Some(file) = FILES.iter().find(named) {
            *calls.entry((file, call, thread)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((file, call, _), count) in calls {
        let n: &mut usize = most.entry((file, call)).or_default();
        *n = count.max(*n);
    }
    for file in ["journal/0000000001.journal", "journal/0000000002.journal"] {
        assert!(most.contains_key(&(file, "fdatasync")), "{file} is synced: {text}");
    }
    most
}

/// One life that ends at this point, and the one after it. Whether it died there, and the judgement.
async fn die_at(fault: Fault, point: &Point, crashed: &Path) -> (bool, Verdict) {
    let mut life = Life::prepare(fault, point.start, crashed).await;
    let signal = if fault == Fault::Kill { "KILL" } else { "STOP" };
    let mut command = strace(life.gateway.store(), &[point.file], point.call);
    command.extend(["-e".to_owned(), format!("inject={}:signal={signal}:when={}", point.call, point.k)]);
    command.extend(["-o", "/dev/null"].map(str::to_owned));
    life.gateway.under(command);
    life.gateway.spawn();
    let pid = life.gateway.pid();
    // Whoever notes the end later makes outcomes older than they were.
    let of_power = fault == Fault::PowerCut;
    let (died, died_at) = match fault {
        Fault::Kill => {
            let (signal, died_at) = tokio::join!(life.load(), gone(pid));
            (signal == Some(9), died_at)
        }
        Fault::PowerCut => life.load_or_stop().await,
    };
    if of_power {
        life.disk.cut();
        life.gateway.kill();
        life.disk.replug();
    }
    for sink in &life.sinks {
        sink.quiet().await;
    }
    life.ledger.died(died_at, of_power);
    life.gateway.under(Vec::new());
    life.gateway.run().await;
    resend(life.gateway.ingress(), &life.ledger).await;
    // And all of it once more: now everything is held, so everything is a copy.
    let mut sender = Sender::to(life.gateway.ingress(), "/in", SECRET);
    for number in 0..life.ledger.sent().len() {
        life.ledger.requested(number);
        let asked_at = Instant::now();
        let answer = sender.try_send(&body(number)).await;
        life.ledger.answered(number, asked_at, &answer);
        if !answer.as_ref().is_ok_and(|reply| reply.status == 200 && reply.is_duplicate()) {
            life.ledger.odd(format!("event {number} was acknowledged, sent again, and not called a copy: {answer:?}"));
        }
    }
    life.gateway.drained(PATIENCE).await;
    (died, judge(&life.ledger, &HashSet::new()))
}

/// Makes the store that [`Start::Crashed`] starts with: killed with half a dozen open deliveries, all of events
/// that nobody judges.
async fn leave_behind(to: &Path) {
    let down = Sink::answering(|_| Answer::status(503)).await;
    let other = Sink::answering(|_| Answer::status(200)).await;
    let disk = Disk::in_memory(MEMORY_BYTES);
    let mut gateway = Gateway::prepare("");
    gateway.store_at(&disk.path().join("data"));
    gateway.configure(&config(&[down, other], ""));
    gateway.run().await;
    let mut sender = Sender::new(&gateway);
    for number in 0..EVENTS {
        assert_eq!(
            sender.send(&crate::support::event(&format!("evt_before_{number}"), "user.created")).await.status,
            200
        );
    }
    gateway.kill();
    copy(gateway.store(), to);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// strace beside its victim (`-D`: the victim stays our child) that looks at these calls on these files only.
fn strace(store: &Path, files: &[&str], calls: &str) -> Vec<String> {
    let mut command: Vec<String> = ["strace", "-D", "-f", "-q", "-e"].map(str::to_owned).to_vec();
    command.push(format!("trace={calls}"));
    for file in files {
        let path = store.join(file);
        command.extend(["-P".to_owned(), path.to_str().unwrap().trim_end_matches('/').to_owned()]);
    }
    command
}

// === impl Life ===

impl Life {
    async fn prepare(fault: Fault, start: Start, crashed: &Path) -> Self {
        let ledger = Arc::new(Ledger::default());
        let sinks = [taking(&ledger, 0).await, taking(&ledger, 1).await];
        let mut gateway = Gateway::prepare("");
        // Outcomes wait for a sync that is under way: a slow disk would make more repeats than the 250 ms of the promise.
        let disk = if fault == Fault::Kill { Disk::in_memory(MEMORY_BYTES) } else { Disk::new(DISK_BYTES) };
        gateway.store_at(&disk.path().join("data"));
        gateway.configure(&config(&sinks, ""));
        if start == Start::Crashed {
            copy(crashed, gateway.store());
        }
        disk.sync();
        Self { gateway, disk, sinks, ledger }
    }

    /// The load until it is over, or until the gateway was stopped; whether it was, and when.
    async fn load_or_stop(&mut self) -> (bool, Instant) {
        let pid = self.gateway.pid();
        let stopped = tokio::select! {
            biased;
            at = stopped(pid) => Some(at),
            _ended = self.load() => None,
        };
        if stopped.is_some() {
            self.gateway.frozen().await;
            self.ledger.begin_again();
        }
        (stopped.is_some(), stopped.unwrap_or_else(Instant::now))
    }

    /// The load: events, a request that is refused, an empty queue, an orderly end. Answers by which signal it
    /// ended before that.
    async fn load(&mut self) -> Option<i32> {
        if self.gateway.becomes_ready().await {
            let address = self.gateway.ingress();
            let mut senders = JoinSet::new();
            for _ in 0..2 {
                let ledger = Arc::clone(&self.ledger);
                senders.spawn(async move {
                    let mut sender = Sender::to(address, "/in", SECRET);
                    for _ in 0..EVENTS / 2 {
                        if !send(&mut sender, &ledger, ledger.fresh()).await {
                            break;
                        }
                    }
                });
            }
            senders.join_all().await;
            let refused = Sender::to(address, "/in", "another secret").try_send(&body(0)).await;
            assert!(refused.is_err() || refused.is_ok_and(|reply| reply.status == 401));
            self.empty_or_dead().await;
        }
        if self.gateway.is_running() {
            self.gateway.terminate();
        }
        let status = self.gateway.ended().await;
        assert!(status.signal() == Some(9) || status.success(), "it ends by kill -9 or in order: {status}");
        status.signal()
    }

    async fn empty_or_dead(&mut self) {
        let start = Instant::now();
        while self.gateway.is_running() {
            if let Some(reply) = self.gateway.try_get("/v1/destinations").await.filter(|reply| reply.status == 200) {
                let lanes = reply.json()["data"].as_array().cloned().unwrap_or_default();
                if lanes.iter().all(|lane| lane["queue"]["pending"] == 0 && lane["queue"]["in_flight"] == 0) {
                    return;
                }
            }
            assert!(start.elapsed() < PATIENCE, "the queue does not become empty");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until a process is stopped by a signal: every one of its threads, for a while and without a turn in between.
/// While strace only looks at a call, it is a thread's state for a moment. Gives the beginning of that while: whoever
/// notes the end later makes outcomes older than they were.
async fn stopped(pid: u32) -> Instant {
    let (mut last, mut since) = (None, Instant::now());
    let mut the_same = 0;
    while the_same < LOOKS_AT_A_STOP {
        let looked_at = Instant::now();
        let now = stops(pid);
        the_same = if now.is_some() && now == last { the_same + 1 } else { 0 };
        if the_same == 0 {
            since = looked_at;
        }
        last = now;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    since
}

/// Waits for the end of a process and says when it was.
async fn gone(pid: u32) -> Instant {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        if matches!(state, None | Some('Z' | 'X')) {
            return Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How often each thread has had its turn, where all of them are stopped.
fn stops(pid: u32) -> Option<Vec<String>> {
    let mut turns = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let status = std::fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        let field = |name: &str| status.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        let state = field("State:")?;
        if !state.contains("T (") && !state.contains("t (") {
            return None;
        }
        turns.extend([field("Pid:")?, field("voluntary_ctxt_switches:")?]);
    }
    (!turns.is_empty()).then_some(turns)
}

/// A destination that takes everything, the second one at the second time of asking. What was there before the
/// load is taken and not noted.
async fn taking(ledger: &Arc<Ledger>, destination: usize) -> Sink {
    let ledger = Arc::clone(ledger);
    Sink::answering(move |hit| {
        let status = if destination == 0 || hit.attempt() > 1 { 200 } else { 503 };
        if hit.header("hookward-source-event-id").starts_with("evt_loss_") {
            ledger.arrived(destination, hit, status);
        }
        Answer::status(status)
    })
    .await
}

// === impl Swept ===

impl Swept {
    fn add(&mut self, point: &Point, died: bool, verdict: &Verdict) {
        let (points, deaths) = self.points.entry((point.start, point.file, point.call)).or_default();
        *points += 1;
        *deaths += usize::from(died);
        self.events += verdict.sent;
        self.repeated_by_crashes += verdict.repeated_by_crashes;
        if !verdict.is_clean() {
            self.failed.push(format!("{point:?}: {verdict}"));
        }
    }

    /// How many times the gateway was killed.
    pub(super) fn deaths(&self) -> usize {
        self.points.values().map(|(_, deaths)| deaths).sum()
    }
}

impl fmt::Display for Swept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points: usize = self.points.values().map(|(points, _)| points).sum();
        write!(
            formatter,
            "sweep: n = {points} calls, killed at {} of them in {:.1} s, {} events sent, {} repeated by crashes, \
             failed {}",
            self.deaths(),
            self.took.as_secs_f32(),
            self.events,
            self.repeated_by_crashes,
            self.failed.len()
        )?;
        for ((start, file, call), (points, deaths)) in &self.points {
            write!(formatter, "\n  {start:?}, {call} of {:?}: {points}, killed at {deaths}", PathBuf::from(file))?;
        }
        for failed in &self.failed {
            write!(formatter, "\n  {failed}")?;
        }
        Ok(())
    }
}
