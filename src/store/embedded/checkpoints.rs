//! Checkpoints of the index's WAL on a thread of their own: who waits for a transaction does not wait for what others
//! have written before.
//!
//! SQLite's own checkpoint is a part of the COMMIT that makes the WAL long enough, and brings tens of megabytes into the
//! index before it lets anybody go on. Here a second connection brings most of it while transactions go on, and the writer
//! itself only the little that came meanwhile; then the WAL begins anew. It may be twice as long meanwhile, so that small
//! disks do without.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::index::{Index, IndexFault};

/// What is at most this part of a long WAL the writer brings itself.
const SMALL_PART: u32 = 16;

/// Calls the thread.
#[derive(Debug)]
pub(super) struct Bell(SyncSender<()>);

/// The thread's own; it ends when the bell is gone.
#[derive(Debug)]
pub(super) struct Checkpointer {
    path: PathBuf,
    rung: Receiver<()>,
}

/// A thread's work for the index in this file, and what calls it.
pub(super) fn beside(path: &Path) -> (Bell, Checkpointer) {
    let (bell, rung) = sync_channel(1);
    (Bell(bell), Checkpointer { path: path.to_path_buf(), rung })
}

// === impl Checkpointer ===

impl Checkpointer {
    /// Works until the bell is gone.
    pub(super) fn run(self) {
        while self.rung.recv().is_ok() {
            if let Err(error) = bring(&self.path) {
                // The writer does it, once the WAL is twice as long, and says what is wrong.
                tracing::debug!(%error, "the WAL of the index could not be brought into it");
            }
        }
    }
}

/// Brings what the WAL holds into the index, while others read and write.
fn bring(path: &Path) -> rusqlite::Result<()> {
    connect(path)?.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // The last connection to a file removes its WAL, by name: if the index is built anew meanwhile, that is another one's.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

// === impl Index ===

impl Index {
    /// From now on COMMIT leaves the WAL alone, and a thread is called when it is long.
    pub(super) fn call(&mut self, bell: Bell) -> rusqlite::Result<()> {
        self.connection.execute_batch("PRAGMA wal_autocheckpoint = 0;")?;
        self.checkpointer = Some(bell);
        Ok(())
    }

    /// Sees to it that a long WAL begins anew, with as little as possible on this thread.
    pub(super) fn shorten_wal(&self) -> Result<(), IndexFault> {
        let Some(Bell(bell)) = &self.checkpointer else { return Ok(()) };
        let (length, waiting) = self.wal_pages_now()?;
        if length < self.wal_pages {
            return Ok(());
        }
        if waiting > self.wal_pages / SMALL_PART {
            // It has been rung already where there is no room.
            let (Ok(()) | Err(_)) = bell.try_send(());
            return Ok(());
        }
        self.checkpoint()
    }

    /// How many pages the WAL has, and how many of them are not in the index yet.
    fn wal_pages_now(&self) -> rusqlite::Result<(u32, u32)> {
        self.connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
            // Both are negative where there is no WAL.
            let (length, brought): (i64, i64) = (row.get(1)?, row.get(2)?);
            let pages = |pages: i64| u32::try_from(pages).unwrap_or_default();
            Ok((pages(length), pages(length.saturating_sub(brought))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::record::Position;
    use crate::store::StoreKeys;

    const WAL_PAGES: u32 = 256;

    fn index(folder: &Path) -> Index {
        let keys = StoreKeys { mint: [1; 16], hash: [2; 16] };
        let index = Index::open(&folder.join("index.db"), &keys, Position::default(), WAL_PAGES).unwrap();
        index.connection.execute_batch("CREATE TABLE pages(bytes BLOB)").unwrap();
        index
    }

    fn write(index: &mut Index, pages: u32) {
        index
            .transact(|index| {
                for _ in 0..pages {
                    index.connection.execute("INSERT INTO pages VALUES (zeroblob(8000))", [])?;
                }
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn most_is_brought_while_a_transaction_is_open_and_the_rest_by_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = index(folder.path());
        let (bell, checkpointer) = beside(&folder.path().join("index.db"));
        index.call(bell).unwrap();
        write(&mut index, WAL_PAGES);
        let (length, waiting) = index.wal_pages_now().unwrap();
        assert!(
            length >= WAL_PAGES && waiting == length,
            "{length} {waiting}: the thread was called and does not run yet"
        );
        assert!(checkpointer.rung.try_recv().is_ok());

        index.connection.execute_batch("BEGIN IMMEDIATE; INSERT INTO pages VALUES (zeroblob(8000))").unwrap();
        bring(&checkpointer.path).unwrap();
        index.connection.execute_batch("COMMIT").unwrap();
        let (longer, waiting) = index.wal_pages_now().unwrap();
        assert!(longer > length && waiting == longer - length, "{longer} {waiting}");

        write(&mut index, 1);
        assert_eq!(index.wal_pages_now().unwrap().1, 0, "the writer has brought the rest");
        assert!(checkpointer.rung.try_recv().is_err());
        write(&mut index, 1);
        assert!(index.wal_pages_now().unwrap().0 < 10, "it has begun anew");
    }

    /// Its end takes no file away that another index has made meanwhile.
    #[test]
    fn the_thread_leaves_the_files_of_a_new_index_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.db");
        let mut old = index(folder.path());
        write(&mut old, 1);
        let connection = connect(&path).unwrap();
        connection.query_row("SELECT count(*) FROM pages", [], |_| Ok(())).unwrap();
        drop(old);
        super::super::index::remove(&path).unwrap();
        let mut new = index(folder.path());
        write(&mut new, 1);
        drop(connection);
        write(&mut new, 1);
        assert!(folder.path().join("index.db-wal").exists());
    }
}
