//! `cargo bench --bench gateway`: hookward beside the limit, the yardstick and what users would pick instead, in one go,
//! interleaved, in several rounds, with sender and sink in processes of their own (this binary again, with a role as its
//! argument). docs/performance.md says how to read the figures.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench fails by panicking and starts processes"
)]

mod admin;
mod arguments;
mod control;
mod crowd;
mod disk;
mod event;
mod latency;
mod latency_report;
mod limit;
mod lists;
mod neighbours;
mod open_loop;
mod outbound;
mod pacer;
mod pending;
mod pool;
mod process;
mod report;
mod round;
mod sender;
mod sink;
mod systems;
mod verdict;
mod wire;

use std::path::PathBuf;

use arguments::{Arguments, HELP};
use report::{Figures, spread};
use systems::{Places, System};

/// Runs that find the rate of the latency mode where the throughput mode has not found it.
const RATE_RUNS: usize = 3;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("sender") => return sender::run(&round::plan(&words[1..])),
        Some("sink") => return sink::run(&words[1], words.get(2).map_or("200", String::as_str)),
        Some("crowd") => return crowd::run(),
        Some("limit") => return limit::run(),
        Some("--help" | "-h") => return println!("{HELP}"),
        _ => {}
    }
    match arguments::parse(&words) {
        Ok(arguments) => bench(&arguments),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    }
}

fn bench(arguments: &Arguments) {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("..");
    let target = target.canonicalize().expect("the target folder");
    let places = Places {
        tools: target.join("bench-tools"),
        work: target.join("bench-work"),
        hookward: arguments.hookward.as_deref().map_or_else(|| env!("CARGO_BIN_EXE_hookward").into(), PathBuf::from),
    };
    for system in arguments.all_systems() {
        if let Some(path) = places.missing(system) {
            eprintln!(
                "{} takes {}, which is missing: run benches/install, or leave it out with --only",
                system.name(),
                path.display()
            );
            std::process::exit(2);
        }
    }
    let machine = report::machine(&places);
    let mut figures = Figures::default();
    if arguments.wants("throughput") {
        throughput(arguments, &System::ALL, &places, &mut figures);
    }
    if arguments.wants("redis") {
        throughput(arguments, &System::BESIDE_REDIS, &places, &mut figures);
    }
    if arguments.wants("emit") {
        throughput(arguments, &System::BESIDE_EMITTING, &places, &mut figures);
    }
    if arguments.wants("latency") {
        let rate = if arguments.rate > 0 { arguments.rate } else { quarter(arguments, &places, &figures) };
        let systems = arguments.systems(&System::IN_LATENCY);
        figures.latency = Some(latency::measure(&systems, rate, arguments.rounds, arguments.seconds, &places));
    }
    if arguments.wants("pending") {
        figures.pending = Some(pending::run(arguments.events, arguments.cold, &places));
    }
    if arguments.wants("lists") {
        figures.lists = Some(lists::run(arguments.deliveries, &places));
    }
    if arguments.wants("neighbours") {
        // A run has to be longer than the time-out of an attempt, which is 10 s.
        let seconds = arguments.seconds * 3;
        figures.neighbours = Some(neighbours::run(arguments.rate, arguments.rounds, seconds, &places));
    }
    if arguments.json {
        println!("{:#}", figures.json(&machine));
        return verdict(arguments, &figures);
    }
    println!("\n{machine:#}");
    if !figures.rounds.is_empty() {
        println!("\n{}", figures.throughput_table(&arguments.connections));
    }
    if let Some(latency) = &figures.latency {
        println!("\n{}", latency.table());
    }
    if let Some(pending) = &figures.pending {
        println!("\n{}", pending.table());
    }
    if let Some(lists) = &figures.lists {
        println!("\n{}", lists.table());
    }
    if let Some(neighbours) = &figures.neighbours {
        println!("\n{}", neighbours.table());
    }
    verdict(arguments, &figures);
}

/// What was promised and what came of it.
fn verdict(arguments: &Arguments, figures: &Figures) {
    let verdicts = verdict::all(figures, &arguments.connections);
    for verdict in &verdicts {
        if arguments.json {
            eprintln!("{verdict}");
        } else {
            println!("{verdict}");
        }
    }
    if arguments.check && verdicts.iter().any(|verdict| !verdict.kept) {
        std::process::exit(1);
    }
}

fn throughput(arguments: &Arguments, systems: &[System], places: &Places, figures: &mut Figures) {
    for round in 0..arguments.rounds {
        let mut runs = Vec::new();
        for &connections in &arguments.connections {
            for system in arguments.systems(systems) {
                let run = round::run(system, connections, arguments.seconds, places);
                eprintln!("round {} · {}", round + 1, run.line());
                runs.push(run);
            }
        }
        figures.rounds.push(runs);
    }
}

/// A quarter of what hookward delivers at the first number of connections: in the throughput mode if that was measured,
/// else in some runs that count for nothing else.
fn quarter(arguments: &Arguments, places: &Places, figures: &Figures) -> u64 {
    let connections = arguments.connections[0];
    let measured = figures.runs(System::Hookward, connections);
    let mut delivered: Vec<f64> = measured.iter().map(|run| run.delivered_per_second).collect();
    while delivered.len() < arguments.rounds.min(RATE_RUNS) {
        let run = round::run(System::Hookward, connections, arguments.seconds, places);
        eprintln!("for the rate · {}", run.line());
        delivered.push(run.delivered_per_second);
    }
    let delivered = spread(delivered).expect("a run of hookward");
    ((delivered.median / 4.0) as u64).max(1)
}
