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

mod arguments;
mod control;
mod event;
mod latency;
mod limit;
mod pending;
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

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("sender") => return sender::run(&round::plan(&words[1..])),
        Some("sink") => return sink::run(&words[1]),
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
    let machine = report::machine(&places);
    let mut figures = Figures::default();
    let wants = |mode: &str| arguments.modes.iter().any(|wanted| wanted == mode);
    if wants("throughput") {
        throughput(arguments, &places, &mut figures);
    }
    if wants("latency") {
        open_loop(arguments, &places, &mut figures);
    }
    if wants("pending") {
        figures.pending = Some(pending::run(arguments.events, &places));
    }
    if arguments.json {
        println!("{:#}", figures.json(&machine));
        return verdict(arguments, &figures);
    }
    println!("\n{machine:#}");
    if !figures.rounds.is_empty() {
        println!("\n{}", figures.throughput_table(&arguments.connections));
    }
    if !figures.latency.is_empty() {
        println!("\n{}", figures.latency_table());
    }
    if let Some(pending) = &figures.pending {
        println!("\n{}", pending.table());
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

fn throughput(arguments: &Arguments, places: &Places, figures: &mut Figures) {
    for round in 0..arguments.rounds {
        let mut runs = Vec::new();
        for &connections in &arguments.connections {
            for &system in &arguments.only {
                let run = round::run(system, connections, arguments.seconds, places);
                eprintln!(
                    "round {} · {:>3} connections · {:<8} {:>6.0} delivered/s, {:>6.0} accepted/s, {:>6.1} µs CPU/event",
                    round + 1,
                    connections,
                    system.name(),
                    run.delivered_per_second,
                    run.accepted_per_second,
                    run.cpu_micros
                );
                runs.push(run);
            }
        }
        figures.rounds.push(runs);
    }
}

fn open_loop(arguments: &Arguments, places: &Places, figures: &mut Figures) {
    figures.latency_rate = match arguments.rate {
        0 => quarter(figures),
        rate => rate,
    };
    let systems = [System::Limit, System::Hookward];
    for _ in 0..arguments.rounds {
        figures.syncs.push(latency::fdatasync(&places.work));
        let wanted = systems.iter().filter(|system| arguments.only.contains(system));
        let runs = wanted.map(|system| latency::run(*system, figures.latency_rate, arguments.seconds, places));
        let runs = runs.collect();
        figures.latency.push(runs);
    }
}

/// A quarter of what hookward delivered in this run, at its fewest connections.
fn quarter(figures: &Figures) -> u64 {
    let runs = figures.rounds.iter().flatten().filter(|run| run.system == System::Hookward);
    let fewest = runs.clone().map(|run| run.connections).min();
    let rates = runs.filter(|run| Some(run.connections) == fewest).map(|run| run.delivered_per_second);
    match spread(rates) {
        Some(rates) => (rates.median / 4.0) as u64,
        None => {
            eprintln!("the latency mode needs --rate, or the throughput mode with hookward before it");
            std::process::exit(2);
        }
    }
}
