//! What the journal leaves of a disk to the index, so that a store that has filled its disk can shrink again.
//!
//! Retention removes an event's rows before it removes a journal file, and what is removed goes through SQLite's WAL
//! first, and from there into the index: on a disk without a free byte it could do neither. So no new journal file is made
//! ahead where that would take this room, events are refused while it is not free, and the WAL is the smaller the
//! smaller the disk is.

use std::path::Path;

use rustix::fs::statvfs;

use super::index::PAGE_BYTES;

/// The WAL is checkpointed after so many pages, in small stores after fewer.
const WAL_PAGES_MAX: u64 = 4096;
const WAL_PAGES_MIN: u64 = 64;

/// The WAL's part of the store.
const WAL_PART: u64 = 32;
/// Room for so many WALs: one that is full, what a checkpoint adds to the index, and transactions that are larger.
const WALS: u64 = 4;
/// But of a very small disk no more than this part.
const HEADROOM_PART: u64 = 8;

/// The bounds of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headroom {
    /// After how many pages the index's WAL is checkpointed.
    pub(super) wal_pages: u32,
    /// Bytes of the disk that are left free for the index, 128 MiB at most.
    pub(super) bytes: u64,
}

// === impl Headroom ===

impl Headroom {
    /// For a store of at most `bytes_max` in this folder; a disk that does not tell its size counts as large.
    pub(super) fn of(folder: &Path, bytes_max: Option<u64>) -> Self {
        let disk = statvfs(folder).map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        Self::on(disk, bytes_max)
    }

    fn on(disk_bytes: u64, bytes_max: Option<u64>) -> Self {
        let store_bytes = bytes_max.unwrap_or(u64::MAX).min(disk_bytes);
        let wal_pages = (store_bytes / WAL_PART / PAGE_BYTES).clamp(WAL_PAGES_MIN, WAL_PAGES_MAX);
        Self {
            wal_pages: u32::try_from(wal_pages).unwrap_or(u32::MAX),
            bytes: (wal_pages * PAGE_BYTES * WALS).min(disk_bytes / HEADROOM_PART),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_disks_and_small_stores_have_small_wals_and_leave_little() {
        const MIB: u64 = 1 << 20;
        let on = |disk, bytes_max| {
            let headroom = Headroom::on(disk, bytes_max);
            (u64::from(headroom.wal_pages) * PAGE_BYTES, headroom.bytes)
        };
        assert_eq!(on(1 << 50, None), (32 * MIB, 128 * MIB));
        assert_eq!(on(u64::MAX, None), (32 * MIB, 128 * MIB));
        assert_eq!(on(1 << 50, Some(64 * MIB)), (2 * MIB, 8 * MIB));
        assert_eq!(on(64 * MIB, None), (2 * MIB, 8 * MIB));
        assert_eq!(on(4 * MIB, None), (MIB / 2, MIB / 2));
    }
}
