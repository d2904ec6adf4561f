//! A busy store moves on to a journal file whose blocks were written ahead of time, and loses nothing on the way.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hookward::store::{Admitted, Store};

use super::embedded::Folder;
use super::world::*;

const PATIENCE: Duration = Duration::from_secs(60);
/// More than one megabyte of these makes the store busy.
const BODY_BYTES: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_store_moves_on_to_a_file_that_is_laid_and_loses_nothing() {
    let folder = Folder::new();
    let journal = |number: u32| folder.path.path().join(format!("journal/{number:010}.journal"));
    let bytes = |number: u32| std::fs::metadata(journal(number)).map_or(0, |metadata| metadata.len());
    let store = folder.open();
    let (capacity, started) = (bytes(1), Instant::now());
    let mut kept = Vec::new();
    // The first file was not laid: it is cut where the store moved on, far before it was full.
    while bytes(1) == capacity {
        assert!(started.elapsed() < PATIENCE, "the store stays in the file that it began with");
        assert!(kept.len() * BODY_BYTES < capacity as usize / 2, "the file is half full");
        let id = format!("e{}", kept.len());
        let mut large = admission(&folder.clock, &id, &["crm"]);
        large.event.body = Bytes::from(id.repeat(BODY_BYTES / id.len()));
        let body = large.event.body.clone();
        let Admitted::Kept(event) = store.admit(large).await.unwrap() else { panic!("it is new") };
        kept.push((event, body));
        if kept.len() * BODY_BYTES > 4 * 1024 * 1024 {
            // Busy enough; what is missing is time.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let after = keep(&store, &folder.clock, "after", &["crm"]).await;
    drop(store);
    let store = folder.open();
    for (event, body) in kept {
        assert_eq!(store.event(event).await.unwrap().received.body, body);
    }
    assert_eq!(store.event(after).await.unwrap().received.body, body_of("after"));
}
