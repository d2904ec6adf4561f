//! Retention: what is over goes with its time or for lack of space, what is open never does.

use std::time::Duration;

use hookward::domain::{DeliveryState, Next};
use hookward::store::embedded::{Config, Embedded};
use hookward::store::{Admitted, Retention, Store, StoreError, Swept};

use super::embedded::Folder;
use super::world::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn retention(days: u32) -> Retention {
    Retention { events: DAY * days, rejections: DAY, bytes_max: None }
}

async fn sweep(store: &Embedded, retention: Retention) -> Swept {
    let mut all = Swept::default();
    for _ in 0..200 {
        let step = store.sweep(retention).await.unwrap();
        all.events += step.events;
        all.bytes += step.bytes;
        all.rejections += step.rejections;
        if !step.more {
            return all;
        }
    }
    panic!("the sweep does not come to an end: {all:?}");
}

async fn deliver(store: &Embedded, folder: &Folder, target: &str, most: usize) {
    for claim in claim(store, target, most).await {
        store.settle(&claim, settlement(&folder.clock, &claim, 200, Next::Succeeded));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_goes_with_its_time_and_its_mark_stays() {
    let folder = Folder::new();
    let store = Embedded::open(folder.config()).unwrap();
    store.set_targets(&targets(&["crm"]));
    let first = keep(&store, &folder.clock, "old", &["crm"]).await;
    deliver(&store, &folder, "crm", 10).await;
    // The newest file is closed once its first event is an eighth of the retention old.
    folder.clock.advance(DAY);
    assert_eq!(sweep(&store, retention(3)).await.events, 0);
    let second = keep(&store, &folder.clock, "young", &["crm"]).await;
    folder.clock.advance(DAY * 2 + Duration::from_secs(1));
    let swept = sweep(&store, retention(3)).await;
    assert_eq!(swept.events, 1);
    assert!(swept.bytes > 0, "the file itself is gone: {swept:?}");
    assert!(matches!(store.event(first).await, Err(StoreError::NotFound)));
    assert!(store.event(second).await.is_ok());
    for _ in 0..2 {
        let copy = store.admit(admission(&folder.clock, "old", &["crm"])).await.unwrap();
        assert_eq!(copy, Admitted::Duplicate(first), "the mark lives for its window");
    }
    drop(store);
    // Also where the index has to be built from what is left of the journal.
    std::fs::remove_file(folder.path.path().join("index.db")).unwrap();
    let store = Embedded::open(folder.config()).unwrap();
    let copy = store.admit(admission(&folder.clock, "old", &["crm"])).await.unwrap();
    assert_eq!(copy, Admitted::Duplicate(first));
    folder.clock.advance(DAY * 4);
    store.sweep(retention(30)).await.unwrap();
    keep(&store, &folder.clock, "old", &["crm"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_finds_nothing_writes_nothing() {
    let folder = Folder::new();
    let store = Embedded::open(folder.config()).unwrap();
    store.set_targets(&targets(&["crm"]));
    keep(&store, &folder.clock, "one", &["crm"]).await;
    sweep(&store, retention(3)).await;
    let wal_bytes = || std::fs::metadata(folder.path.path().join("index.db-wal")).unwrap().len();
    let before = wal_bytes();
    for _ in 0..5 {
        assert_eq!(sweep(&store, retention(3)).await.events, 0);
    }
    assert_eq!(wal_bytes(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_is_carried_along() {
    let folder = Folder::new();
    let store = Embedded::open(folder.config()).unwrap();
    store.set_targets(&targets(&["crm", "log"]));
    let open = keep(&store, &folder.clock, "open", &["crm", "log"]).await;
    deliver(&store, &folder, "log", 1).await;
    let failing = claim_one(&store, "crm").await;
    let later = folder.clock.now().plus(DAY * 30);
    store.settle(&failing, settlement(&folder.clock, &failing, 500, Next::RetryAt(later)));
    for number in 0..40 {
        keep(&store, &folder.clock, &format!("over{number}"), &["log"]).await;
    }
    deliver(&store, &folder, "log", 100).await;
    folder.clock.advance(DAY);
    sweep(&store, retention(3)).await;
    folder.clock.advance(DAY * 3);
    assert_eq!(sweep(&store, retention(3)).await.events, 40);

    assert_eq!(store.event(open).await.unwrap().received.body, body_of("open"));
    drop(store);
    std::fs::remove_file(folder.path.path().join("index.db")).unwrap();
    let store = Embedded::open(folder.config()).unwrap();
    store.set_targets(&targets(&["crm", "log"]));
    let rows = deliveries(&store).await;
    let states: Vec<_> = rows.iter().map(|row| (&*row.target, row.state, row.attempts)).collect();
    assert_eq!(states, [("log", DeliveryState::Succeeded, 1), ("crm", DeliveryState::Pending, 1)]);
    assert!(claim(&store, "crm", 1).await.is_empty(), "not before its time");
    folder.clock.advance(DAY * 30);
    let claim = claim_one(&store, "crm").await;
    assert_eq!((claim.attempt, claim.event.id), (2, open));
    assert_eq!(claim.event.received.body, body_of("open"));
    assert_eq!(store.health().damaged_records, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_too_large_gives_up_its_oldest_first() {
    let folder = Folder::new();
    let bytes_max = 8 * 1024 * 1024;
    let config = Config { bytes_max: Some(bytes_max), ..folder.config() };
    let store = Embedded::open(config).unwrap();
    store.set_targets(&targets(&["crm"]));
    let limits = Retention { bytes_max: Some(bytes_max), ..retention(30) };
    let mut refused = 0;
    for number in 0..60 {
        let mut admission = admission(&folder.clock, &format!("e{number}"), &["crm"]);
        admission.event.body = vec![b'x'; 256 * 1024].into();
        match store.admit(admission).await {
            Ok(_) => deliver(&store, &folder, "crm", 1).await,
            Err(_) => refused += 1,
        }
        sweep(&store, limits).await;
        assert_eq!(store.health().damaged_records, 0);
    }
    assert!(refused < 20, "most were taken while the oldest went: {refused} refused");
    let rows = deliveries(&store).await;
    assert!(rows.len() < 40 && !rows.is_empty(), "{} are left", rows.len());
    let newest = store.event(rows[0].event).await.unwrap();
    assert_eq!(newest.received.body.len(), 256 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_started_again_between_two_steps_stays() {
    let folder = Folder::new();
    let store = Embedded::open(folder.config()).unwrap();
    store.set_targets(&targets(&["crm"]));
    let ids: Vec<String> = (0..1500).map(|number| format!("e{number}")).collect();
    for some in ids.chunks(500) {
        futures(some.iter().map(|id| store.admit(admission(&folder.clock, id, &["crm"])))).await;
    }
    let last = keep(&store, &folder.clock, "last", &["crm"]).await;
    let mut again = None;
    for claim in claim(&store, "crm", 2000).await {
        store.settle(&claim, settlement(&folder.clock, &claim, 200, Next::Succeeded));
        again = (claim.event.id == last).then_some(claim.id).or(again);
    }
    folder.clock.advance(DAY);
    sweep(&store, retention(3)).await;
    folder.clock.advance(DAY * 3);
    let first = store.sweep(retention(3)).await.unwrap();
    assert!(first.events > 0 && first.events < 1501 && first.more, "one step: {first:?}");
    store.redeliver(again.unwrap()).await.unwrap();
    assert!(sweep(&store, retention(3)).await.bytes > 0, "the file went");
    let claim = claim_one(&store, "crm").await;
    assert_eq!((claim.event.id, &claim.event.received.body), (last, &body_of("last")));
    assert_eq!(store.health().damaged_records, 0);
}
