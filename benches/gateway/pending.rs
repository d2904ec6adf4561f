//! Small: memory when idle, memory and restart with a million pending events behind a dead destination.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::control::now_nanos;
use crate::process::Role;
use crate::round::{arguments, numbers};
use crate::sender::Plan;
use crate::systems::{HookwardPlan, Places, free_port, hookward, wait_for};

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

/// Fills `events` behind a closed port, kills the gateway, opens the port, starts it again and drains it.
pub(crate) fn run(events: u64, places: &Places) -> Pending {
    let folder = places.work.join("pending");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("the folder of the last run removed");
    }
    std::fs::create_dir_all(&folder).expect("a folder for the run");
    let plan = HookwardPlan { port: free_port(), sink_port: free_port(), queue_max: events * 2, concurrency: 64 };

    let mut running = hookward(places, &folder, &plan);
    wait_for(&mut running);
    std::thread::sleep(Duration::from_secs(3));
    let idle_rss_bytes = running.usage().rss_bytes;

    let mut sender = Role::start(&arguments(&filler(&plan, events)));
    assert_eq!(sender.hear(), "ready");
    let begun = Instant::now();
    sender.tell("go");
    let mut filling_rss_bytes_max = 0;
    let mut accepted = 0;
    while accepted < events - 64 {
        std::thread::sleep(Duration::from_millis(200));
        running.check();
        let stats = sender.ask("stats");
        if stats[0] == accepted && stats[1] > 1000 {
            eprintln!("pending: the gateway refuses: {stats:?}");
            break;
        }
        accepted = stats[0];
        filling_rss_bytes_max = filling_rss_bytes_max.max(running.usage().rss_bytes);
        if begun.elapsed() > Duration::from_secs(600) {
            break;
        }
    }
    sender.tell("stop");
    let filled = numbers(&sender.hear());
    let accepted_per_second = filled[0] as f64 / begun.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(3));
    let filled_rss_bytes = running.usage().rss_bytes;
    running.first().crash();
    drop(running);
    let store_bytes = size_of(&folder.join("data"));

    let mut sink = Role::start(&["sink".to_owned(), format!("127.0.0.1:{}", plan.sink_port)]);
    sink.port();
    let spawned = now_nanos();
    let running = hookward(places, &folder, &plan);
    let first_2xx = std::thread::spawn({
        let words = arguments(&Plan { events_max: 1, connections: 1, first: events * 3, ..filler(&plan, events) });
        move || first_2xx(&words)
    });
    let mut restarted_rss_bytes_max = 0;
    let (mut first_nanos, mut last, mut progress) = (0, vec![0; 5], Instant::now());
    while last[0] < filled[0] && progress.elapsed() < Duration::from_secs(45) {
        std::thread::sleep(Duration::from_millis(20));
        let stats = sink.ask("stats");
        if first_nanos == 0 && stats[0] > 0 {
            first_nanos = stats[3];
        }
        if stats[0] > last[0] {
            progress = Instant::now();
        }
        restarted_rss_bytes_max = restarted_rss_bytes_max.max(running.usage().rss_bytes);
        last = stats;
    }
    let first_2xx_nanos = first_2xx.join().expect("the first event after the restart");
    Pending {
        events: filled[0],
        binary_bytes: stripped_bytes(places),
        idle_rss_bytes,
        filled_rss_bytes,
        filling_rss_bytes_max,
        accepted_per_second,
        refused: filled[1] + filled[2],
        store_bytes,
        restart_to_first_2xx: first_2xx_nanos.saturating_sub(spawned) as f64 / 1e9,
        restart_to_first_delivery: first_nanos.saturating_sub(spawned) as f64 / 1e9,
        restarted_rss_bytes_max,
        drained_per_second: last[0] as f64 / (last[4].saturating_sub(first_nanos).max(1) as f64 / 1e9),
        delivered: last[0],
        repeated: last[1],
    }
}

fn filler(plan: &HookwardPlan, events: u64) -> Plan {
    Plan {
        address: format!("127.0.0.1:{}", plan.port),
        path: "/webhooks/appmint".to_owned(),
        signature_header: "X-Appmint-Signature".to_owned(),
        connections: 64,
        presigned: 0,
        rate: 0,
        first: 1,
        events_max: events,
    }
}

/// Sends one event as soon as anybody listens, again until it is answered 2xx; the moment of that answer.
fn first_2xx(words: &[String]) -> u64 {
    loop {
        // The sender waits for the port by itself.
        let mut sender = Role::start(words);
        assert_eq!(sender.hear(), "ready");
        sender.tell("go");
        loop {
            let stats = sender.ask("stats");
            if stats[0] == 1 {
                return now_nanos();
            }
            if stats[1] + stats[2] > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn size_of(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
}

fn stripped_bytes(places: &Places) -> u64 {
    let copy = places.work.join("hookward-stripped");
    let stripped = Command::new("strip").arg("-o").arg(&copy).arg(&places.hookward).status();
    let measured = if stripped.is_ok_and(|status| status.success()) { &copy } else { &places.hookward };
    std::fs::metadata(measured).map(|data| data.len()).unwrap_or(0)
}
