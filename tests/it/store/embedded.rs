//! The embedded engine passes the suite.

use std::time::Duration;

use hookward::domain::{Clock, DeadReason, Next};
use hookward::store::embedded::{Config, Embedded};
use hookward::store::{Store, StoreKeys};

use super::world::{Factory, LEASE, START, deliveries, futures, keep, settlement, targets};

/// An engine in a folder of its own.
pub(super) struct Folder {
    pub(super) path: tempfile::TempDir,
    pub(super) clock: Clock,
}

impl Folder {
    pub(super) fn new() -> Self {
        // In memory: these tests are about what is written, not about how long a disk takes to do it.
        Self { path: tempfile::tempdir_in("/dev/shm").unwrap(), clock: Clock::manual(START) }
    }

    pub(super) fn config(&self) -> Config {
        let mut config = Config::new(self.path.path());
        config.disk_free_min = 0;
        config.dedup_window_max = Duration::from_secs(96 * 3600);
        config.clock = self.clock.clone();
        config
    }
}

impl Factory for Folder {
    type Engine = Embedded;

    fn open(&self) -> Embedded {
        Embedded::open(self.config()).unwrap()
    }

    fn open_with(&self, keys: StoreKeys) -> Embedded {
        Embedded::open(Config { new_keys: Some(keys), ..self.config() }).unwrap()
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

super::suite::suite!(super::Folder::new());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_redeliveries_share_their_syncs() {
    let folder = Folder::new();
    let config = folder.config();
    let syncs = config.metrics.fsync_duration.clone();
    let store = Embedded::open(config).unwrap();
    store.set_targets(&targets(&["crm"]));
    let events = (0..100).map(|number| keep_many(&store, &folder.clock, number));
    futures(events).await;
    let claims = store.claim("crm", 100, LEASE).await.unwrap();
    for claim in &claims {
        let dead = Next::Dead(DeadReason::Exhausted);
        store.settle(claim, settlement(&folder.clock, claim, 500, dead));
    }
    let ids: Vec<_> = claims.iter().map(|claim| claim.id).collect();
    // The outcomes are on disk, too.
    assert_eq!(deliveries(&store).await.len(), 100);
    let before = syncs.count();
    assert!(store.redeliver_many(ids.clone()).await.iter().all(Result::is_ok));
    let together = syncs.count() - before;
    assert!((1..=20).contains(&together), "{together} syncs");
    let before = syncs.count();
    for id in &ids[..10] {
        store.redeliver(*id).await.unwrap();
    }
    assert!(syncs.count() - before >= 10, "each of its own where they come one by one");
}

async fn keep_many(store: &Embedded, clock: &Clock, number: usize) {
    keep(store, clock, &format!("e{number}"), &["crm"]).await;
}
