//! What the journal leaves of a disk to the index, so that a store that has filled its disk can shrink again.
//!
//! Retention removes an event's rows before it removes a journal file, and what is removed goes through SQLite's WAL
//! first, and from there into the index: on a disk without a free byte it could do neither. So no journal file is made
//! for events where that would take this room, events are refused while it is not free, and WAL and transactions are the
//! smaller the smaller the disk is.
//!
//! What was acknowledged has more to come: the index has to hold what it does not hold yet, and each open delivery will
//! have an outcome. Room for that is kept too.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::statvfs;

use super::index::PAGE_BYTES;
use super::indexer::Progress;
use super::journal::Journal;
use super::lane::Lanes;
use super::segments::Segments;

/// The WAL is checkpointed after so many pages, in small stores after fewer.
const WAL_PAGES_MAX: u64 = 4096;
const WAL_PAGES_MIN: u64 = 64;

/// The WAL's part of the store.
const WAL_PART: u64 = 32;
/// Room for so many WALs: one that is full, what a checkpoint adds to the index, and transactions that are larger.
const WALS: u64 = 4;
/// But of a very small disk no more than this part.
const HEADROOM_PART: u64 = 8;

/// Records of one transaction of the index for each page of its WAL: fewer than what fills it.
const FOLD_RECORDS_PAGE: u32 = 4;

/// What an open delivery's outcome takes: a record, and what its row grows by.
const OUTCOME_BYTES: u64 = 160;
/// The ledger of rejections has no more than this part of the disk.
const LEDGER_PART: u64 = 8;
/// An index that is further behind is being built anew: it had its space before.
const LAG_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// No more than this part of the disk is kept for what is to come.
const NEEDS_PART: u64 = 2;

/// The bounds of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headroom {
    /// After how many pages the index's WAL is checkpointed.
    pub(super) wal_pages: u32,
    /// Bytes of the disk that are left free for the index, 128 MiB at most.
    pub(super) bytes: u64,
    /// Bytes of rejections at most, whatever is configured.
    pub(super) rejections_bytes_max: u64,
}

/// What must stay free for all that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    pub(super) headroom: Headroom,
    pub(super) segments: Arc<Segments>,
    pub(super) journal: Arc<Journal>,
    pub(super) progress: Arc<Progress>,
    pub(super) lanes: Arc<Lanes>,
}

// === impl Needs ===

impl Needs {
    /// In bytes: the headroom, the index of what is not indexed yet, and the outcomes of what is open.
    pub(super) fn bytes(&self) -> u64 {
        let open: u64 = self.lanes.all().iter().map(|lane| lane.open()).sum();
        self.headroom.bytes.saturating_add(self.to_come(open.saturating_mul(OUTCOME_BYTES)))
    }

    /// The same once outcomes themselves are written: they can wait in memory, the index cannot go on without room.
    pub(super) fn bytes_of_index(&self) -> u64 {
        (self.headroom.bytes / 2).saturating_add(self.to_come(0))
    }

    fn to_come(&self, outcomes: u64) -> u64 {
        let lag = self.segments.bytes_between(self.progress.indexed(), self.journal.durable());
        lag.min(LAG_BYTES_MAX).saturating_add(outcomes).min(disk_bytes(self.segments.folder()) / NEEDS_PART)
    }
}

// === impl Headroom ===

impl Headroom {
    /// For a store of at most `bytes_max` in this folder; a disk that does not tell its size counts as large.
    pub(super) fn of(folder: &Path, bytes_max: Option<u64>) -> Self {
        Self::on(disk_bytes(folder), bytes_max)
    }

    /// Whether the disk is large enough for the longest WAL.
    pub(super) fn is_whole(self) -> bool {
        u64::from(self.wal_pages) >= WAL_PAGES_MAX
    }

    /// How many records of the journal enter the index in one transaction at most.
    pub(super) fn fold_records(self) -> usize {
        self.wal_pages.saturating_mul(FOLD_RECORDS_PAGE) as usize
    }

    fn on(disk_bytes: u64, bytes_max: Option<u64>) -> Self {
        let store_bytes = bytes_max.unwrap_or(u64::MAX).min(disk_bytes);
        let wal_pages = (store_bytes / WAL_PART / PAGE_BYTES).clamp(WAL_PAGES_MIN, WAL_PAGES_MAX);
        Self {
            wal_pages: u32::try_from(wal_pages).unwrap_or(u32::MAX),
            bytes: (wal_pages * PAGE_BYTES * WALS).min(disk_bytes / HEADROOM_PART),
            rejections_bytes_max: disk_bytes / LEDGER_PART,
        }
    }
}

/// Bytes of a disk that are left for us.
pub(super) fn disk_free(folder: &Path) -> io::Result<u64> {
    let figures = statvfs(folder)?;
    Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
}

/// A disk that does not tell counts as large.
fn disk_bytes(folder: &Path) -> u64 {
    statvfs(folder).map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_disks_and_small_stores_have_small_wals_and_leave_little() {
        const MIB: u64 = 1 << 20;
        let on = |disk, bytes_max| {
            let headroom = Headroom::on(disk, bytes_max);
            (u64::from(headroom.wal_pages) * PAGE_BYTES, headroom.bytes, headroom.fold_records())
        };
        assert_eq!(on(1 << 50, None), (32 * MIB, 128 * MIB, 16_384));
        assert_eq!(on(u64::MAX, None), (32 * MIB, 128 * MIB, 16_384));
        assert_eq!(on(1 << 50, Some(64 * MIB)), (2 * MIB, 8 * MIB, 1024));
        assert_eq!(on(64 * MIB, None), (2 * MIB, 8 * MIB, 1024));
        assert_eq!(on(4 * MIB, None), (MIB / 2, MIB / 2, 256));
    }
}
