//! The command line of the bench.

use crate::systems::System;

/// What to measure, how often and how long.
pub(crate) struct Arguments {
    /// Some of [`MODES`].
    pub(crate) modes: Vec<String>,
    /// Rounds of the throughput and latency modes.
    pub(crate) rounds: usize,
    /// Measured time of each run, in seconds, after one second of warming up.
    pub(crate) seconds: u64,
    /// Numbers of keep-alive connections.
    pub(crate) connections: Vec<usize>,
    /// Systems to measure; empty for those that each mode measures by itself.
    pub(crate) only: Vec<System>,
    /// Events a second of the latency mode; 0 for a quarter of what hookward delivers.
    pub(crate) rate: u64,
    /// Deliveries in the store of the lists mode.
    pub(crate) deliveries: u64,
    /// Pending events of the pending mode.
    pub(crate) events: u64,
    /// In the pending mode, empty the system's caches before the restart: everything comes from the disk.
    pub(crate) cold: bool,
    /// Print JSON instead of tables.
    pub(crate) json: bool,
    /// End with exit code 1 where a promise is missed.
    pub(crate) check: bool,
    /// Another hookward binary than the one that cargo built for this bench.
    pub(crate) hookward: Option<String>,
}

impl Arguments {
    /// Whether `mode` is to be measured.
    pub(crate) fn wants(&self, mode: &str) -> bool {
        self.modes.iter().any(|wanted| wanted == mode)
    }

    /// Everything that will be started in any of the modes.
    pub(crate) fn all_systems(&self) -> Vec<System> {
        let alone = ["pending", "lists", "neighbours"].iter().any(|mode| self.wants(mode));
        let mut all = if alone { vec![System::Hookward] } else { Vec::new() };
        if self.wants("throughput") {
            all.extend(self.systems(&System::ALL));
        }
        if self.wants("redis") {
            all.extend(self.systems(&System::BESIDE_REDIS));
        }
        if self.wants("emit") {
            all.extend(self.systems(&System::BESIDE_EMITTING));
        }
        if self.wants("latency") {
            all.extend(self.systems(&System::IN_LATENCY));
        }
        all
    }

    /// What to measure in a mode that measures `by_itself` unless told otherwise.
    pub(crate) fn systems(&self, by_itself: &[System]) -> Vec<System> {
        if self.only.is_empty() { by_itself.to_vec() } else { self.only.clone() }
    }
}

/// What can be measured.
const MODES: [&str; 7] = ["throughput", "latency", "pending", "redis", "emit", "lists", "neighbours"];

/// Printed for `--help`.
pub(crate) const HELP: &str = "cargo bench --bench gateway -- [OPTIONS]

  --mode LIST          throughput,latency,pending,redis,emit,lists,neighbours (default: throughput,latency)
  --rounds N           rounds, each running every system once (default: 5)
  --seconds N          measured seconds of a run, after one second of warming up (default: 5); three times as many in
                       the neighbours mode, after twelve
  --connections LIST   keep-alive connections (default: 64,256)
  --only LIST          limit,nginx,hookward,hookward-proxy,bullmq,qhook (default: all; in the latency mode the first four);
                       hookward-emit (default: in the emit mode, with nginx and hookward);
                       redis-1-everysec,redis-1-always,redis-3-everysec,redis-3-always (default: in the redis mode)
  --rate N             events a second in the latency mode (default: a quarter of what hookward delivers at the first
                       number of connections, in the throughput mode or, without it, in three runs beforehand), and in the neighbours mode (default: 1000)
  --events N           pending events in the pending mode (default: 1000000)
  --deliveries N       in the store of the lists mode (default: 2000000)
  --cold               empty the system's caches before the restart of the pending mode (root)
  --hookward PATH      measure this binary
  --json               figures as JSON
  --check              exit with 1 where a figure misses what the project promises (for a quiet machine)

Install what is compared with first: benches/install";

/// Reads the arguments after the program's name; an error is a sentence for the person at the keyboard.
pub(crate) fn parse(words: &[String]) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        modes: vec!["throughput".into(), "latency".into()],
        rounds: 5,
        seconds: 5,
        connections: vec![64, 256],
        only: Vec::new(),
        rate: 0,
        events: 1_000_000,
        deliveries: 2_000_000,
        cold: false,
        json: false,
        check: false,
        hookward: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("{word} wants a value"));
        match word.as_str() {
            // What cargo itself passes to every bench.
            "--bench" => {}
            "--cold" => arguments.cold = true,
            "--json" => arguments.json = true,
            "--check" => arguments.check = true,
            "--mode" => arguments.modes = list(&value()?),
            "--rounds" => arguments.rounds = number(word, &value()?)?,
            "--seconds" => arguments.seconds = number(word, &value()?)?,
            "--rate" => arguments.rate = number(word, &value()?)?,
            "--deliveries" => arguments.deliveries = number(word, &value()?)?,
            "--events" => arguments.events = number(word, &value()?)?,
            "--hookward" => arguments.hookward = Some(value()?),
            "--connections" => {
                arguments.connections =
                    list(&value()?).iter().map(|text| number(word, text)).collect::<Result<_, _>>()?;
            }
            "--only" => {
                arguments.only = list(&value()?).iter().map(|name| system(name)).collect::<Result<_, _>>()?;
            }
            other => return Err(format!("unknown argument {other}\n\n{HELP}")),
        }
    }
    check(&arguments)?;
    Ok(arguments)
}

/// What can be known to be of no use before anything is measured.
fn check(arguments: &Arguments) -> Result<(), String> {
    match arguments.modes.iter().find(|mode| !MODES.contains(&mode.as_str())) {
        Some(mode) => return Err(format!("unknown mode {mode}\n\n{HELP}")),
        None if arguments.modes.is_empty() => return Err("--mode wants at least one mode".to_owned()),
        None => {}
    }
    let counts = [arguments.rounds as u64, arguments.seconds, arguments.events, arguments.connections.len() as u64];
    if counts.contains(&0) || arguments.connections.contains(&0) {
        return Err("--rounds, --seconds, --events and --connections want 1 or more".to_owned());
    }
    let measures = |system| arguments.only.is_empty() || arguments.only.contains(&system);
    let (throughput, latency) = (arguments.wants("throughput"), arguments.wants("latency"));
    if latency && arguments.rate == 0 && !measures(System::Hookward) {
        return Err("the latency mode without hookward wants --rate".to_owned());
    }
    if arguments.check && throughput && !(measures(System::Nginx) && measures(System::Hookward)) {
        return Err("--check of the throughput mode takes nginx and hookward".to_owned());
    }
    if arguments.check && arguments.wants("emit") && !(measures(System::Nginx) && measures(System::HookwardEmit)) {
        return Err("--check of the emit mode takes nginx and hookward-emit".to_owned());
    }
    if arguments.check && latency && !(measures(System::Limit) && measures(System::Hookward)) {
        return Err("--check of the latency mode takes limit and hookward".to_owned());
    }
    Ok(())
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().ok().ok_or_else(|| format!("{name} wants a number, not {text}"))
}

fn system(name: &str) -> Result<System, String> {
    let found = System::every().find(|system| system.name() == name);
    found.ok_or_else(|| format!("unknown system {name}\n\n{HELP}"))
}
