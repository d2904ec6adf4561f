//! The thread that looks after the folder about once a second: the next segment made ahead of time, the
//! bounds of disk and store, the ledger of rejections.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::gate::Gate;
use super::rejections::Ledger;
use super::segments::Segments;
use super::writer::is_no_space;
use crate::telemetry::StoreMetrics;

/// How often it looks without being called.
const ROUND: Duration = Duration::from_secs(1);
/// While the store is full it looks more often, so that it takes events again soon.
const ROUND_WHILE_FULL: Duration = Duration::from_millis(200);

/// Calls the keeper before its time.
#[derive(Debug, Default)]
pub(super) struct KeeperBell {
    rung: Mutex<Rung>,
    wake: Condvar,
    /// Bytes of the folder, as last counted.
    pub(super) bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Rung {
    now: bool,
    closing: bool,
}

/// The thread's own.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) folder: PathBuf,
    pub(super) bell: Arc<KeeperBell>,
    pub(super) segments: Arc<Segments>,
    pub(super) gate: Arc<Gate>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) metrics: StoreMetrics,
    pub(super) bytes_max: Option<u64>,
    pub(super) disk_free_min: u64,
}

// === impl KeeperBell ===

impl KeeperBell {
    /// There is something to do.
    pub(super) fn ring(&self) {
        self.lock().now = true;
        self.wake.notify_one();
    }

    /// Lets the thread end.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    /// False: it is time to end.
    fn wait(&self, round: Duration) -> bool {
        let rung = self.lock();
        let waited = self.wake.wait_timeout_while(rung, round, |rung| !rung.now && !rung.closing);
        let mut rung = waited.unwrap_or_else(PoisonError::into_inner).0;
        rung.now = false;
        !rung.closing
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Keeper ===

impl Keeper {
    /// Works until it is told to end.
    pub(super) fn run(mut self) {
        loop {
            self.look();
            let round = if self.gate.is_full() { ROUND_WHILE_FULL } else { ROUND };
            if !self.bell.wait(round) {
                break;
            }
        }
        self.ledger.write_out();
    }

    /// One round.
    pub(super) fn look(&mut self) {
        let spare = self.segments.prepare_spare();
        let (journal_bytes, other_bytes) = (folder_bytes(self.segments.folder()), folder_bytes(&self.folder));
        let bytes = journal_bytes + other_bytes;
        self.bell.bytes.store(bytes, Ordering::Relaxed);
        self.metrics.journal_size.set(i64::try_from(journal_bytes).unwrap_or(i64::MAX));
        let spare_fault = spare.err().map(|error| {
            if !is_no_space(&error) {
                tracing::error!(%error, "the next journal file cannot be made");
            }
            format!("the next journal file cannot be made: {error}; free space on the disk")
        });
        let reason = spare_fault.or_else(|| self.over_bounds(bytes));
        self.gate.set_full(reason);
        self.ledger.write_out();
    }

    fn over_bounds(&self, bytes: u64) -> Option<String> {
        if let Some(bytes_max) = self.bytes_max
            && bytes > bytes_max
        {
            return Some(format!(
                "it holds {bytes} bytes, store.bytes_max is {bytes_max}: raise it or shorten retention"
            ));
        }
        let free = self.segments.disk_free().ok()?;
        let bound = self.disk_free_min;
        (free < bound)
            .then(|| format!("the disk has {free} bytes free, store.disk_free_min is {bound}: free space on the disk"))
    }
}

/// Bytes of the whole store whose journal lies in this folder.
pub(super) fn store_bytes(journal: &Path) -> u64 {
    folder_bytes(journal) + journal.parent().map_or(0, folder_bytes)
}

/// Bytes of the files right in a folder.
fn folder_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let files = entries.flatten().filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file);
    // What is allocated, not the length: that is what the disk misses.
    files.map(|metadata| metadata.blocks() * 512).sum()
}
