//! The figures of the latency mode as a line, a table and JSON.

use serde_json::{Value, json};

use crate::latency::{Latencies, Latency};
use crate::open_loop::Quantiles;
use crate::report::{Spread, spread};
use crate::systems::System;

impl Latency {
    /// For somebody who watches.
    pub(crate) fn line(&self) -> String {
        let Quantiles { p50, p99, p999, .. } = self.outcome.latency;
        format!(
            "{:<8} p50 {:>6.0} µs, p99 {:>6.0}, p99.9 {:>6.0}; {:.0}/s answered, pacer late {:.0} µs (p50), {:.0} (p99)",
            self.system.name(),
            micros(p50),
            micros(p99),
            micros(p999),
            self.answered_per_second(),
            micros(self.outcome.late.p50),
            micros(self.outcome.late.p99),
        )
    }

    /// Events that were due and never accepted.
    pub(crate) fn failed(&self) -> u64 {
        self.outcome.refused + self.outcome.broken + self.outcome.unanswered
    }

    fn json(&self) -> Value {
        json!({
            "system": self.system.name(), "outcome": self.outcome, "repeated": self.repeated, "missing": self.missing,
            "offered_per_second": self.offered_per_second(), "answered_per_second": self.answered_per_second(),
            "commits": self.commits.map(|commits| {
                json!({"events": commits.events, "bytes": commits.bytes, "sync_mean_micros": commits.sync_micros})
            }),
        })
    }
}

impl Latencies {
    /// Runs of one system.
    pub(crate) fn runs(&self, system: System) -> impl Iterator<Item = &Latency> + Clone {
        self.rounds.iter().flatten().filter(move |run| run.system == system)
    }

    /// Median over the runs of one system; `None` where it was not measured.
    fn median(&self, system: System, of: impl Fn(&Latency) -> f64) -> Option<f64> {
        spread(self.runs(system).map(of)).map(|all| all.median)
    }

    /// Microseconds that hookward adds to the bare server's p50, per round.
    pub(crate) fn added(&self) -> Option<Spread> {
        self.between(System::Hookward, System::Limit)
    }

    /// Microseconds between the p50 of one system and that of another, per round.
    fn between(&self, one: System, other: System) -> Option<Spread> {
        let p50 = |round: &[Latency], system| {
            round.iter().find(|run| run.system == system).map(|run| micros(run.outcome.latency.p50))
        };
        let rounds = self.rounds.iter();
        spread(rounds.filter_map(|round| Some(p50(round, one)? - p50(round, other)?)))
    }

    /// One fdatasync of this disk in microseconds: the cheaper kind of write, median of the measurements.
    pub(crate) fn sync(&self) -> Option<Spread> {
        spread(self.syncs.iter().map(|sync| sync.cheaper()))
    }

    /// Mean sync of hookward's own commits, in microseconds: the median of its runs.
    pub(crate) fn own_sync(&self) -> Option<f64> {
        spread(self.runs(System::Hookward).filter_map(|run| run.commits.map(|commits| commits.sync_micros)))
            .map(|all| all.median)
    }

    /// What accepting adds to the p50, in fdatasyncs.
    pub(crate) fn added_syncs(&self) -> Option<f64> {
        Some(self.added()?.median / self.sync()?.median)
    }

    /// The Markdown table with the sentences below it.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "open loop, {} events/s arriving at random moments\n\n\
             | system | p50 µs | min–max | p99 µs | p99.9 µs | max ms | answered/s | pacer late p50, p99 µs \
             | sender's cores | connections | waited for one | refused, broken, unanswered | repeated | missing |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
            self.rate
        );
        for system in System::ALL {
            text += &self.row(system).unwrap_or_default();
        }
        text + "\n" + &self.sentences()
    }

    fn row(&self, system: System) -> Option<String> {
        let p50 = spread(self.runs(system).map(|run| micros(run.outcome.latency.p50)))?;
        let median = |of: fn(&Latency) -> u64| self.median(system, |run| micros(of(run)));
        let sum = |of: fn(&Latency) -> u64| self.runs(system).map(of).sum::<u64>();
        Some(format!(
            "| {} | {:.0} | {:.0}–{:.0} | {:.0} | {:.0} | {:.1} | {:.0} | {:.0}, {:.0} | {:.2} | {} | {} | {} | {} | {} |\n",
            system.name(),
            p50.median,
            p50.min,
            p50.max,
            median(|run| run.outcome.latency.p99)?,
            median(|run| run.outcome.latency.p999)?,
            median(|run| run.outcome.latency.max)? / 1e3,
            self.median(system, Latency::answered_per_second)?,
            median(|run| run.outcome.late.p50)?,
            median(|run| run.outcome.late.p99)?,
            self.median(system, |run| run.outcome.sender_cores)?,
            self.runs(system).map(|run| run.outcome.connections).max()?,
            sum(|run| run.outcome.waited),
            sum(Latency::failed),
            sum(|run| run.repeated),
            sum(|run| run.missing),
        ))
    }

    fn sentences(&self) -> String {
        let mut text = String::new();
        let kind = |of: fn(&crate::disk::Sync) -> f64| spread(self.syncs.iter().map(of));
        if let (Some(bytes), Some(append), Some(overwrite)) =
            (kind(|sync| sync.bytes as f64), kind(|sync| sync.append_p50), kind(|sync| sync.overwrite_p50))
        {
            text += &format!(
                "One fdatasync after {:.0} bytes, p50 between the runs: {:.0} µs ({:.0}–{:.0}) overwriting, {:.0} µs ({:.0}–{:.0}) appending.\n",
                bytes.median, overwrite.median, overwrite.min, overwrite.max, append.median, append.min, append.max
            );
        }
        let commits = |of: fn(&crate::latency::Commits) -> f64| {
            spread(self.runs(System::Hookward).filter_map(|run| run.commits.as_ref()).map(of)).map(|all| all.median)
        };
        if let (Some(events), Some(bytes), Some(sync)) =
            (commits(|all| all.events), commits(|all| all.bytes), self.own_sync())
        {
            text += &format!(
                "Hookward's own commits in the runs: {events:.1} events, {bytes:.0} bytes, {sync:.0} µs for the sync (means).\n"
            );
        }
        if let (Some(added), Some(sync), Some(syncs)) = (self.added(), self.sync(), self.added_syncs()) {
            text += &format!(
                "Accepting adds {:.0} µs ({:.0}–{:.0}) to the bare server's p50: {syncs:.2} fdatasyncs of {:.0} µs.\n",
                added.median, added.min, added.max, sync.median
            );
        }
        if let Some(added) = self.between(System::HookwardProxy, System::Nginx) {
            text += &format!(
                "Proxy mode adds {:.0} µs ({:.0}–{:.0}) to nginx's p50.\n",
                added.median, added.min, added.max
            );
        }
        if self.void > 0 {
            text += &format!("{} runs were void, for the machine stood still, and were run again.\n", self.void);
        }
        text
    }

    /// Every run and every sync.
    pub(crate) fn json(&self) -> Value {
        let rounds: Vec<Vec<Value>> = self.rounds.iter().map(|runs| runs.iter().map(Latency::json).collect()).collect();
        let syncs: Vec<Value> = self
            .syncs
            .iter()
            .map(|sync| json!({"bytes": sync.bytes, "overwrite_p50_micros": sync.overwrite_p50, "append_p50_micros": sync.append_p50}))
            .collect();
        json!({
            "rate": self.rate, "void_runs": self.void, "rounds": rounds, "fdatasync": syncs,
            "added_p50_micros": self.added().map(|added| added.median), "added_fdatasyncs": self.added_syncs(),
        })
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
