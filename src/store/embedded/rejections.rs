//! The ledger of rejections: a bounded table of its own, written now and then from a bounded queue.
//!
//! Strangers decide how much is rejected, so nothing here ever waits or grows: what is too much is dropped
//! and counted, and the oldest entries go when the ledger is full. Beside the entries stand counts by source, hour
//! and reason, which no bound takes away; copies of events, and requests that an app answered, which leave no record either,
//! are counted with them.

use std::collections::{HashMap, VecDeque};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::headroom::disk_free;
use super::index::{self, IndexFault, number, seq_key, seq_of};
use super::totals::hour_of;
use crate::domain::{IdMint, Reason, Seq, Timestamp};
use crate::store::{Page, PageRequest, RejectedRequest, RejectionFilter, RejectionRow};
use crate::telemetry::StoreMetrics;

/// Entries that wait to be written.
const QUEUE_ENTRIES_MAX: usize = 2048;
const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What an entry takes beside its text and body, roughly.
const ENTRY_BYTES: usize = 200;
/// Entries that one step of retention removes at most.
const SWEEP_ROWS: usize = 1000;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS rejections(seq INTEGER PRIMARY KEY, source TEXT, reason TEXT,
    detail TEXT, client TEXT, request_line TEXT, headers TEXT, body BLOB, bytes INTEGER);
    CREATE INDEX IF NOT EXISTS rejections_source ON rejections(source);
    CREATE INDEX IF NOT EXISTS rejections_reason ON rejections(reason);
    CREATE TABLE IF NOT EXISTS counters(source TEXT, hour INTEGER, reason TEXT, count INTEGER,
        PRIMARY KEY(source, hour, reason)) WITHOUT ROWID;";

/// What stands for a reason where an event was a copy, and where an app answered.
const COPY: &str = "duplicate";
const BY_APP: &str = "passed_on";

/// The ledger.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    bytes_max: u64,
    metrics: StoreMetrics,
    queue: Mutex<Queue>,
    table: Mutex<Option<Table>>,
    /// Bytes of the disk that are not the ledger's to take.
    kept_free: AtomicU64,
    /// It was said that entries cannot be written.
    is_failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<(Seq, RejectedRequest)>,
    bytes: usize,
    counts: Counts,
}

/// By source and hour since 1970.
type Counts = HashMap<(Arc<str>, u64, Answered), u64>;

/// How a request was answered of which nothing is kept but its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answered {
    Refused(Reason),
    /// It was a copy of an event that is, or was, held.
    AsCopy,
    ByApp,
}

/// How often a source was answered so.
#[derive(Debug)]
pub(super) struct AnswerCount {
    pub(super) source: Box<str>,
    pub(super) answered: Answered,
    pub(super) count: u64,
}

#[derive(Debug)]
struct Table {
    connection: Connection,
    bytes: u64,
}

// === impl Ledger ===

impl Ledger {
    /// Opens the ledger; one that is damaged is set aside.
    pub(super) fn open(path: PathBuf, bytes_max: u64, metrics: StoreMetrics) -> (Self, Seq) {
        let table = Table::open(&path).or_else(|error| {
            // Nothing is wrong with the file: it is opened when it can be.
            if error.is_environment() {
                return Err(error);
            }
            tracing::error!(%error, "the ledger of rejections is damaged, set aside");
            index::set_aside(&path).map_err(IndexFault::from)?;
            Table::open(&path)
        });
        let table = table.inspect_err(|error| tracing::error!(%error, "there is no ledger of rejections")).ok();
        let last = table.as_ref().map_or(Seq(0), Table::last_seq);
        let ledger = Self {
            path,
            bytes_max,
            metrics,
            queue: Mutex::default(),
            table: Mutex::new(table),
            kept_free: AtomicU64::default(),
            is_failing: AtomicBool::default(),
        };
        (ledger, last)
    }

    /// Queues an entry, or drops and counts it; its reason is counted either way.
    pub(super) fn note(&self, seq: Seq, request: RejectedRequest) {
        let bytes = weight(&request);
        let mut queue = lock(&self.queue);
        if let Some(source) = &request.source {
            let counted = (Arc::clone(source), hour_of(request.at), Answered::Refused(request.rejection.reason));
            *queue.counts.entry(counted).or_default() += 1;
        }
        if queue.entries.len() >= QUEUE_ENTRIES_MAX || queue.bytes + bytes > QUEUE_BYTES_MAX {
            drop(queue);
            self.metrics.rejections_dropped.inc();
            return;
        }
        queue.bytes += bytes;
        queue.entries.push_back((seq, request));
    }

    /// Counts a copy of an event that is held already.
    pub(super) fn count_copy(&self, source: &Arc<str>, now: Timestamp) {
        self.count(source, Answered::AsCopy, 1, now);
    }

    /// Counts requests of which nothing else is kept.
    pub(super) fn count(&self, source: &Arc<str>, answered: Answered, count: u64, now: Timestamp) {
        *lock(&self.queue).counts.entry((Arc::clone(source), hour_of(now), answered)).or_default() += count;
    }

    /// While no more of the disk is free than this, nothing is written.
    pub(super) fn keep_free(&self, bytes: u64) {
        self.kept_free.store(bytes, Ordering::Relaxed);
    }

    /// Asked before each write: many may be refused within a second.
    fn is_starved(&self, queued: &Queue) -> bool {
        let kept_free = self.kept_free.load(Ordering::Relaxed);
        // Each goes through the WAL into the file.
        let wanted = kept_free.saturating_add(2 * queued.bytes as u64);
        self.path.parent().is_some_and(|folder| disk_free(folder).is_ok_and(|free| free < wanted))
    }

    /// Writes what is queued; entries that cannot be written are dropped and counted, counts wait for the next time.
    pub(super) fn write_out(&self) {
        let mut table = lock(&self.table);
        let queued = std::mem::take(&mut *lock(&self.queue));
        if queued.entries.is_empty() && queued.counts.is_empty() {
            return;
        }
        if self.is_starved(&queued) {
            return self.could_not_write(queued, &"the disk is full");
        }
        if table.is_none() {
            *table = Table::open(&self.path).ok();
        }
        let Some(open) = table.as_mut() else { return self.could_not_write(queued, &"there is no ledger") };
        match open.write(&queued, self.bytes_max) {
            Ok(()) => self.is_failing.store(false, Ordering::Relaxed),
            Err(error) => {
                self.could_not_write(queued, &error);
                if let IndexFault::Damaged(_) = error {
                    *table = None;
                    drop(index::set_aside(&self.path));
                    *table = Table::open(&self.path).ok();
                }
            }
        }
    }

    /// Entries are dropped; counts wait for the next time, their hour forgotten so that they stay few.
    fn could_not_write(&self, queued: Queue, error: &dyn std::fmt::Display) {
        // Once, not as often as somebody is refused: the log may be on the same disk.
        if !queued.entries.is_empty() && !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "rejections cannot be noted now");
        }
        self.metrics.rejections_dropped.inc_by(queued.entries.len() as u64);
        let mut queue = lock(&self.queue);
        for ((source, _, answered), count) in queued.counts {
            *queue.counts.entry((source, 0, answered)).or_default() += count;
        }
    }

    /// Newest first.
    pub(super) fn list(
        &self,
        filter: &RejectionFilter,
        page: PageRequest,
        mint: &IdMint,
    ) -> Result<Page<RejectionRow>, IndexFault> {
        self.write_out();
        let table = lock(&self.table);
        let Some(table) = table.as_ref() else {
            return Ok(Page { rows: Vec::new(), has_more: false, stopped_at: None });
        };
        let mut sql = String::from(
            "SELECT seq, source, reason, detail, client, request_line, headers, body FROM rejections WHERE 1",
        );
        let mut values: Vec<Value> = Vec::new();
        let mut and = |condition: &str, value: Value| {
            sql.push_str(condition);
            values.push(value);
        };
        if let Some(source) = &filter.source {
            and(" AND source = ?", Value::Text(source.to_string()));
        }
        if let Some(reason) = filter.reason {
            and(" AND reason = ?", Value::Text(reason.code().into()));
        }
        if let Some(at) = filter.created_gte {
            and(" AND seq >= ?", Value::Integer(seq_key(Seq::first_at(at))));
        }
        if let Some(at) = filter.created_lte {
            and(" AND seq < ?", Value::Integer(seq_key(Seq::first_at(Timestamp(at.0 + 1)))));
        }
        if let Some((seq, _)) = page.after {
            and(" AND seq < ?", Value::Integer(seq_key(seq)));
        }
        let limit = page.limit.clamp(1, crate::store::query::PAGE_ROWS_MAX);
        and(" ORDER BY seq DESC LIMIT ?", Value::Integer(number(limit as u64 + 1)));
        let mut statement = table.connection.prepare_cached(&sql)?;
        let mut found = statement.query(params_from_iter(values))?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            rows.push(entry(row, mint)?);
        }
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Ok(Page { rows, has_more, stopped_at: None })
    }

    /// How often each source was answered how.
    pub(super) fn counts(&self) -> Result<Vec<AnswerCount>, IndexFault> {
        self.write_out();
        let table = lock(&self.table);
        let Some(table) = table.as_ref() else { return Ok(Vec::new()) };
        let mut statement =
            table.connection.prepare_cached("SELECT source, reason, sum(count) FROM counters GROUP BY 1, 2")?;
        let rows = statement.query_map([], |row| {
            let code: String = row.get(1)?;
            let (source, count): (String, i64) = (row.get(0)?, row.get(2)?);
            Ok(AnswerCount { source: source.into(), answered: Answered::of(&code), count: count.cast_unsigned() })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Adds up the hours before `oldest`, so that the table does not grow with the years.
    pub(super) fn add_up_hours(&self, oldest: u64) -> Result<(), IndexFault> {
        let mut table = lock(&self.table);
        let Some(table) = table.as_mut() else { return Ok(()) };
        let transaction = table.connection.transaction()?;
        transaction.execute(
            "INSERT INTO counters SELECT source, 0, reason, sum(count) FROM counters
             WHERE hour > 0 AND hour < ?1 GROUP BY 1, 3 ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [number(oldest)],
        )?;
        transaction.execute("DELETE FROM counters WHERE hour > 0 AND hour < ?1", [number(oldest)])?;
        Ok(transaction.commit()?)
    }

    /// Removes a step's worth of entries from before `oldest`: how many, and whether there are more.
    pub(super) fn sweep(&self, oldest: Timestamp) -> Result<(u64, bool), IndexFault> {
        let mut table = lock(&self.table);
        let Some(table) = table.as_mut() else { return Ok((0, false)) };
        let removed = table.connection.execute(
            "DELETE FROM rejections WHERE seq IN (SELECT seq FROM rejections WHERE seq < ?1 ORDER BY seq LIMIT ?2)",
            [seq_key(Seq::first_at(oldest)), number(SWEEP_ROWS as u64)],
        )?;
        if removed > 0 {
            table.bytes = table.count_bytes()?;
            // Or a ledger that has filled the disk, into which nothing is written any more, would stay as it is.
            table.connection.execute_batch("PRAGMA incremental_vacuum(256)")?;
        }
        Ok((removed as u64, removed == SWEEP_ROWS))
    }
}

// === impl Answered ===

impl Answered {
    fn code(self) -> &'static str {
        match self {
            Self::Refused(reason) => reason.code(),
            Self::AsCopy => COPY,
            Self::ByApp => BY_APP,
        }
    }

    fn of(code: &str) -> Self {
        match code {
            COPY => Self::AsCopy,
            BY_APP => Self::ByApp,
            _ => Self::Refused(reason_of(code)),
        }
    }
}

// === impl Table ===

impl Table {
    fn open(path: &Path) -> Result<Self, IndexFault> {
        drop(OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?);
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             PRAGMA cache_size = -2048; PRAGMA journal_size_limit = 4194304; PRAGMA wal_autocheckpoint = 256;",
        )?;
        connection.execute_batch(SCHEMA)?;
        let mut table = Self { connection, bytes: 0 };
        table.bytes = table.count_bytes()?;
        Ok(table)
    }

    fn last_seq(&self) -> Seq {
        let last = self.connection.query_row("SELECT max(seq) FROM rejections", [], |row| row.get::<_, Option<i64>>(0));
        last.ok().flatten().map_or(Seq(0), seq_of)
    }

    fn count_bytes(&self) -> Result<u64, IndexFault> {
        let bytes: i64 =
            self.connection.query_row("SELECT ifnull(sum(bytes), 0) FROM rejections", [], |row| row.get(0))?;
        Ok(bytes.cast_unsigned())
    }

    fn write(&mut self, queued: &Queue, bytes_max: u64) -> Result<(), IndexFault> {
        let transaction = self.connection.transaction()?;
        let mut bytes = self.bytes;
        for ((source, hour, answered), count) in &queued.counts {
            transaction
                .prepare_cached(
                    "INSERT INTO counters VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET count = count + excluded.count",
                )?
                .execute(rusqlite::params![source, number(*hour), answered.code(), number(*count)])?;
        }
        for (seq, request) in &queued.entries {
            let weight = weight(request) as u64;
            bytes += weight;
            let client = request.client.map(|client| client.to_string());
            transaction
                .prepare_cached("INSERT OR REPLACE INTO rejections VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
                .execute(rusqlite::params![
                    seq_key(*seq),
                    request.source.as_deref(),
                    request.rejection.reason.code(),
                    &*request.rejection.detail,
                    client,
                    &*request.request_line,
                    &*request.headers,
                    request.body.as_ref(),
                    number(weight)
                ])?;
        }
        while bytes > bytes_max {
            let oldest = transaction.query_row("SELECT seq, bytes FROM rejections ORDER BY seq LIMIT 1", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            });
            let Ok((seq, its_bytes)) = oldest else { break };
            transaction.execute("DELETE FROM rejections WHERE seq = ?1", [seq])?;
            bytes = bytes.saturating_sub(its_bytes.cast_unsigned());
        }
        transaction.commit()?;
        self.bytes = bytes;
        self.connection.execute_batch("PRAGMA incremental_vacuum(256)")?;
        Ok(())
    }
}

fn entry(row: &Row<'_>, mint: &IdMint) -> Result<RejectionRow, IndexFault> {
    let seq = seq_of(row.get(0)?);
    let reason = reason_of(&row.get::<_, String>(2)?);
    let boxed = |text: Option<String>| text.map(String::into_boxed_str);
    Ok(RejectionRow {
        id: mint.rejection(seq),
        source: boxed(row.get(1)?),
        reason,
        detail: row.get::<_, String>(3)?.into(),
        at: seq.time(),
        client: boxed(row.get(4)?),
        request_line: row.get::<_, String>(5)?.into(),
        headers: row.get::<_, String>(6)?.into(),
        body: Bytes::from(row.get::<_, Vec<u8>>(7)?),
    })
}

fn reason_of(code: &str) -> Reason {
    Reason::ALL.iter().copied().find(|reason| reason.code() == code).unwrap_or(Reason::Internal)
}

fn weight(request: &RejectedRequest) -> usize {
    ENTRY_BYTES
        + request.request_line.len()
        + request.headers.len()
        + request.body.len()
        + request.rejection.detail.len()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
