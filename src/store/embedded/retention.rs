//! Retention: the oldest segment goes when everything in it is over and old enough, or the store is too large.
//!
//! Oldest first, always: a segment holds outcomes of events of the segments before it, so none may go while
//! an older one stays. What is open is never forgotten: the open events of a segment that is due are
//! [carried](super::carry) to the end of the journal first, and nothing goes while the index does not know all of it.
//!
//! The rows go before the file. Where the disk has no space even for removing rows, the file goes first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::Embedded;
use super::decode;
use super::dedup::bucket_of;
use super::encode;
use super::index::{Index, IndexFault, number, seq_of};
use super::keeper::store_bytes;
use super::record::{Mark, Position, Record};
use super::rows;
use super::runs::{self, Kind};
use super::scan::{Found, Scanner};
use super::segment::HEADER_BYTES;
use super::totals::{HOURS_KEPT, add_up_hours, hour_of};
use crate::domain::{Seq, Timestamp};
use crate::store::{Retention, StoreError, Swept};

/// Rows that one step removes.
const STEP_EVENTS: i64 = 1000;
const STEP_MARKS: u64 = 50_000;
/// The newest segment is closed early when its first event is older than this part of the retention.
const ROLL_PART: u32 = 8;

/// Where the sweep stands.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    /// The segment whose rows are being removed.
    going: Option<u32>,
    /// The oldest segment was looked at and does not go before this time.
    not_before: Option<(u32, Timestamp)>,
    /// In this hour the counters were added up last.
    added_up: u64,
}

/// What the index knows of a segment.
#[derive(Clone, Copy, Debug)]
struct Contents {
    events: i64,
    /// Events with an open delivery.
    open: i64,
    /// When the last delivery ended, or the last event came.
    ended_at: Timestamp,
    /// Whether most of the store is open: carrying it around would give nothing back.
    mostly_open: bool,
}

// === impl Embedded ===

impl Embedded {
    pub(super) async fn sweep_step(&self, retention: Retention) -> Result<Swept, StoreError> {
        let mut sweeper = self.sweeper.lock().await;
        let now = self.clock.now();
        // First what gives most, and what fails in one does not keep the others from going.
        let segments = self.sweep_segments(&mut sweeper, retention, now).await;
        let others = self.sweep_others(&mut sweeper, retention, now).await;
        match (segments, others) {
            (Ok(segments), Ok(others)) => Ok(Swept {
                events: segments.events,
                bytes: segments.bytes,
                rejections: others.rejections,
                more: segments.more || others.more,
            }),
            // A step that gave something back is followed by the next one at once.
            (Ok(swept), Err(error)) | (Err(error), Ok(swept)) if swept.more => {
                tracing::warn!(%error, "a part of retention failed");
                Ok(swept)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Rejections, marks and counters.
    async fn sweep_others(
        &self,
        sweeper: &mut Sweeper,
        retention: Retention,
        now: Timestamp,
    ) -> Result<Swept, StoreError> {
        let ledger = Arc::clone(&self.ledger);
        let rejections =
            tokio::task::spawn_blocking(move || ledger.sweep(now.minus(retention.rejections))).await.map_err(engine)?;
        let (rejections, more) = rejections.map_err(engine)?;
        let more = self.sweep_marks(now).await? || more;
        self.sweep_counters(sweeper, now).await?;
        Ok(Swept { rejections, more, ..Swept::default() })
    }

    async fn sweep_segments(
        &self,
        sweeper: &mut Sweeper,
        retention: Retention,
        now: Timestamp,
    ) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        let Some(oldest) = self.segments.numbers().first().copied() else { return Ok(swept) };
        if let Some(gone) = self.readers.read(move |connection| left_behind(connection, oldest)).await? {
            match self.try_write(move |index| remove_rows(index, gone)).await? {
                Ok(0) => self.write(move |index| forget_segment(index, gone)).await?,
                Ok(events) => swept.events = events,
                // Then the next file goes before its rows too.
                Err(fault) if fault.is_no_space() => {}
                Err(fault) => return Err(engine(fault)),
            }
            swept.more = true;
        }
        if sweeper.going != Some(oldest) && !self.is_due(sweeper, oldest, retention, now).await? {
            return Ok(swept);
        }
        let _edit = self.edits.lock().await;
        // At each step: between two of them something may have been started again.
        if !self.carry_open(oldest).await? {
            return Ok(swept);
        }
        sweeper.going = Some(oldest);
        let removed = self.try_write(move |index| remove_rows(index, oldest)).await?;
        let rows_are_gone = match removed {
            Ok(events) => {
                swept.events += events;
                swept.more = true;
                if events > 0 {
                    return Ok(swept);
                }
                true
            }
            Err(fault) if fault.is_no_space() => false,
            Err(fault) => return Err(engine(fault)),
        };
        swept.bytes = self.remove_segment(oldest, rows_are_gone, now).await?;
        swept.more = true;
        sweeper.going = None;
        Ok(swept)
    }

    /// Removes a segment in which nothing is open; gives back the bytes that it had. The caller holds `edits`.
    async fn remove_segment(&self, oldest: u32, rows_are_gone: bool, now: Timestamp) -> Result<u64, StoreError> {
        self.keep_marks(oldest, now).await?;
        self.carry_webhooks(oldest).await?;
        if rows_are_gone {
            match self.try_write(move |index| forget_segment(index, oldest)).await? {
                Err(fault) if !fault.is_no_space() => return Err(engine(fault)),
                _ => {}
            }
        } else {
            tracing::info!(segment = oldest, "no space to remove rows: the journal file goes first");
        }
        let segments = Arc::clone(&self.segments);
        let removed = tokio::task::spawn_blocking(move || segments.remove(oldest)).await.map_err(engine)?;
        self.bell.ring();
        removed.map_err(engine)
    }

    /// Whether a segment may go now.
    async fn is_due(
        &self,
        sweeper: &mut Sweeper,
        oldest: u32,
        retention: Retention,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let folder = self.segments.folder().to_path_buf();
        let bytes = tokio::task::spawn_blocking(move || store_bytes(&folder)).await.map_err(engine)?;
        self.bell.bytes.store(bytes, Ordering::Relaxed);
        // Begun before the bound is reached, so that admission need not be refused meanwhile.
        let too_large = retention.bytes_max.is_some_and(|max| bytes > max - max / 16);
        let waits = sweeper.not_before.is_some_and(|(segment, at)| segment == oldest && at > now);
        if waits && !too_large {
            return Ok(false);
        }
        // What the index does not hold yet may be open.
        if !self.flush_index().await {
            return Ok(false);
        }
        if oldest >= self.journal.durable().segment {
            let first = self.readers.read(move |connection| first_of(connection, oldest)).await?;
            if first.is_some_and(|first| too_large || is_old(first.time(), retention.events / ROLL_PART, now)) {
                self.journal.request_roll();
                self.flush_index().await;
                self.bell.ring();
            }
            return Ok(false);
        }
        let contents = self.readers.read(move |connection| contents(connection, oldest)).await?;
        let Some(contents) = contents else { return Ok(true) };
        let many_open = contents.open * 4 > contents.events;
        if many_open && contents.mostly_open {
            return Ok(false);
        }
        if too_large && (contents.open < contents.events || !contents.mostly_open) {
            return Ok(true);
        }
        let due_at = contents.ended_at.plus(retention.events);
        if due_at > now {
            sweeper.not_before = Some((oldest, due_at));
        }
        Ok(due_at <= now)
    }

    /// Once an hour: adds up the hours that nobody looks at one by one any more.
    async fn sweep_counters(&self, sweeper: &mut Sweeper, now: Timestamp) -> Result<(), StoreError> {
        let hour = hour_of(now);
        if sweeper.added_up == hour {
            return Ok(());
        }
        let oldest = hour.saturating_sub(HOURS_KEPT);
        self.write(move |index| add_up_hours(index, oldest)).await?;
        let ledger = Arc::clone(&self.ledger);
        tokio::task::spawn_blocking(move || ledger.add_up_hours(oldest)).await.map_err(engine)?.map_err(engine)?;
        sweeper.added_up = hour;
        Ok(())
    }

    /// Removes marks that are older than any window.
    async fn sweep_marks(&self, now: Timestamp) -> Result<bool, StoreError> {
        let oldest = bucket_of(now.minus(self.dedup_window_max));
        self.dedup.forget_below(oldest);
        let removed = self.write(move |index| {
            index.transact(|index| runs::forget_below(&index.connection, Kind::Marks, number(oldest), STEP_MARKS))
        });
        Ok(removed.await? >= STEP_MARKS)
    }

    /// Marks outlive their events for the rest of their window: they are written anew.
    async fn keep_marks(&self, segment: u32, now: Timestamp) -> Result<(), StoreError> {
        let segments = Arc::clone(&self.segments);
        let oldest = now.minus(self.dedup_window_max);
        let scanning = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<Mark>> {
            let start = Position { segment, offset: HEADER_BYTES };
            let mut scanner = Scanner::new(segments, start);
            let limit = Position { segment: segment.saturating_add(1), offset: 0 };
            let mut marks = Vec::new();
            loop {
                match scanner.next(Some(limit))? {
                    Found::Record { payload, .. } => match decode::record(&payload) {
                        Some(Record::Admit(head)) => {
                            marks.extend(head.dedup.map(|mark| Mark { key: mark.key, seq: head.seq }));
                        }
                        Some(Record::Marks(old)) => marks.extend(old),
                        _ => {}
                    },
                    Found::Damage { .. } => {}
                    Found::End => break,
                }
            }
            marks.retain(|mark| mark.seq.time() > oldest);
            Ok(marks)
        });
        let marks = scanning.await.map_err(engine)?.map_err(engine)?;
        for some in marks.chunks(4096) {
            self.journal.keep(encode::marks(some)).await.map_err(engine)?;
        }
        Ok(())
    }

    /// Works on the index between two transactions of the indexer.
    async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Index) -> Result<R, IndexFault> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.try_write(work).await?.map_err(engine)
    }

    /// The same for whoever asks why it failed.
    async fn try_write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Index) -> Result<R, IndexFault> + Send + 'static,
    ) -> Result<Result<R, IndexFault>, StoreError> {
        self.progress.run(work).await.ok_or_else(|| StoreError::Engine("it is closing".into()))
    }
}

fn is_old(since: Timestamp, age: Duration, now: Timestamp) -> bool {
    now.since(since) >= age
}

fn engine(error: impl std::fmt::Display) -> StoreError {
    StoreError::Engine(error.to_string().into())
}

/// The first of a segment's own events; the last possible where it only has carried ones, `None` where it has none.
fn first_of(connection: &Connection, segment: u32) -> Result<Option<Seq>, IndexFault> {
    let first = connection
        .prepare_cached(
            "SELECT first_seq FROM segments WHERE segment = ?1
             UNION ALL SELECT ?2 FROM carried WHERE segment = ?1 LIMIT 1",
        )?
        .query_row(params![segment, i64::MAX], |row| row.get(0))
        .optional()?;
    Ok(first.map(seq_of))
}

/// A segment whose file went before its rows, where there is one.
fn left_behind(connection: &Connection, oldest: u32) -> Result<Option<u32>, IndexFault> {
    let mut statement = connection.prepare_cached(
        "SELECT segment FROM segments WHERE segment < ?1 UNION ALL SELECT segment FROM carried WHERE segment < ?1 LIMIT 1",
    )?;
    Ok(statement.query_row([oldest], |row| row.get(0)).optional()?)
}

/// `None` for a segment without events.
fn contents(connection: &Connection, segment: u32) -> Result<Option<Contents>, IndexFault> {
    let row = connection
        .prepare_cached("SELECT events, first_seq, last_seq FROM segments WHERE segment = ?1")?
        .query_row([segment], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        .optional()?;
    let carried: i64 = connection
        .prepare_cached("SELECT count(*) FROM carried WHERE segment = ?1")?
        .query_row([segment], |row| row.get(0))?;
    if row.is_none() && carried == 0 {
        return Ok(None);
    }
    let (own, first, last) = row.unwrap_or((0, i64::MAX, i64::MIN));
    // Its own, and those that were carried into it.
    let open: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM (
             SELECT d.seq FROM deliveries d INDEXED BY deliveries_open CROSS JOIN events e
             WHERE d.state = 0 AND d.seq BETWEEN ?1 AND ?2 AND e.seq = d.seq AND e.segment = ?3
             UNION SELECT c.seq FROM carried c CROSS JOIN events e CROSS JOIN deliveries d
             WHERE c.segment = ?3 AND e.seq = c.seq AND e.segment = ?3 AND d.seq = c.seq AND d.state = 0)",
        )?
        .query_row(params![first, last, segment], |row| row.get(0))?;
    let ended = ended_at(connection, first, last, segment)?;
    let (all, all_open): (i64, i64) = connection
        .prepare_cached("SELECT (SELECT ifnull(sum(events), 0) FROM segments), (SELECT open FROM meta WHERE id = 1)")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let newest = if own > 0 { seq_of(last).time() } else { Timestamp(0) };
    Ok(Some(Contents { events: own + carried, open, ended_at: newest.max(ended), mostly_open: all_open * 2 > all }))
}

/// When the last delivery of a segment's events ended.
fn ended_at(connection: &Connection, first: i64, last: i64, segment: u32) -> Result<Timestamp, IndexFault> {
    let mut statement = connection.prepare_cached(
        "SELECT e.seq, e.segment, e.offset, e.bytes, e.done,
         (SELECT max(d.finished_at) FROM deliveries d WHERE d.seq = e.seq) FROM (
             SELECT seq FROM events WHERE seq BETWEEN ?1 AND ?2 UNION ALL SELECT seq FROM carried WHERE segment = ?3
         ) i CROSS JOIN events e WHERE e.seq = i.seq AND e.segment = ?3",
    )?;
    let mut found = statement.query(params![first, last, segment])?;
    let mut ended = 0;
    while let Some(row) = found.next()? {
        let packed = rows::done(row, 4, seq_of(row.get(0)?), rows::place(row, 1)?)?;
        let own: Option<i64> = row.get(5)?;
        let packed = packed.iter().map(|packed| packed.finished_at);
        ended = packed.chain(own.map(i64::cast_unsigned)).fold(ended, u64::max);
    }
    Ok(Timestamp(ended))
}

/// Removes a step's worth of the rows of a segment's events.
fn remove_rows(index: &mut Index, segment: u32) -> Result<u64, IndexFault> {
    index.transact(|index| remove_step(index, segment))
}

fn remove_step(index: &mut Index, segment: u32) -> Result<u64, IndexFault> {
    let Index { connection, zones, meta, .. } = index;
    let mut statement = connection.prepare_cached(
        "SELECT e.seq FROM events e, segments s
         WHERE s.segment = ?1 AND e.seq BETWEEN s.first_seq AND s.last_seq AND e.segment = ?1
         UNION ALL SELECT e.seq FROM carried c JOIN events e ON e.seq = c.seq
         WHERE c.segment = ?1 AND e.segment = ?1 LIMIT ?2",
    )?;
    let found = statement
        .query_map(params![segment, STEP_EVENTS], |row| row.get::<_, i64>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut dead = connection.prepare_cached("SELECT count(*) FROM deliveries WHERE seq = ?1 AND state = 2")?;
    let mut removals = Vec::new();
    for sql in [
        "DELETE FROM deliveries WHERE seq = ?1",
        "DELETE FROM attempts WHERE seq = ?1",
        "DELETE FROM events WHERE seq = ?1",
    ] {
        removals.push(connection.prepare_cached(sql)?);
    }
    for seq in &found {
        meta.dead -= dead.query_row([seq], |row| row.get::<_, i64>(0))?;
        for removal in &mut removals {
            removal.execute([seq])?;
        }
    }
    zones.forget(connection, &found)?;
    Ok(found.len() as u64)
}

/// The last of a segment in the index; afterwards everything that was removed is durable.
fn forget_segment(index: &mut Index, segment: u32) -> Result<(), IndexFault> {
    let connection = &index.connection;
    let events: Option<i64> = connection
        .query_row("DELETE FROM segments WHERE segment = ?1 RETURNING events", [segment], |row| row.get(0))
        .optional()?;
    index.events -= events.unwrap_or_default();
    connection.execute("DELETE FROM carried WHERE segment = ?1", [segment])?;
    // Oldest first: no older segment has look-ups left.
    runs::forget_below(connection, Kind::Lookups, i64::from(segment) + 1, u64::MAX)?;
    // Each of these pages goes through the WAL.
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({})", index.wal_pages / 2))?;
    index.checkpoint()
}
