//! More open deliveries than a start waits for are loaded in the background: damage that is found there heals
//! by itself, and nothing is forgotten or handed out twice.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use hookward::domain::{Next, Plan};
use hookward::store::embedded::Embedded;
use hookward::store::{Claim, Store};
use rusqlite::Connection;

use super::embedded::Folder;
use super::world::*;

/// Each event has a delivery for each of these.
const TARGETS: usize = 56;
/// More deliveries than the 50,000 that a start loads before it takes events.
const EVENTS: usize = 1000;
/// Far behind the 50,000th delivery, and far before it.
const LATE_EVENT: usize = 980;
const EARLY_EVENT: usize = 30;
/// Generous, because machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn names() -> Vec<String> {
    (0..TARGETS).map(|number| format!("t{number}")).collect()
}

fn open(folder: &Folder, names: &[String]) -> Embedded {
    let store = Embedded::open(folder.config()).unwrap();
    store.set_targets(&targets(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    store
}

/// A closed store with all of the deliveries open.
async fn filled(folder: &Folder, names: &[String]) {
    let store = open(folder, names);
    for number in 0..EVENTS {
        let mut admission = admission(&folder.clock, &format!("e{number}"), &[]);
        admission.plan = Plan { deliveries: names.iter().map(|name| planned(name)).collect() };
        store.admit(admission).await.unwrap();
    }
    store.close().await.unwrap();
}

/// Claims what is due for a target, as it comes, until `expected` came; panics on a second copy.
async fn claim_until(store: &Embedded, target: &str, expected: usize) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    let mut seen = HashSet::new();
    let start = Instant::now();
    while claims.len() < expected {
        for claim in claim(store, target, 100).await {
            assert!(seen.insert(claim.id), "{:?} was handed out twice", claim.id);
            claims.push(claim);
        }
        let reasons = store.health().reasons;
        assert!(start.elapsed() < PATIENCE, "{} of {expected} of {target}, the store says {reasons:?}", claims.len());
    }
    claims
}

/// Waits until `expected` deliveries are open in all lanes together, and no more than these.
async fn open_until(store: &Embedded, expected: usize) {
    let start = Instant::now();
    loop {
        let open: u64 = store.lanes().await.iter().map(|lane| lane.pending + lane.in_flight).sum();
        assert!(open <= expected as u64, "{open} deliveries are open, {expected} were");
        if open == expected as u64 {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{open} of {expected}, the store says {:?}", store.health().reasons);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Damages the index of a closed store by `damage`, starts, and looks at what comes of it.
async fn check(damage: String) {
    let folder = Folder::new();
    let names = names();
    filled(&folder, &names).await;
    let index = Connection::open(folder.path.path().join("index.db")).unwrap();
    assert_eq!(index.execute(&damage, []).unwrap(), 1, "{damage} meets one row");
    index.close().unwrap();

    let store = open(&folder, &names);
    // It takes events meanwhile, and claims and settles what it has loaded.
    keep(&store, &folder.clock, "meanwhile", &["t0"]).await;
    let mut first = claim_until(&store, "t0", 300).await;
    for claim in &first {
        store.settle(claim, settlement(&folder.clock, claim, 200, Next::Succeeded));
    }
    let all = EVENTS * TARGETS + 1 - first.len();
    open_until(&store, all).await;
    assert!(folder.path.path().join("index.db.damaged").exists(), "the damage of {damage} was never met");
    assert_eq!(store.health().damaged_records, 0, "{damage}: nothing but the index is damaged");
    first.extend(claim_until(&store, "t0", EVENTS + 1 - first.len()).await);
    let ids: HashSet<_> = first.iter().map(|claim| claim.event.received.source_event_id.clone().unwrap()).collect();
    assert_eq!(ids.len(), EVENTS + 1, "{damage}: each event once");
    keep(&store, &folder.clock, "after", &["t1"]).await;
    store.close().await.unwrap();
    drop(store);

    // What was settled stays so, the rest is open still: the index that was built anew knows of both.
    let store = open(&folder, &names);
    open_until(&store, all + 1).await;
    let again = claim_until(&store, "t1", EVENTS + 1).await;
    assert!(again.iter().any(|claim| claim.event.received.source_event_id.as_deref() == Some("after")));
}

/// The row of the event that was admitted as the `number`-th, in SQL.
fn event(number: usize) -> String {
    format!("(SELECT seq FROM events ORDER BY seq LIMIT 1 OFFSET {number})")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_row_behind_the_50_000th_heals_without_a_person() {
    check(format!("UPDATE deliveries SET due_at = due_at + 1 WHERE seq = {} AND ordinal = 7", event(LATE_EVENT))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_delivery_whose_event_has_vanished_heals_without_a_person() {
    check(format!("DELETE FROM events WHERE seq = {}", event(LATE_EVENT))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_names_no_target_heals_without_a_person() {
    check(format!("UPDATE deliveries SET target = 77777 WHERE seq = {} AND ordinal = 0", event(EARLY_EVENT))).await;
}
