//! A store of every format that was ever released opens, and holds what it held.

use std::path::Path;
use std::time::Duration;

use hookward::domain::{DeadReason, DeliveryState, Next, Webhook};
use hookward::store::embedded::{Config, Embedded};
use hookward::store::{Admitted, Store};

use super::embedded::Folder;
use super::world::*;

/// Headers are counted pairs; events do not say when they were signed.
const V1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/specimens/store-v1");

/// Headers as they go over a wire, and when the sender signed.
const V2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/specimens/store-v2");

/// As before; the index has one row an event, sorted runs and zones.
const V3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/specimens/store-v3");

/// As before; the journal holds webhooks, and the index knows projects.
const V4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/specimens/store-v4");

/// Made once, by `cargo test make_specimen -- --ignored`, and never changed afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes the specimen; a released format is never written again"]
async fn make_specimen() {
    let folder = Folder::new();
    let store = Embedded::open(Config { bytes_max: Some(2 * 1024 * 1024), ..folder.config() }).unwrap();
    store.set_targets(&targets(&["crm", "log"]));
    for number in 0..5 {
        keep(&store, &folder.clock, &format!("e{number}"), &["crm", "log"]).await;
    }
    let claims = claim(&store, "log", 3).await;
    store.settle(&claims[0], settlement(&folder.clock, &claims[0], 200, Next::Succeeded));
    store.settle(&claims[1], settlement(&folder.clock, &claims[1], 410, Next::Dead(DeadReason::Refused)));
    let later = folder.clock.now().plus(Duration::from_secs(60));
    store.settle(&claims[2], settlement(&folder.clock, &claims[2], 500, Next::RetryAt(later)));
    store.replay(claims[0].event.id, vec![planned("log")]).await.unwrap();
    let crm = deliveries(&store).await.into_iter().find(|row| &*row.target == "crm").unwrap();
    store.cancel(crm.id).await.unwrap();
    let kept = super::webhooks::webhook(&store, "a");
    store.keep_webhook(&kept, None).await.unwrap();
    let gone = super::webhooks::webhook(&store, "b");
    store.keep_webhook(&gone, None).await.unwrap();
    store.forget_webhook(gone.id).await.unwrap();
    store.close().await.unwrap();
    save(&folder, V4);
}

/// Events of another store: the records that `import` writes.
const MOVED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/specimens/store-v4-moved");

/// Made once, by `cargo test make_moved_specimen -- --ignored`, and never changed afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes the specimen; a released format is never written again"]
async fn make_moved_specimen() {
    let (from, to) = (Folder::new(), Folder::new());
    let old = from.open();
    old.set_targets(&targets(&["crm", "log"]));
    for number in 0..4 {
        keep(&old, &from.clock, &format!("e{number}"), &["crm", "log"]).await;
    }
    let claims = claim(&old, "log", 3).await;
    old.settle(&claims[0], settlement(&from.clock, &claims[0], 200, Next::Succeeded));
    old.settle(&claims[1], settlement(&from.clock, &claims[1], 410, Next::Dead(DeadReason::Refused)));
    let later = from.clock.now().plus(Duration::from_secs(60));
    old.settle(&claims[2], settlement(&from.clock, &claims[2], 500, Next::RetryAt(later)));
    let store = to.open_with(old.keys());
    let page = old.read_out(None).await.unwrap();
    assert_eq!(store.take_in(page.events).await.unwrap(), 4);
    let (marks, _) = old.read_marks(None).await.unwrap();
    store.take_marks(marks).await.unwrap();
    store.close().await.unwrap();
    save(&to, MOVED);
}

/// Without the preallocated zeros behind the last record.
fn save(folder: &Folder, specimen: &str) {
    std::fs::create_dir_all(Path::new(specimen).join("journal")).unwrap();
    std::fs::copy(folder.path.path().join("index.db"), Path::new(specimen).join("index.db")).unwrap();
    let name = "journal/0000000001.journal";
    let bytes = std::fs::read(folder.path.path().join(name)).unwrap();
    let end = (bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1).next_multiple_of(8);
    std::fs::write(Path::new(specimen).join(name), &bytes[..end]).unwrap();
}

/// A folder with a copy of a specimen in it.
fn copied(specimen: &str, with_index: bool) -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.path.path().join("journal")).unwrap();
    let files = ["journal/0000000001.journal", "index.db"];
    for file in &files[..if with_index { 2 } else { 1 }] {
        std::fs::copy(Path::new(specimen).join(file), folder.path.path().join(file)).unwrap();
    }
    folder
}

async fn check_moved(with_index: bool) {
    let folder = copied(MOVED, with_index);
    let store = folder.open();
    store.set_targets(&targets(&["crm", "log"]));
    assert_eq!(store.health().damaged_records, 0);
    assert!(!folder.path.path().join("index.db.damaged").exists(), "the index is taken as it is, or known to be old");
    let rows = deliveries(&store).await;
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    assert_eq!((rows.len(), count(DeliveryState::Succeeded), count(DeliveryState::Dead)), (8, 1, 1));
    for row in &rows {
        let (_, attempts) = store.delivery(row.id).await.unwrap();
        assert_eq!(attempts.len(), usize::from(row.attempts), "every attempt came along");
        assert!(attempts.iter().all(|made| made.status == row.response_code && made.number == 1));
    }
    assert_eq!(rows.iter().filter(|row| row.attempts == 1).count(), 3);
    let copy = store.admit(admission(&folder.clock, "e3", &["crm"])).await.unwrap();
    assert!(matches!(copy, Admitted::Duplicate(_)));
    for claim in claim(&store, "crm", 10).await {
        let id = claim.event.received.source_event_id.clone().unwrap();
        assert_eq!(claim.event.received.body, body_of(&id));
    }
    folder.clock.advance(Duration::from_secs(60));
    let mut attempts: Vec<_> = claim(&store, "log", 10).await.iter().map(|claim| claim.attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_events_open() {
    check_moved(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_events_open_without_the_index() {
    check_moved(false).await;
}

async fn check(specimen: &str, with_index: bool) {
    let folder = copied(specimen, with_index);
    let store = Embedded::open(Config { bytes_max: Some(2 * 1024 * 1024), ..folder.config() }).unwrap();
    store.set_targets(&targets(&["crm", "log"]));
    assert_eq!(store.health().damaged_records, 0);
    assert!(!folder.path.path().join("index.db.damaged").exists(), "the index is taken as it is, or known to be old");
    let rows = deliveries(&store).await;
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    assert_eq!((rows.len(), count(DeliveryState::Succeeded), count(DeliveryState::Dead)), (11, 1, 1));
    assert_eq!((count(DeliveryState::Cancelled), count(DeliveryState::Pending)), (1, 8));
    let webhooks = store.webhooks().await.unwrap();
    assert_eq!(webhooks.len(), usize::from(specimen == V4));
    for webhook in webhooks {
        assert_eq!(webhook, Webhook { id: webhook.id, ..super::webhooks::webhook(&store, "a") });
    }
    let copy = store.admit(admission(&folder.clock, "e3", &["crm"])).await.unwrap();
    assert!(matches!(copy, Admitted::Duplicate(_)));
    for claim in claim(&store, "crm", 10).await {
        let id = claim.event.received.source_event_id.clone().unwrap();
        let expected = event(&folder.clock, &id);
        let received = &claim.event.received;
        assert_eq!((&received.body, &received.headers), (&expected.body, &expected.headers));
        assert_eq!(received.signed_at, expected.signed_at.filter(|_| specimen != V1));
    }
    keep(&store, &folder.clock, "new", &["crm"]).await;
    let number = if specimen == V1 { 2 } else { 1 };
    let file = std::fs::read(folder.path.path().join(format!("journal/{number:010}.journal"))).unwrap();
    let body = body_of("new");
    let goes_on_here = file[8] == 2 && file.windows(body.len()).any(|window| window == body);
    assert!(goes_on_here, "nothing new goes into a file of an old format");
    folder.clock.advance(Duration::from_secs(60));
    let log = claim(&store, "log", 10).await;
    let mut attempts: Vec<_> = log.iter().map(|claim| claim.attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 1, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_1_opens() {
    check(V1, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_1_opens_without_its_index() {
    check(V1, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_2_opens() {
    check(V2, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_2_opens_without_its_index() {
    check(V2, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_3_opens() {
    check(V3, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_3_opens_without_its_index() {
    check(V3, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_4_opens() {
    check(V4, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_4_opens_without_its_index() {
    check(V4, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_newer_format_is_refused_with_a_sentence() {
    let folder = Folder::new();
    drop(Embedded::open(folder.config()).unwrap());
    let path = folder.path.path().join("journal/0000000001.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    for copy in [0, 2048] {
        bytes[copy + 8] = 9;
        let checksum = crc32fast::hash(&bytes[copy..copy + 68]).to_le_bytes();
        bytes[copy + 68..copy + 72].copy_from_slice(&checksum);
    }
    std::fs::write(&path, &bytes).unwrap();
    let error = Embedded::open(folder.config()).unwrap_err().to_string();
    assert!(error.contains("format 9") && error.contains("newer hookward"), "{error}");
}
