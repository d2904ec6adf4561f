//! Nothing lost, nothing doubled: the oracle of promise 1, outside the gateway.
//!
//! A [`storm`] sends at full speed over many connections, repeats some ids, and after a restart sends again what was
//! not acknowledged. A [`campaign`] kills the gateway at random moments, or cuts the power of its [`Disk`](crate::support::Disk), starts it
//! again, and when the queue is drained the [`oracle`] compares the [`ledger`] of what was sent and acknowledged with
//! what reached two destinations, of which one fails at times.
//!
//! The harness proves itself twice: against a small [`relay`] that is broken in each of the ways that the oracle must
//! see, and against builds of the gateway that are broken on purpose. `tests/loss --cycles 500 [--power]` is the
//! long run. The [`sweep`] kills at each call that changes the store instead of at random moments.

mod campaign;
mod ledger;
mod oracle;
mod relay;
mod stalls;
mod storm;
mod sweep;

use std::path::PathBuf;

use campaign::{Campaign, Fault};

/// Cycles of each run in CI.
const CYCLES: usize = 20;

/// Cycles that a broken build is given to lose something; two or three are enough.
const CYCLES_UNTIL_LOST_MAX: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_loses_and_doubles_nothing() {
    let outcome = Campaign::new(Fault::Kill, CYCLES).run().await;
    assert!(outcome.verdict.is_clean(), "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_loses_and_doubles_nothing_with_relaxed_durability_either() {
    let campaign = Campaign { relaxed: true, ..Campaign::new(Fault::Kill, CYCLES / 2) };
    let outcome = campaign.run().await;
    assert!(outcome.verdict.is_clean(), "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_loses_and_doubles_nothing() {
    let outcome = Campaign::new(Fault::PowerCut, CYCLES).run().await;
    assert!(outcome.verdict.is_clean(), "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_during_retention_loses_and_doubles_nothing() {
    let outcome = Campaign { retention: true, ..Campaign::new(Fault::PowerCut, CYCLES / 2) }.run().await;
    assert!(outcome.verdict.is_clean() && outcome.removed > 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_build_without_fsync_loses_events_when_the_power_is_cut() {
    must_lose(Fault::PowerCut, "no-fsync").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_build_with_mark_and_event_in_two_steps_loses_events_when_it_is_killed() {
    must_lose(Fault::Kill, "split-admission").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by tests/loss, which says how long and with which fault"]
async fn long_run() {
    let cycles = std::env::var("LOSS_CYCLES").expect("LOSS_CYCLES is set by tests/loss").parse().unwrap();
    let fault = if std::env::var_os("LOSS_POWER").is_some() { Fault::PowerCut } else { Fault::Kill };
    let is_set = |variable| std::env::var_os(variable).is_some();
    let (freezes, retention) = (is_set("LOSS_FREEZES"), is_set("LOSS_RETENTION"));
    let outcome = Campaign { freezes, retention, ..Campaign::new(fault, cycles) }.run().await;
    assert!(!retention || outcome.removed > 0, "{outcome}");
    assert!(outcome.verdict.is_clean(), "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_at_each_call_that_changes_the_store_loses_nothing() {
    let swept = sweep::sweep(Fault::Kill, false, sweep::WHOLE).await;
    assert!(swept.failed.is_empty() && swept.deaths() > 30, "{swept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_at_each_call_that_changes_names_or_syncs_loses_nothing() {
    let swept = sweep::sweep(Fault::PowerCut, false, sweep::WHOLE).await;
    assert!(swept.failed.is_empty() && swept.deaths() > 15, "{swept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by tests/loss --sweep: every call, SQLite's included"]
async fn whole_sweep() {
    let fault = if std::env::var_os("LOSS_POWER").is_some() { Fault::PowerCut } else { Fault::Kill };
    let part = std::env::var("LOSS_PART").map_or(sweep::WHOLE, |part| {
        let (part, of) = part.split_once('/').expect("--part K/N");
        (part.parse().unwrap(), of.parse().unwrap())
    });
    let swept = sweep::sweep(fault, true, part).await;
    assert!(swept.failed.is_empty() && swept.deaths() > 100 / part.1, "{swept}");
}

async fn must_lose(fault: Fault, build: &str) {
    let variable = format!("HOOKWARD_FAULT_{}", build.replace('-', "_").to_uppercase());
    let binary = PathBuf::from(std::env::var_os(&variable).unwrap_or_else(|| {
        panic!(
            "{variable} names no binary. tests/run builds it; by hand: cargo build --features fault-{build}, copy \
             target/debug/hookward away, and set {variable} to the copy's path"
        )
    }));
    assert!(binary.is_file(), "{variable}: there is no {}", binary.display());
    let campaign = Campaign { binary: Some(binary), until_lost: true, ..Campaign::new(fault, CYCLES_UNTIL_LOST_MAX) };
    let outcome = campaign.run().await;
    assert!(!outcome.verdict.lost.is_empty(), "a build that is broken on purpose lost nothing: {outcome}");
}
