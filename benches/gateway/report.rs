//! Figures as tables for people and as JSON for machines.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::latency::Latencies;
use crate::lists::Lists;
use crate::neighbours::Neighbours;
use crate::pending::Pending;
use crate::round::Run;
use crate::systems::{Places, System};

/// Everything that one start of the bench measured.
#[derive(Default)]
pub(crate) struct Figures {
    /// Per round, in the order in which they ran.
    pub(crate) rounds: Vec<Vec<Run>>,
    pub(crate) latency: Option<Latencies>,
    pub(crate) pending: Option<Pending>,
    pub(crate) lists: Option<Lists>,
    pub(crate) neighbours: Option<Neighbours>,
}

/// Median, smallest and largest of some numbers.
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// `None` when there are no numbers.
pub(crate) fn spread(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    assert!(sorted.iter().all(|number| number.is_finite()), "a figure that is no number: {sorted:?}");
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
    Some(Spread { median, min, max })
}

impl Figures {
    /// All runs of one system with so many connections.
    pub(crate) fn runs(&self, system: System, connections: usize) -> Vec<&Run> {
        let all = self.rounds.iter().flatten();
        all.filter(|run| run.system == system && run.connections == connections).collect()
    }

    /// Delivered events a second in proportion to nginx in the same round.
    pub(crate) fn ratios(&self, system: System, connections: usize) -> Vec<f64> {
        let of = |round: &[Run], system| {
            round
                .iter()
                .find(|run| run.system == system && run.connections == connections)
                .map(|run| run.delivered_per_second)
        };
        self.rounds.iter().filter_map(|round| Some(of(round, system)? / of(round, System::Nginx)?)).collect()
    }

    /// Accepted events a second in proportion to hookward with its embedded store in the same round.
    pub(crate) fn beside_embedded(&self, system: System, connections: usize) -> Vec<f64> {
        let of = |round: &[Run], system| {
            let is = |run: &&Run| run.system == system && run.connections == connections;
            round.iter().find(is).map(|run| run.accepted_per_second)
        };
        self.rounds.iter().filter_map(|round| Some(of(round, system)? / of(round, System::Hookward)?)).collect()
    }

    /// The same as a Markdown table.
    pub(crate) fn throughput_table(&self, connections: &[usize]) -> String {
        let mut text = String::from(
            "| connections | system | delivered/s | min–max | ratio to nginx | min–max | accepted/s | CPU µs/event | RSS MB | largest backlog | drain s | accept p50 ms | p99 ms | refused, broken | repeated | missing |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for &connections in connections {
            for system in System::every() {
                let runs = self.runs(system, connections);
                let Some(delivered) = spread(runs.iter().map(|run| run.delivered_per_second)) else { continue };
                let median = |of: fn(&Run) -> f64| spread(runs.iter().map(|run| of(run))).map_or(0.0, |all| all.median);
                let ratio = spread(self.ratios(system, connections)).map_or_else(
                    || "– | –".to_owned(),
                    |all| format!("{:.3} | {:.3}–{:.3}", all.median, all.min, all.max),
                );
                text += &format!(
                    "| {connections} | {} | {:.0} | {:.0}–{:.0} | {ratio} | {:.0} | {:.1} | {:.1} | {:.0} | {:.2} | {:.2} | {:.2} | {} | {} | {} |\n",
                    system.name(),
                    delivered.median,
                    delivered.min,
                    delivered.max,
                    median(|run| run.accepted_per_second),
                    median(|run| run.cpu_micros),
                    median(|run| run.rss_bytes as f64 / 1e6),
                    runs.iter().map(|run| run.backlog_max).max().unwrap_or(0),
                    median(|run| run.drain_seconds),
                    median(|run| run.p50_micros / 1e3),
                    median(|run| run.p99_micros / 1e3),
                    runs.iter().map(|run| run.refused + run.broken).sum::<u64>(),
                    runs.iter().map(|run| run.repeated).sum::<u64>(),
                    runs.iter().map(|run| run.missing).sum::<u64>(),
                );
            }
        }
        text
    }

    /// Everything as JSON.
    pub(crate) fn json(&self, machine: &Value) -> Value {
        let runs = self.rounds.iter().enumerate().flat_map(|(round, runs)| {
            runs.iter().map(move |run| {
                json!({
                    "round": round, "system": run.system.name(), "connections": run.connections,
                    "delivered_per_second": run.delivered_per_second, "accepted_per_second": run.accepted_per_second,
                    "cpu_micros_per_event": run.cpu_micros, "rss_bytes": run.rss_bytes,
                    "backlog_max": run.backlog_max, "backlog_end": run.backlog_end, "drain_seconds": run.drain_seconds,
                    "accept_p50_micros": run.p50_micros, "accept_p99_micros": run.p99_micros, "refused": run.refused,
                    "broken": run.broken, "repeated": run.repeated, "missing": run.missing,
                })
            })
        });
        let pending = self.pending.as_ref().map(|run| {
            json!({
                "events": run.events, "binary_bytes": run.binary_bytes, "idle_rss_bytes": run.idle_rss_bytes,
                "filled_rss_bytes": run.filled_rss_bytes, "filling_rss_bytes_max": run.filling_rss_bytes_max,
                "accepted_per_second": run.accepted_per_second, "refused": run.refused, "store_bytes": run.store_bytes,
                "restart_to_first_2xx_seconds": run.restart_to_first_2xx,
                "restart_to_first_delivery_seconds": run.restart_to_first_delivery,
                "restarted_rss_bytes_max": run.restarted_rss_bytes_max,
                "drained_per_second": run.drained_per_second, "delivered": run.delivered, "repeated": run.repeated,
            })
        });
        json!({
            "machine": machine, "throughput": runs.collect::<Vec<_>>(),
            "latency": self.latency.as_ref().map(Latencies::json), "pending": pending,
            "lists": self.lists.as_ref().map(Lists::json), "neighbours": self.neighbours.as_ref().map(Neighbours::json),
        })
    }
}

impl Pending {
    /// Each figure beside its limit.
    pub(crate) fn table(&self) -> String {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let rows = [
            ("binary, stripped", format!("{:.1} MB", mb(self.binary_bytes)), "20 MB"),
            ("RSS idle", format!("{:.1} MB", mb(self.idle_rss_bytes)), "20 MB"),
            ("pending events", self.events.to_string(), ""),
            ("RSS with them, at rest", format!("{:.1} MB", mb(self.filled_rss_bytes)), "256 MB"),
            ("RSS while they came in, largest", format!("{:.1} MB", mb(self.filling_rss_bytes_max)), "256 MB"),
            (
                "RSS after the restart and while draining, largest",
                format!("{:.1} MB", mb(self.restarted_rss_bytes_max)),
                "256 MB",
            ),
            ("restart after kill -9 to the first 2xx", format!("{:.2} s", self.restart_to_first_2xx), "1 s"),
            ("restart to the first due delivery", format!("{:.2} s", self.restart_to_first_delivery), "2 s"),
            ("accepted/s while the destination was dead", format!("{:.0}", self.accepted_per_second), ""),
            ("delivered/s while draining", format!("{:.0}", self.drained_per_second), ""),
            ("delivered · of them twice", format!("{} · {}", self.delivered, self.repeated), ""),
            ("refused or broken", self.refused.to_string(), ""),
            ("store on disk", format!("{:.0} MB", mb(self.store_bytes)), ""),
        ];
        let mut text = String::from("| what | measured | limit |\n|---|---|---|\n");
        for (what, measured, limit) in rows {
            text += &format!("| {what} | {measured} | {limit} |\n");
        }
        text
    }
}

/// Facts about the machine and the versions measured.
pub(crate) fn machine(places: &Places) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let library = places.tools.join("debian/usr/lib/x86_64-linux-gnu");
    let version = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).env("LD_LIBRARY_PATH", &library).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
    };
    let package = |name: &str| {
        let text = read(&places.tools.join(format!("bullmq/node_modules/{name}/package.json")).display().to_string());
        serde_json::from_str::<Value>(&text).ok()?.get("version")?.as_str().map(str::to_owned)
    };
    json!({
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average_at_start": read("/proc/loadavg").trim(),
        "hookward": version(&places.hookward, "--version"),
        "commit": version_of_tree(),
        "nginx": version(&places.tools.join("debian/usr/sbin/nginx"), "-v"),
        "redis": version(&places.tools.join("debian/usr/bin/redis-server"), "--version"),
        "qhook": installed(places, "qhook"),
        "node": version(Path::new("node"), "--version"),
        "express": package("express"), "bullmq": package("bullmq"),
    })
}

/// What cargo says that it installed, for programs without a --version.
fn installed(places: &Places, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(places.tools.join(".crates.toml")).ok()?;
    let line = text.lines().find(|line| line.starts_with(&format!("\"{name} ")))?;
    line.split(' ').nth(1).map(str::to_owned)
}

fn version_of_tree() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok()?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
