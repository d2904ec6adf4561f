//! What the gauges say of the store's inside is so.

use std::time::Duration;

use hookward::store::Store;
use hookward::telemetry::StoreMetrics;

use super::embedded::Folder;
use super::world::*;

const PATIENCE: Duration = Duration::from_secs(20);

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn lag_and_tail(metrics: &StoreMetrics) -> (i64, i64) {
    (metrics.index_lag.get(), metrics.dedup_tail.get())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_and_tail_count_what_the_index_does_not_hold_yet() {
    let folder = Folder::new();
    let config = folder.config();
    let metrics = config.metrics.clone();
    let store = hookward::store::embedded::Embedded::open(config).unwrap();
    // Right after its answer an event is not in the index yet, unless the machine stood still meanwhile.
    let mut number = 0;
    loop {
        keep(&store, &folder.clock, &format!("e{number}"), &["crm"]).await;
        if lag_and_tail(&metrics) == (1, 1) {
            break;
        }
        number += 1;
        assert!(number < 100, "the gauges say nothing: {:?}", lag_and_tail(&metrics));
        deliveries(&store).await;
        assert_eq!(lag_and_tail(&metrics), (0, 0));
    }
    deliveries(&store).await;
    assert_eq!(lag_and_tail(&metrics), (0, 0), "whoever lists waits for the index");
    drop(store);
    let config = folder.config();
    let metrics = config.metrics.clone();
    let store = hookward::store::embedded::Embedded::open(config).unwrap();
    deliveries(&store).await;
    assert_eq!(lag_and_tail(&metrics), (0, 0), "a start does not bring it out of step");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_built_anew_lags_behind_and_catches_up() {
    let folder = Folder::new();
    let config = folder.config();
    let metrics = config.metrics.clone();
    let store = hookward::store::embedded::Embedded::open(config).unwrap();
    for number in 0..200 {
        keep(&store, &folder.clock, &format!("e{number}"), &["crm"]).await;
    }
    let rows = deliveries(&store).await;
    let path = folder.path.path().join("index.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE deliveries SET attempts = attempts + 1", []).unwrap();
    drop(connection);
    assert!(store.delivery(rows[0].id).await.is_err(), "the damage is noticed");
    until("the index is set aside", || path.with_extension("db.damaged").exists()).await;
    until("the index holds everything", || metrics.index_lag.get() == 0).await;
    assert_eq!(deliveries(&store).await, rows);
    assert_eq!(lag_and_tail(&metrics), (0, 0));
    keep(&store, &folder.clock, "after", &["crm"]).await;
    deliveries(&store).await;
    assert_eq!(lag_and_tail(&metrics), (0, 0));
}
