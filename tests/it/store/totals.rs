//! What is counted is counted for good: over restarts, over a new index, over the years.

use std::collections::BTreeMap;
use std::time::Duration;

use hookward::domain::Clock;
use hookward::domain::{DeadReason, Next, Reason, Rejection};
use hookward::store::embedded::Embedded;
use hookward::store::{Admitted, RejectedRequest, Retention, SourceTotals, Store, StoreError, TargetTotals, Totals};

use super::embedded::Folder;
use super::world::*;

const HOUR: Duration = Duration::from_secs(3600);
const RETENTION: Retention = Retention { events: Duration::MAX, rejections: HOUR, bytes_max: None };

fn rejected(clock: &Clock, reason: Reason) -> RejectedRequest {
    RejectedRequest {
        rejection: Rejection::new(reason, "for a test"),
        source: Some("github".into()),
        at: clock.now(),
        client: None,
        request_line: "POST /in".into(),
        headers: "".into(),
        body: Default::default(),
    }
}

/// Three events, one of them unrouted, a copy, three refusals, five requests that an app answered; a delivery that succeeds at its second attempt, one
/// that is given up, one that is stopped, one that is too late.
async fn live(store: &impl Store, clock: &Clock, round: &str) {
    store.set_targets(&targets(&["crm", "log"]));
    let mut late = admission(clock, &format!("{round}-late"), &["log"]);
    late.plan.deliveries[0].expires_at = Some(clock.now());
    store.admit(late).await.unwrap();
    assert!(claim(store, "log", 10).await.is_empty(), "it is too late");
    keep(store, clock, &format!("{round}-unrouted"), &[]).await;
    keep(store, clock, &format!("{round}-event"), &["crm", "log", "gone"]).await;
    let copy = store.admit(admission(clock, &format!("{round}-event"), &["crm", "log", "gone"])).await.unwrap();
    assert!(matches!(copy, Admitted::Duplicate(_)));
    for reason in [Reason::SignatureMismatch, Reason::SignatureMismatch, Reason::RateLimited] {
        store.reject(rejected(clock, reason));
    }
    for count in [2, 3] {
        store.count_passed_on(&"github".into(), count);
    }
    let first = claim_one(store, "crm").await;
    store.settle(&first, settlement(clock, &first, 500, Next::RetryAt(clock.now())));
    let second = claim_one(store, "crm").await;
    store.settle(&second, settlement(clock, &second, 200, Next::Succeeded));
    let log = claim_one(store, "log").await;
    store.settle(&log, settlement(clock, &log, 410, Next::Dead(DeadReason::Refused)));
    let gone = deliveries(store).await.into_iter().find(|row| &*row.target == "gone" && row.state.is_open()).unwrap();
    store.cancel(gone.id).await.unwrap();
}

/// What so many rounds of [`live`] count.
fn expected(rounds: u64) -> Totals {
    let mut totals = Totals::default();
    let rejected = BTreeMap::from([(Reason::SignatureMismatch, 2 * rounds), (Reason::RateLimited, rounds)]);
    *totals.source("github") =
        SourceTotals { accepted: 3 * rounds, unrouted: rounds, duplicates: rounds, passed_on: 5 * rounds, rejected };
    let one = |count| TargetTotals {
        attempts: count * rounds,
        attempt_time: Duration::from_millis(12 * count * rounds),
        ..TargetTotals::default()
    };
    *totals.target("crm") = TargetTotals { succeeded: rounds, ..one(2) };
    *totals.target("log") = TargetTotals { dead: rounds, expired: rounds, ..one(1) };
    *totals.target("gone") = TargetTotals { cancelled: rounds, ..one(0) };
    totals
}

pub(super) async fn totals_count_everything_for_good(factory: &impl Factory) {
    let clock = factory.clock();
    let store = factory.open();
    assert_eq!(store.totals().await.unwrap(), Totals::default());
    live(&store, clock, "first").await;
    assert_eq!(store.totals().await.unwrap(), expected(1), "the last moment is counted, too");
    drop(store);
    let store = factory.open();
    assert_eq!(store.totals().await.unwrap(), expected(1));
    clock.advance(HOUR);
    live(&store, clock, "second").await;
    store.close().await.unwrap();
    let store = factory.open();
    assert_eq!(store.totals().await.unwrap(), expected(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_built_anew_counts_what_the_journal_holds() {
    let folder = Folder::new();
    let store = folder.open();
    live(&store, &folder.clock, "only").await;
    store.close().await.unwrap();
    std::fs::remove_file(folder.path.path().join("index.db")).unwrap();
    assert_eq!(folder.open().totals().await.unwrap(), expected(1));
}

/// Rows of the counters of both files.
fn rows(folder: &Folder) -> i64 {
    let count = |file: &str| -> i64 {
        let connection = rusqlite::Connection::open(folder.path.path().join(file)).unwrap();
        connection.query_row("SELECT count(*) FROM counters", [], |row| row.get(0)).unwrap()
    };
    count("index.db") + count("rejections.db")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_hours_are_added_up() -> Result<(), StoreError> {
    let folder = Folder::new();
    let store: Embedded = folder.open();
    live(&store, &folder.clock, "0").await;
    store.totals().await?;
    let one_hour = rows(&folder);
    for round in 1..4 {
        folder.clock.advance(HOUR);
        live(&store, &folder.clock, &round.to_string()).await;
    }
    store.sweep(RETENTION).await?;
    store.totals().await?;
    assert_eq!(rows(&folder), 4 * one_hour, "young hours are kept apart");
    folder.clock.advance(HOUR * 24 * 7 - HOUR);
    store.sweep(RETENTION).await?;
    assert_eq!(rows(&folder), 3 * one_hour, "the two oldest are one");
    folder.clock.advance(HOUR * 24 * 365);
    store.sweep(RETENTION).await?;
    assert_eq!(rows(&folder), one_hour);
    assert_eq!(store.totals().await?, expected(4));
    drop(store);
    assert_eq!(folder.open().totals().await?, expected(4));
    Ok(())
}
