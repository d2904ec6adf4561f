//! The thread that looks after the folder about once a second: the next segment made ahead of time, the
//! bounds of disk and store, the ledger of rejections.
//!
//! While events come, it also writes zeros over the next segment, four times as fast as the active one fills (after
//! a start: at once): an idle gateway writes nothing, and a busy one finds blocks that were written before.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::gate::Gate;
use super::headroom::Needs;
use super::journal::Journal;
use super::record::Position;
use super::rejections::Ledger;
use super::segments::Segments;
use super::writer::is_no_space;
use crate::telemetry::StoreMetrics;

/// How often it looks without being called.
const ROUND: Duration = Duration::from_secs(1);
/// While the store is full it looks more often, so that it takes events again soon.
const ROUND_WHILE_FULL: Duration = Duration::from_millis(200);

/// While the next segment is laid, there is a piece of it to lay so often.
const ROUND_WHILE_LAYING: Duration = Duration::from_millis(20);
/// The next segment is laid when so much has been written, in bytes.
const LAY_AFTER_BYTES: u32 = 1024 * 1024;
/// So many times as fast as the active segment fills.
const LAY_PACE: u32 = 4;

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

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    ToEnd,
    ByBell,
    ByTime,
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
    /// Bytes of the disk that are left to what is stored.
    pub(super) needs: Needs,
    pub(super) journal: Arc<Journal>,
    /// From here on this process has written.
    pub(super) began_at: Position,
    /// Up to here it had written when the next segment was laid last.
    pub(super) seen_at: Position,
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

    fn wait(&self, round: Duration) -> Woken {
        let rung = self.lock();
        let waited = self.wake.wait_timeout_while(rung, round, |rung| !rung.now && !rung.closing);
        let mut rung = waited.unwrap_or_else(PoisonError::into_inner).0;
        match (rung.closing, std::mem::take(&mut rung.now)) {
            (true, _) => Woken::ToEnd,
            (false, true) => Woken::ByBell,
            (false, false) => Woken::ByTime,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Keeper ===

impl Keeper {
    /// Works until it is told to end.
    pub(super) fn run(mut self) {
        let mut woken = Woken::ByBell;
        let mut looked_at = Instant::now();
        while woken != Woken::ToEnd {
            let round = if self.gate.is_full() { ROUND_WHILE_FULL } else { ROUND };
            if woken == Woken::ByBell || looked_at.elapsed() >= round {
                self.look();
                looked_at = Instant::now();
            }
            let lays = self.lay_ahead();
            let rest = round.saturating_sub(looked_at.elapsed());
            woken = self.bell.wait(if lays { rest.min(ROUND_WHILE_LAYING) } else { rest });
        }
        self.ledger.write_out();
    }

    /// Lays the next segment as far as the pace demands; whether there is soon more to do.
    fn lay_ahead(&mut self) -> bool {
        let at = self.journal.durable();
        if std::mem::replace(&mut self.seen_at, at) == at {
            return false;
        }
        let from = if at.segment == self.began_at.segment { self.began_at.offset } else { 0 };
        let written = at.offset.saturating_sub(from);
        if written < LAY_AFTER_BYTES || self.gate.is_full() {
            return false;
        }
        // Whoever writes over new blocks now, after a start, had better not do so for long.
        let to = if self.segments.active_is_laid() { written.saturating_mul(LAY_PACE) } else { u32::MAX };
        let laid = loop {
            match self.segments.lay_spare(to) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = laid {
            tracing::error!(%error, "the next journal file cannot be written and is given up");
            // Making another one is tried, and its failure told, in the next round.
            if let Err(error) = self.segments.give_spare_up() {
                tracing::error!(%error, "nor can it be removed");
            }
            return false;
        }
        if !self.segments.active_is_laid() && self.segments.spare_is_laid() {
            self.journal.request_roll();
        }
        !self.segments.spare_is_laid()
    }

    /// One round.
    pub(super) fn look(&mut self) {
        let needed = self.needs.bytes();
        // What the index finds no space for comes first.
        let spare = if self.gate.is_index_troubled() { Ok(()) } else { self.segments.prepare_spare(needed) };
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
        let reason = spare_fault.or_else(|| self.over_bounds(bytes, needed));
        self.gate.set_full(reason);
        self.ledger.keep_free(needed);
        self.ledger.write_out();
    }

    fn over_bounds(&self, bytes: u64, needed: u64) -> Option<String> {
        if let Some(bytes_max) = self.bytes_max
            && bytes > bytes_max
        {
            return Some(format!(
                "it holds {bytes} bytes, store.bytes_max is {bytes_max}: raise it or shorten retention"
            ));
        }
        let free = self.segments.disk_free().ok()?;
        let (bound, whose) = if needed > self.disk_free_min {
            (needed, "what is stored needs")
        } else {
            (self.disk_free_min, "store.disk_free_min is")
        };
        (free < bound).then(|| format!("the disk has {free} bytes free, {whose} {bound}: free space on the disk"))
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
