//! Small: memory when idle, memory and restart with a million pending events behind a dead destination.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::control::now_nanos;
use crate::event::Variety;
use crate::process::Role;
use crate::round::{STUCK, arguments, numbers};
use crate::sender::Plan;
use crate::systems::{HookwardPlan, Places, Running, free_port, hookward, wait_for};

/// The gateway tried some of the pending events before it died; the next attempt is due a minute after the first.
const RETRIED: Duration = Duration::from_secs(90);
/// Longest wait for the first 2xx after a restart; its limit is a second.
const FIRST_2XX_MAX: Duration = Duration::from_secs(30);

/// What the mode measured; sizes in bytes, times in seconds.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) events: u64,
    pub(crate) binary_bytes: u64,
    pub(crate) idle_rss_bytes: u64,
    pub(crate) filled_rss_bytes: u64,
    pub(crate) filling_rss_bytes_max: u64,
    pub(crate) accepted_per_second: f64,
    pub(crate) refused: u64,
    pub(crate) store_bytes: u64,
    pub(crate) restart_to_first_2xx: f64,
    pub(crate) restart_to_first_delivery: f64,
    pub(crate) restarted_rss_bytes_max: u64,
    pub(crate) drained_per_second: f64,
    pub(crate) delivered: u64,
    pub(crate) repeated: u64,
}

/// Fills `events` behind a closed port, kills the gateway, opens the port, starts it again and drains it; with `cold`
/// nothing of its files is in memory when it starts.
pub(crate) fn run(events: u64, cold: bool, places: &Places) -> Pending {
    let folder = places.work.join("pending");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("the folder of the last run removed");
    }
    std::fs::create_dir_all(&folder).expect("a folder for the run");
    let plan = HookwardPlan {
        port: free_port(),
        sink_port: free_port(),
        queue_max: events * 2,
        concurrency: 64,
        proxy: false,
        store: String::new(),
    };

    let mut running = hookward(places, &folder, &plan);
    wait_for(&mut running);
    std::thread::sleep(Duration::from_secs(3));
    let idle_rss_bytes = running.usage().rss_bytes;

    let filled = fill(&mut running, &plan, events);
    running.first().crash();
    drop(running);
    let store_bytes = size_of(&folder.join("data"));
    if cold {
        empty_caches();
    }

    let drained = restart(places, &folder, &plan, events, filled.accepted);
    Pending {
        events: filled.accepted,
        binary_bytes: stripped_bytes(places),
        idle_rss_bytes,
        filled_rss_bytes: filled.rss_bytes,
        filling_rss_bytes_max: filled.rss_bytes_max,
        accepted_per_second: filled.accepted_per_second,
        refused: filled.refused,
        store_bytes,
        restart_to_first_2xx: drained.first_2xx_seconds,
        restart_to_first_delivery: drained.first_delivery_seconds,
        restarted_rss_bytes_max: drained.rss_bytes_max,
        drained_per_second: drained.per_second,
        delivered: drained.delivered,
        repeated: drained.repeated,
    }
}

/// The gateway with everything pending.
struct Filled {
    accepted: u64,
    refused: u64,
    accepted_per_second: f64,
    rss_bytes: u64,
    rss_bytes_max: u64,
}

/// Sends until so many are pending.
fn fill(running: &mut Running, plan: &HookwardPlan, events: u64) -> Filled {
    let mut sender = Role::start(&arguments(&filler(plan, events)));
    assert_eq!(sender.hear(), "ready");
    let begun = Instant::now();
    sender.tell("go");
    let (mut rss_bytes_max, mut accepted, mut progress) = (0, 0, Instant::now());
    let wanted = events.saturating_sub(64).max(1);
    while accepted < wanted && progress.elapsed() < STUCK {
        std::thread::sleep(Duration::from_millis(200));
        running.check();
        let stats = sender.ask("stats");
        if stats[0] > accepted {
            (accepted, progress) = (stats[0], Instant::now());
        }
        rss_bytes_max = rss_bytes_max.max(running.usage().rss_bytes);
    }
    sender.tell("stop");
    let sent = numbers(&sender.hear());
    assert!(
        sent[0] >= wanted,
        "hookward accepted {} of {events} events ({} refused, {} connections broken)",
        sent[0],
        sent[1],
        sent[2]
    );
    let accepted_per_second = sent[0] as f64 / begun.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(3));
    let rss_bytes = running.usage().rss_bytes;
    Filled { accepted: sent[0], refused: sent[1] + sent[2], accepted_per_second, rss_bytes, rss_bytes_max }
}

/// What came of the pending events after a restart.
struct Drained {
    first_2xx_seconds: f64,
    first_delivery_seconds: f64,
    per_second: f64,
    delivered: u64,
    repeated: u64,
    rss_bytes_max: u64,
}

/// Starts the gateway again with its destination alive, and waits until everything pending has arrived.
fn restart(places: &Places, folder: &Path, plan: &HookwardPlan, events: u64, accepted: u64) -> Drained {
    let mut sink = Role::start(&["sink".to_owned(), format!("127.0.0.1:{}", plan.sink_port)]);
    sink.port();
    let spawned = now_nanos();
    let mut running = hookward(places, folder, plan);
    let first_2xx = std::thread::spawn({
        let words = arguments(&Plan { events_max: 1, connections: 1, first: events * 3, ..filler(plan, events) });
        move || first_2xx(&words)
    });
    let mut rss_bytes_max = 0;
    let (mut first_nanos, mut last, mut progress) = (0, vec![0; 5], Instant::now());
    // One more than was pending: the first event after the restart.
    while last[0] <= accepted && progress.elapsed() < RETRIED {
        std::thread::sleep(Duration::from_millis(20));
        running.check();
        let stats = sink.ask("stats");
        if first_nanos == 0 && stats[0] > 0 {
            first_nanos = stats[3];
        }
        if stats[0] > last[0] {
            progress = Instant::now();
        }
        rss_bytes_max = rss_bytes_max.max(running.usage().rss_bytes);
        last = stats;
    }
    assert!(first_nanos > 0, "nothing that was pending was delivered after the restart");
    let first_2xx_nanos = first_2xx.join().expect("the first event after the restart");
    let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9;
    Drained {
        first_2xx_seconds: seconds(spawned, first_2xx_nanos),
        first_delivery_seconds: seconds(spawned, first_nanos),
        per_second: last[0] as f64 / seconds(first_nanos, last[4].max(first_nanos + 1)),
        // Without the first event after the restart.
        delivered: last[0].saturating_sub(1),
        repeated: last[1],
        rss_bytes_max,
    }
}

fn filler(plan: &HookwardPlan, events: u64) -> Plan {
    Plan {
        address: format!("127.0.0.1:{}", plan.port),
        path: "/webhooks/appmint".to_owned(),
        credential: "X-Appmint-Signature".to_owned(),
        connections: 64,
        presigned: 0,
        rate: 0,
        seed: 0,
        first: 1,
        events_max: events,
        variety: Variety::None,
    }
}

/// Sends one event as soon as anybody listens, again until it is answered 2xx; the moment of that answer.
fn first_2xx(words: &[String]) -> u64 {
    let give_up = Instant::now() + FIRST_2XX_MAX;
    loop {
        // The sender waits for the port by itself.
        let mut sender = Role::start(words);
        assert_eq!(sender.hear(), "ready");
        sender.tell("go");
        loop {
            let stats = sender.ask("stats");
            if stats[0] >= 1 {
                return now_nanos();
            }
            assert!(Instant::now() < give_up, "no 2xx {FIRST_2XX_MAX:?} after the restart");
            if stats[1] + stats[2] > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What was read or written is no longer in memory (proc(5), `/proc/sys/vm/drop_caches`); the binary's pages neither.
fn empty_caches() {
    assert!(Command::new("sync").status().is_ok_and(|status| status.success()), "sync");
    std::fs::write("/proc/sys/vm/drop_caches", "3").expect("root, to empty the caches");
}

/// With what lies in folders below it.
fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("the folder of the store").flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size_of(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn stripped_bytes(places: &Places) -> u64 {
    let copy = places.work.join("hookward-stripped");
    let stripped = Command::new("strip").arg("-o").arg(&copy).arg(&places.hookward).status();
    let measured = if stripped.is_ok_and(|status| status.success()) { &copy } else { &places.hookward };
    std::fs::metadata(measured).expect("a binary of hookward").len()
}
