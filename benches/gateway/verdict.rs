//! What the project promises about these figures, one line each. Timings are no tests: only `--check` makes the bench
//! fail, on a machine that its owner knows to be quiet.

use std::fmt;

use crate::latency::{Latencies, Latency};
use crate::lists::Lists;
use crate::neighbours::Neighbours;
use crate::report::{Figures, spread};
use crate::systems::System;

/// Events a second in proportion to nginx, wanted by connections.
const RATIO_MIN: [(usize, f64); 2] = [(64, 0.45), (256, 0.7)];
/// The same of proxy mode, which is beside nginx at its own trade, at any number of connections.
const PROXY_RATIO_MIN: f64 = 0.8;
/// Emitted and delivered events a second in proportion to nginx, by connections.
const EMIT_RATIO_MIN: (usize, f64) = (64, 0.4);
/// A page of 50 rows, in milliseconds, however many answers it was put together from.
const PAGE_MILLIS_MAX: f64 = 20.0;
/// The healthy webhooks' p99 with sick neighbours in proportion to the one without.
const NEIGHBOURS_RATIO_MAX: f64 = 1.5;
/// Of the embedded store's accepted events a second, the part that one gateway accepts on Redis (`appendfsync everysec`).
const REDIS_MIN: f64 = 0.5;
/// Added to the p50 of accepting, in syncs of the disk.
const SYNCS_ADDED_MAX: f64 = 3.0;
/// Of the events that were due, the part that was answered before the sender stopped.
const ANSWERED_MIN: f64 = 0.95;
/// How late the pacer may be with every second arrival, in milliseconds: else its figures tell of itself.
const PACER_LATE_MAX: f64 = 0.1;
/// A disk that is slower between the runs than in them was disturbed, and three of its syncs would promise nothing.
const SYNC_TO_OWN_MAX: f64 = 1.5;
/// Accepted events that have not been delivered yet, in seconds of delivering.
const BACKLOG_SECONDS_MAX: f64 = 2.0;

/// One promise and what was measured.
pub(crate) struct Verdict {
    /// Whether it was kept.
    pub(crate) kept: bool,
    text: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}  {}", if self.kept { "kept  " } else { "MISSED" }, self.text)
    }
}

fn at_least(what: &str, measured: f64, wanted: f64) -> Verdict {
    Verdict { kept: measured >= wanted, text: format!("{what}: {measured:.3}, wanted at least {wanted}") }
}

fn at_most(what: &str, measured: f64, wanted: f64, unit: &str) -> Verdict {
    Verdict { kept: measured <= wanted, text: format!("{what}: {measured:.2} {unit}, wanted at most {wanted} {unit}") }
}

/// Every promise that these figures say something about.
pub(crate) fn all(figures: &Figures, connections: &[usize]) -> Vec<Verdict> {
    let mut all = throughput(figures, connections);
    all.extend(figures.latency.iter().flat_map(latency));
    all.extend(pending(figures));
    all.extend(beside_redis(figures, connections));
    all.extend(emitting(figures, connections));
    all.extend(figures.lists.iter().flat_map(lists));
    all.extend(figures.neighbours.iter().flat_map(neighbours));
    all
}

fn lists(figures: &Lists) -> Vec<Verdict> {
    let Some(slowest) = figures.slowest() else { return Vec::new() };
    let what = format!("p99 of a page of 50 of the slowest query ({})", slowest.name);
    vec![
        at_most(&what, slowest.p99 as f64 / 1e3, PAGE_MILLIS_MAX, "ms"),
        at_least("deliveries in the store", figures.deliveries as f64, figures.wanted as f64),
    ]
}

fn neighbours(figures: &Neighbours) -> Vec<Verdict> {
    let ratio = spread(figures.ratios()).map_or(f64::INFINITY, |all| all.median);
    vec![
        at_most(
            "healthy webhooks' p99 with sick neighbours, median of the pairs",
            ratio,
            NEIGHBOURS_RATIO_MAX,
            "times",
        ),
        at_most("failed events and missing healthy deliveries", figures.lost() as f64, 0.0, "events"),
    ]
}

/// What the sending side emits and delivers, and that it loses and repeats nothing.
fn emitting(figures: &Figures, connections: &[usize]) -> Vec<Verdict> {
    let mut all = Vec::new();
    for &connections in connections {
        let runs = figures.runs(System::HookwardEmit, connections);
        if runs.is_empty() {
            continue;
        }
        if let Some(ratio) = spread(figures.ratios(System::HookwardEmit, connections))
            && connections == EMIT_RATIO_MIN.0
        {
            let what = format!("emitted and delivered/s in proportion to nginx at {connections} connections");
            all.push(at_least(&what, ratio.median, EMIT_RATIO_MIN.1));
        }
        let wrong = runs.iter().map(|run| run.repeated + run.missing + run.broken + run.refused).sum::<u64>();
        let what = format!("repeated, missing, broken or refused emissions at {connections} connections");
        all.push(at_most(&what, wrong as f64, 0.0, "events"));
    }
    all
}

/// What one gateway on a Redis that syncs every second accepts, beside one with a store of its own.
fn beside_redis(figures: &Figures, connections: &[usize]) -> Vec<Verdict> {
    let relaxed = System::HookwardRedis { gateways: 1, strict: false };
    let ratio = |&connections: &usize| {
        let ratio = spread(figures.beside_embedded(relaxed, connections))?;
        let what = format!("accepted/s on Redis in proportion to the embedded store at {connections} connections");
        Some(at_least(&what, ratio.median, REDIS_MIN))
    };
    connections.iter().filter_map(ratio).collect()
}

fn latency(figures: &Latencies) -> Vec<Verdict> {
    let added = match figures.added_syncs() {
        Some(added) => at_most("added p50 at most three fdatasyncs", added, SYNCS_ADDED_MAX, "fdatasyncs"),
        None => Verdict { kept: false, text: "added p50: not measured, it takes both limit and hookward".to_owned() },
    };
    // What the comparison rests on; what becomes of the others is in the table.
    let runs = || figures.runs(System::Limit).chain(figures.runs(System::Hookward));
    let late = runs().map(|run| run.outcome.late.p50 as f64 / 1e6).fold(0.0, f64::max);
    let answered = runs().map(|run| run.answered_per_second() / run.offered_per_second()).fold(1.0, f64::min);
    let wrong = runs().map(|run| run.repeated + run.missing + Latency::failed(run)).sum::<u64>();
    let mut all = vec![
        added,
        at_least("answered/s in proportion to what was due in the open loop, worst run", answered, ANSWERED_MIN),
        at_most("refused, broken, repeated or missing events in the open loop", wrong as f64, 0.0, "events"),
        at_most("the pacer's own p50 of lateness, worst run", late, PACER_LATE_MAX, "ms"),
    ];
    if let (Some(sync), Some(own)) = (figures.sync(), figures.own_sync()) {
        let what = "fdatasync between the runs in proportion to hookward's own mean";
        all.push(at_most(what, sync.median / own, SYNC_TO_OWN_MAX, "times"));
    }
    all
}

fn throughput(figures: &Figures, connections: &[usize]) -> Vec<Verdict> {
    let mut all = Vec::new();
    for &connections in connections {
        let wanted = RATIO_MIN.iter().find(|(at, _)| *at == connections).map(|(_, ratio)| *ratio);
        if let (Some(wanted), Some(ratio)) = (wanted, spread(figures.ratios(System::Hookward, connections))) {
            let what = format!("delivered/s in proportion to nginx at {connections} connections");
            all.push(at_least(&what, ratio.median, wanted));
        }
        if let Some(ratio) = spread(figures.ratios(System::HookwardProxy, connections)) {
            let what = format!("proxy mode, delivered/s in proportion to nginx at {connections} connections");
            all.push(at_least(&what, ratio.median, PROXY_RATIO_MIN));
        }
        let runs = figures.runs(System::Hookward, connections);
        if runs.is_empty() {
            continue;
        }
        let behind = runs.iter().map(|run| run.backlog_max as f64 / run.delivered_per_second).fold(0.0, f64::max);
        let what = format!("largest backlog at {connections} connections");
        all.push(at_most(&what, behind, BACKLOG_SECONDS_MAX, "s of delivering"));
        let wrong = runs.iter().map(|run| run.repeated + run.missing + run.broken).sum::<u64>();
        let what = format!("repeated, missing or broken events at {connections} connections");
        all.push(at_most(&what, wrong as f64, 0.0, "events"));
    }
    all
}

fn pending(figures: &Figures) -> Vec<Verdict> {
    let Some(run) = &figures.pending else { return Vec::new() };
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let largest = run.filled_rss_bytes.max(run.filling_rss_bytes_max).max(run.restarted_rss_bytes_max);
    vec![
        at_most("stripped binary", mb(run.binary_bytes), 20.0, "MB"),
        at_most("RSS idle", mb(run.idle_rss_bytes), 20.0, "MB"),
        at_most("largest RSS with a million pending events", mb(largest), 256.0, "MB"),
        at_most("restart to the first 2xx", run.restart_to_first_2xx, 1.0, "s"),
        at_most("restart to the first due delivery", run.restart_to_first_delivery, 2.0, "s"),
        at_least("delivered of the pending events", run.delivered as f64 / run.events as f64, 1.0),
        at_most("delivered twice after kill -9", run.repeated as f64, 64.0, "events"),
    ]
}
