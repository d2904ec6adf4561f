//! The index: a SQLite file that answers questions about what the journal holds.
//!
//! It is derived: each transaction carries the position of the journal that it reaches, and a sign of damage
//! sets the file aside and builds it anew. What may still happen (the open deliveries) is guarded by a
//! checksum a row and by their number and sum in the meta row, so that not even a flipped bit can make a
//! delivery vanish.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::checkpoints::Bell;
use super::names::Names;
use super::record::Position;
use super::runs;
use super::zones::Zones;
use crate::domain::Seq;
use crate::store::StoreKeys;

/// A change that older builds cannot read raises it; the index is then built anew.
const INDEX_VERSION: i64 = 5;

/// Emptying the WAL waits so long for readers, which are short.
const READERS_WAIT: Duration = Duration::from_millis(250);

/// SQLite's `page_size`, as set below.
pub(super) const PAGE_BYTES: u64 = 8192;

const SCHEMA: &str = "
    CREATE TABLE meta(id INTEGER PRIMARY KEY, version INTEGER, store INTEGER, segment INTEGER, offset INTEGER,
        open INTEGER, open_sum INTEGER, dead INTEGER, last_seq INTEGER, damaged INTEGER, chk INTEGER);
    CREATE TABLE names(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE events(seq INTEGER PRIMARY KEY, segment INTEGER, offset INTEGER, bytes INTEGER, source INTEGER,
        type INTEGER, project INTEGER, source_event_id TEXT, body_bytes INTEGER, deliveries INTEGER, done BLOB);
    CREATE TABLE deliveries(seq INTEGER, ordinal INTEGER, target INTEGER, state INTEGER, reason INTEGER,
        attempts INTEGER, due_at INTEGER, finished_at INTEGER, expires_at INTEGER, code INTEGER, millis INTEGER,
        outcome INTEGER, last_segment INTEGER, last_offset INTEGER, last_bytes INTEGER, chk INTEGER,
        PRIMARY KEY(seq, ordinal)) WITHOUT ROWID;
    CREATE INDEX deliveries_open ON deliveries(seq, ordinal, chk) WHERE state = 0;
    CREATE INDEX deliveries_open_target ON deliveries(target, seq, ordinal) WHERE state = 0;
    CREATE INDEX deliveries_ended ON deliveries(state, seq, ordinal) WHERE state > 1;
    CREATE INDEX deliveries_ended_target ON deliveries(state, target, seq, ordinal) WHERE state > 1;
    CREATE TABLE attempts(seq INTEGER, ordinal INTEGER, number INTEGER, segment INTEGER, offset INTEGER,
        bytes INTEGER, PRIMARY KEY(seq, ordinal, number)) WITHOUT ROWID;
    CREATE TABLE zones(first INTEGER PRIMARY KEY, keys BLOB);
    CREATE TABLE zone_values(kind INTEGER, value INTEGER, zone INTEGER, holders BLOB,
        PRIMARY KEY(kind, value, zone)) WITHOUT ROWID;
    CREATE INDEX zone_values_zone ON zone_values(zone);
    CREATE TABLE counters(target INTEGER, hour INTEGER, state INTEGER, count INTEGER,
        PRIMARY KEY(target, hour, state)) WITHOUT ROWID;
    CREATE TABLE segments(segment INTEGER PRIMARY KEY, events INTEGER, first_seq INTEGER, last_seq INTEGER);
    CREATE TABLE webhooks(seq INTEGER PRIMARY KEY, segment INTEGER, offset INTEGER, bytes INTEGER);
    CREATE TABLE carried(segment INTEGER, seq INTEGER, PRIMARY KEY(segment, seq)) WITHOUT ROWID;
";

/// The tables of [`runs`].
pub(super) const RUNS_SCHEMA: &str = "
    CREATE TABLE runs(kind INTEGER, slice INTEGER, level INTEGER, run INTEGER, bits INTEGER, entries INTEGER,
        PRIMARY KEY(kind, slice, level, run)) WITHOUT ROWID;
    CREATE TABLE leaves(id INTEGER PRIMARY KEY, entries BLOB, chk INTEGER);
";

/// The writing side of the index.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) connection: Connection,
    pub(super) names: Names,
    pub(super) zones: Zones,
    /// The number of the next sorted run.
    pub(super) next_run: i64,
    /// Events of the journal that it knows.
    pub(super) events: i64,
    pub(super) meta: Meta,
    /// After so many pages the WAL is checkpointed.
    pub(super) wal_pages: u32,
    /// Who brings most of a long WAL into the index; without it the COMMIT that makes it long does.
    pub(super) checkpointer: Option<Bell>,
    wal: PathBuf,
}

/// What the index says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// Ties the index to the journal.
    store: i64,
    /// The journal is indexed up to here.
    pub(super) position: Position,
    /// Open deliveries.
    pub(super) open: i64,
    /// The sum of their checksums.
    pub(super) open_sum: i64,
    /// Dead deliveries.
    pub(super) dead: i64,
    /// The highest seq that was ever indexed.
    pub(super) last_seq: Seq,
    /// Damaged records that were stepped over.
    pub(super) damaged: i64,
}

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum IndexFault {
    /// It must be built anew.
    #[error("the index is damaged: {0}")]
    Damaged(String),
    /// It was written by another version of hookward, and must be built anew.
    #[error("the index has version {0}, this build's is {INDEX_VERSION}")]
    OtherVersion(i64),
    #[error("{0}")]
    Sql(rusqlite::Error),
    #[error("reading the journal: {0}")]
    Journal(#[from] io::Error),
}

/// A seq as SQLite's signed number, in the same order.
pub(super) fn seq_key(seq: Seq) -> i64 {
    (seq.0 ^ 1 << 63).cast_signed()
}

/// The seq behind a [`seq_key`].
pub(super) fn seq_of(key: i64) -> Seq {
    Seq(key.cast_unsigned() ^ 1 << 63)
}

/// Milliseconds and other numbers that never reach 2^63.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

// === impl Index ===

impl Index {
    /// Opens the file, or makes it new (then everything has to be indexed from `start`).
    pub(super) fn open(path: &Path, keys: &StoreKeys, start: Position, wal_pages: u32) -> Result<Self, IndexFault> {
        // An empty one was begun when there was no space for more.
        let fresh = std::fs::metadata(path).map_or(true, |file| file.len() == 0);
        // SQLite gives its other files the mode of this one.
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        drop(file);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.execute_batch(
            "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32768; PRAGMA mmap_size = 0;
             PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;",
        )?;
        let wal_bytes = u64::from(wal_pages) * PAGE_BYTES;
        connection.execute_batch(&format!(
            "PRAGMA wal_autocheckpoint = {wal_pages}; PRAGMA journal_size_limit = {wal_bytes};"
        ))?;
        connection.set_prepared_statement_cache_capacity(64);
        keep_plans(&connection)?;
        let store = i64::from(crc32fast::hash(&keys.mint)) << 31 ^ i64::from(crc32fast::hash(&keys.hash));
        if fresh {
            connection.execute_batch(&format!("BEGIN; {SCHEMA} {RUNS_SCHEMA} COMMIT;"))?;
            let meta = Meta { store, position: start, ..Meta::default() };
            meta.write(&connection)?;
        }
        let meta = Meta::read(&connection)?;
        if meta.store != store {
            return Err(IndexFault::Damaged("it belongs to another journal".into()));
        }
        let names = Names::read(&connection)?;
        let zones = Zones::read(&connection)?;
        let next_run = runs::next_run(&connection)?;
        let events = connection.query_row("SELECT ifnull(sum(events), 0) FROM segments", [], |row| row.get(0))?;
        let (checkpointer, wal) = (None, beside(path, "-wal"));
        Ok(Self { connection, names, zones, next_run, events, meta, wal_pages, checkpointer, wal })
    }

    /// Lets go of the files, so that what is removed gives its space back.
    pub(super) fn close(&mut self) -> rusqlite::Result<()> {
        self.connection = Connection::open_in_memory()?;
        Ok(())
    }

    /// Whether the open deliveries are those that the meta row counted.
    pub(super) fn verify_open(&self) -> Result<(), IndexFault> {
        let found: (i64, i64) = self.connection.query_row(
            "SELECT count(*), ifnull(sum(chk), 0) FROM deliveries INDEXED BY deliveries_open WHERE state = 0",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if found == (self.meta.open, self.meta.open_sum) {
            Ok(())
        } else {
            Err(IndexFault::Damaged("its open deliveries are not those that were counted".into()))
        }
    }

    /// Does `work` as one transaction; afterwards, or if it failed, memory says what the file says.
    pub(super) fn transact<R>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<R, IndexFault>,
    ) -> Result<R, IndexFault> {
        let meta_before = self.meta;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work(self).and_then(|done| {
            // Where nothing was changed nothing is written: a sweep looks every second.
            if self.meta != meta_before {
                self.meta.write(&self.connection)?;
            }
            self.connection.execute_batch("COMMIT")?;
            Ok(done)
        });
        if let Err(fault) = &done {
            self.meta = meta_before;
            // Where SQLite has rolled back by itself this fails, and there is nothing left to undo.
            drop(self.connection.execute_batch("ROLLBACK"));
            if fault.is_no_space() {
                // What the WAL holds may fit into the index; then its own space is free for the next transaction.
                self.empty_wal();
            }
            self.names = Names::read(&self.connection)?;
            self.zones = Zones::read(&self.connection)?;
        }
        if self.is_wal_large() {
            self.empty_wal();
        } else if let Err(error) = self.shorten_wal() {
            tracing::debug!(%error, "the WAL of the index could not be shortened");
        }
        done
    }

    /// Whether the WAL is longer than checkpoints after each `wal_pages` should leave it: a transaction was large, readers
    /// were in the way, or there is no space for what it holds.
    pub(super) fn is_wal_large(&self) -> bool {
        self.wal_bytes() > 2 * u64::from(self.wal_pages) * PAGE_BYTES
    }

    pub(super) fn wal_bytes(&self) -> u64 {
        std::fs::metadata(&self.wal).map_or(0, |file| file.len())
    }

    /// Brings what the WAL holds into the index and gives its space back, as far as readers and space allow.
    pub(super) fn empty_wal(&self) {
        let emptied = self
            .connection
            .busy_timeout(READERS_WAIT)
            .and_then(|()| self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        if let Err(error) = emptied {
            tracing::debug!(%error, "the WAL of the index could not be emptied");
        }
    }

    /// Makes everything that was committed durable and lets the WAL start anew.
    pub(super) fn checkpoint(&self) -> Result<(), IndexFault> {
        // A busy reader only makes the checkpoint partial; the next one gets further.
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }
}

/// Opens the file for reading.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch("PRAGMA cache_size = -4096; PRAGMA mmap_size = 0; PRAGMA query_only = ON;")?;
    connection.busy_timeout(Duration::from_secs(2))?;
    keep_plans(&connection)?;
    Ok(connection)
}

/// Lets a prepared statement keep its plan: the bundled SQLite is built with STAT4 and would otherwise parse and
/// plan a statement anew each time that other values are bound to it, which was a third of the indexer's time.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(|_on| ())
}

/// Moves a damaged index out of the way.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    let damaged = beside(path, ".damaged");
    remove_wal(path)?;
    if_there(std::fs::rename(path, damaged))
}

/// Removes an index that another version wrote: nothing is wrong with it, but it is of no use.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    remove_wal(path)?;
    if_there(std::fs::remove_file(path))
}

/// Removes what was set aside; whether there was any.
pub(super) fn remove_set_aside(path: &Path) -> bool {
    std::fs::remove_file(beside(path, ".damaged")).is_ok()
}

fn remove_wal(path: &Path) -> io::Result<()> {
    ["-wal", "-shm"].into_iter().try_for_each(|suffix| if_there(std::fs::remove_file(beside(path, suffix))))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn if_there(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

// === impl Meta ===

impl Meta {
    fn read(connection: &Connection) -> Result<Self, IndexFault> {
        let row = connection
            .query_row(
                "SELECT version, store, segment, offset, open, open_sum, dead, last_seq, damaged, chk FROM meta WHERE id = 1",
                [],
                |row| {
                    let mut values = [0_i64; 10];
                    for (at, value) in values.iter_mut().enumerate() {
                        *value = row.get(at)?;
                    }
                    Ok(values)
                },
            )
            .optional()?;
        let Some([version, store, segment, offset, open, open_sum, dead, last_seq, damaged, chk]) = row else {
            return Err(IndexFault::Damaged("its meta row is missing".into()));
        };
        if version != INDEX_VERSION {
            return Err(IndexFault::OtherVersion(version));
        }
        let position = Position {
            segment: u32::try_from(segment).unwrap_or_default(),
            offset: u32::try_from(offset).unwrap_or_default(),
        };
        let meta = Self { store, position, open, open_sum, dead, last_seq: seq_of(last_seq), damaged };
        if meta.checksum() == chk { Ok(meta) } else { Err(IndexFault::Damaged("its meta row".into())) }
    }

    /// Replaces the meta row; part of every transaction that changes what it says.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
            .execute(params![
            INDEX_VERSION,
            self.store,
            self.position.segment,
            self.position.offset,
            self.open,
            self.open_sum,
            self.dead,
            seq_key(self.last_seq),
            self.damaged,
            self.checksum()
        ])?;
        Ok(())
    }

    fn checksum(&self) -> i64 {
        let mut hasher = crc32fast::Hasher::new();
        let position = [i64::from(self.position.segment), i64::from(self.position.offset)];
        let rest = [self.store, self.open, self.open_sum, self.dead, seq_key(self.last_seq), self.damaged];
        for value in position.into_iter().chain(rest) {
            hasher.update(&value.to_le_bytes());
        }
        i64::from(hasher.finalize())
    }
}

// === impl IndexFault ===

impl From<rusqlite::Error> for IndexFault {
    fn from(error: rusqlite::Error) -> Self {
        let damaged = match &error {
            rusqlite::Error::SqliteFailure(code, message) => {
                let schema =
                    message.as_deref().is_some_and(|text| text.contains("no such") || text.contains("malformed"));
                matches!(
                    code.code,
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation
                ) || schema
            }
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::SqlInputError { .. }
            // A name or a count that must be there.
            | rusqlite::Error::QueryReturnedNoRows => true,
            _ => false,
        };
        if damaged { Self::Damaged(error.to_string()) } else { Self::Sql(error) }
    }
}

impl IndexFault {
    /// Whether the disk or the system is at fault, so that building the index anew would not help.
    pub(super) fn is_environment(&self) -> bool {
        match self {
            Self::Sql(rusqlite::Error::SqliteFailure(code, _)) => matches!(
                code.code,
                ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::PermissionDenied
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OutOfMemory
            ),
            Self::Journal(_) => true,
            _ => false,
        }
    }

    /// Whether only space is missing: the index goes on by itself when there is some again.
    pub(super) fn is_no_space(&self) -> bool {
        match self {
            Self::Sql(rusqlite::Error::SqliteFailure(code, _)) => {
                // The file that connections share beside the WAL.
                code.code == ErrorCode::DiskFull || code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
            }
            Self::Journal(error) => super::writer::is_no_space(error),
            _ => false,
        }
    }
}
