//! The open loop: events arrive at random moments, a quarter of what hookward can do, whether or not anybody keeps up.
//! What accepting adds to the bare server's latency, in units of one fdatasync of this disk.

use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::Role;
use crate::round::{arguments, numbers};
use crate::sender::Plan;
use crate::systems::{Places, System, start};

/// Connections that arrivals find free.
const CONNECTIONS: usize = 64;

/// Latency of accepting, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    pub(crate) system: System,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// Events a second that were really answered 2xx.
    pub(crate) achieved: f64,
    pub(crate) refused: u64,
}

/// One fdatasync, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sync {
    /// Overwriting 8 KiB of a file that has its blocks: the cheapest that this disk offers.
    pub(crate) overwrite_p50: f64,
    /// Appending 8 KiB, so that the file system journals the new length.
    pub(crate) append_p50: f64,
}

/// Measures `system` at `rate` events a second.
pub(crate) fn run(system: System, rate: u64, seconds: u64, places: &Places) -> Latency {
    let mut sink = Role::start(&["sink".to_owned(), "127.0.0.1:0".to_owned()]);
    let running = start(system, places, sink.port());
    let mut sender = Role::start(&arguments(&Plan {
        address: running.address.clone(),
        path: running.path.to_owned(),
        signature_header: running.signature_header.to_owned(),
        connections: CONNECTIONS,
        presigned: usize::try_from(rate * (seconds + 2)).expect("a short run"),
        rate,
        first: 1,
        events_max: 0,
    }));
    assert_eq!(sender.hear(), "ready");
    sender.tell("go");
    std::thread::sleep(Duration::from_secs(1));
    sender.tell("mark");
    let before = sender.ask("stats");
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let after = sender.ask("stats");
    let took = begun.elapsed();
    sender.tell("stop");
    let finished = numbers(&sender.hear());
    let micros = |index: usize| finished[index] as f64 / 1e3;
    Latency {
        system,
        p50: micros(3),
        p90: micros(4),
        p99: micros(5),
        p999: micros(6),
        max: micros(7),
        achieved: (after[0] - before[0]) as f64 / took.as_secs_f64(),
        refused: finished[1] + finished[2],
    }
}

/// Median of 300 syncs of each kind on the file system of `folder`.
pub(crate) fn fdatasync(folder: &Path) -> Sync {
    std::fs::create_dir_all(folder).expect("a folder for the probe");
    let path = folder.join("fdatasync-probe");
    let mut file = std::fs::File::create(&path).expect("a file for the probe");
    let block = [0x5a_u8; 8192];
    let append_p50 = median_of(300, || {
        file.write_all(&block).expect("8 KiB written");
        file.sync_data().expect("fdatasync");
    });
    let overwrite_p50 = median_of(300, || {
        file.rewind().expect("the start of the file");
        file.write_all(&block).expect("8 KiB written");
        file.sync_data().expect("fdatasync");
    });
    drop(std::fs::remove_file(path));
    Sync { overwrite_p50, append_p50 }
}

fn median_of(times: usize, mut once: impl FnMut()) -> f64 {
    let mut micros: Vec<f64> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            once();
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    micros.sort_by(f64::total_cmp);
    micros[times / 2]
}
