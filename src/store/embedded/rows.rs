//! Rows of the index: reading one delivery, and writing what a fold gathered in one transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::dedup::bucket_of;
use super::fold::Fold;
use super::index::{Index, IndexFault, number, seq_key};
use super::key::{Key, mix};
use super::record::{DeliveryRecord, Place, Position, Progress};
use super::{decode, encode};
use crate::domain::{PlannedDelivery, Seq, Timestamp};

/// A delivery's row.
#[derive(Clone, Debug)]
pub(super) struct DeliveryRecordRow {
    pub(super) target: Arc<str>,
    pub(super) progress: Progress,
    pub(super) expires_at: Option<Timestamp>,
    /// Where its event lies.
    pub(super) event: Place,
    /// Where its last attempt lies.
    pub(super) last: Option<Place>,
    /// What the table holds of it: whether it is open or dead there, and its checksum.
    pub(super) stored: Option<Stored>,
}

/// What of a row counts in the meta row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) open: bool,
    pub(super) dead: bool,
    pub(super) checksum: i64,
}

/// The columns that [`delivery`] reads, of `deliveries d JOIN events e`.
pub(super) const DELIVERY_COLUMNS: &str = "d.target, d.state, d.reason, d.attempts, d.due_at, d.finished_at, \
     d.expires_at, d.code, d.millis, d.outcome, d.last_segment, d.last_offset, d.last_bytes, d.chk, \
     e.segment, e.offset, e.bytes";

// A plain insert costs SQLite less: it need not be able to undo half of it.
const INSERT_EVENT: &str = "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const REPLACE_EVENT: &str = "INSERT OR REPLACE INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const INSERT_DELIVERY: &str = "INSERT INTO deliveries VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
const REPLACE_DELIVERY: &str = "INSERT OR REPLACE INTO deliveries VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

/// The hash under which an event is found by its sender's id.
pub(super) fn lookup_hash(source_event_id: &str) -> i64 {
    let hash = source_event_id.as_bytes().chunks(8).fold(source_event_id.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        mix(hash ^ u64::from_le_bytes(word))
    });
    hash.cast_signed()
}

/// The two halves of a dedup key.
pub(super) fn key_halves(key: &[u8; 16]) -> (i64, i64) {
    let number = u128::from_be_bytes(*key);
    (((number >> 64) as u64).cast_signed(), (number as u64).cast_signed())
}

/// Where an event lies.
pub(super) fn event_place(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<Place>> {
    connection
        .prepare_cached("SELECT segment, offset, bytes FROM events WHERE seq = ?1")?
        .query_row([seq_key(seq)], |row| Ok(Place { segment: row.get(0)?, offset: row.get(1)?, bytes: row.get(2)? }))
        .optional()
}

/// One delivery, verified.
pub(super) fn read(index: &Index, key: Key) -> Result<Option<DeliveryRecordRow>, IndexFault> {
    let connection = &index.connection;
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN events e ON e.seq = d.seq WHERE d.seq = ?1 AND d.ordinal = ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![seq_key(key.seq), key.ordinal])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    delivery(row, 0, key, |name| index.names.name(connection, name)).map(Some)
}

/// A delivery from [`DELIVERY_COLUMNS`] that start at column `from`, verified against its checksum.
pub(super) fn delivery(
    row: &Row<'_>,
    from: usize,
    key: Key,
    name: impl FnOnce(i64) -> rusqlite::Result<Arc<str>>,
) -> Result<DeliveryRecordRow, IndexFault> {
    let damaged = || IndexFault::Damaged(format!("the row of delivery {} of event {}", key.ordinal, key.seq.0));
    let place = |at: usize| -> rusqlite::Result<Option<Place>> {
        let segment: Option<u32> = row.get(from + at)?;
        let Some(segment) = segment else { return Ok(None) };
        Ok(Some(Place { segment, offset: row.get(from + at + 1)?, bytes: row.get(from + at + 2)? }))
    };
    let time = |at: usize| -> rusqlite::Result<Timestamp> {
        row.get::<_, i64>(from + at).map(|millis| Timestamp(millis.cast_unsigned()))
    };
    let outcome: Option<u8> = row.get(from + 9)?;
    let progress = Progress {
        state: decode::state(row.get(from + 1)?).ok_or_else(damaged)?,
        dead_reason: decode::reason(row.get(from + 2)?).ok_or_else(damaged)?,
        attempts: row.get(from + 3)?,
        due_at: time(4)?,
        finished_at: time(5)?,
        response_code: row.get(from + 7)?,
        response_millis: row.get(from + 8)?,
        outcome: outcome.map(|byte| decode::outcome(byte).ok_or_else(damaged)).transpose()?,
    };
    let expires_at: Option<i64> = row.get(from + 6)?;
    let checksum = row.get(from + 13)?;
    let found = DeliveryRecordRow {
        target: name(row.get(from)?)?,
        progress,
        expires_at: expires_at.map(|millis| Timestamp(millis.cast_unsigned())),
        event: place(14)?.ok_or_else(damaged)?,
        last: place(10)?,
        stored: None,
    };
    if found.checksum(key) != checksum {
        return Err(damaged());
    }
    let stored = found.counts(checksum);
    Ok(DeliveryRecordRow { stored: Some(stored), ..found })
}

/// Writes a fold and the position that it reaches.
pub(super) fn write(index: &mut Index, fold: &mut Fold, position: Position, damaged: i64) -> Result<(), IndexFault> {
    let meta_before = index.meta;
    index.connection.execute_batch("BEGIN IMMEDIATE")?;
    let written = write_rows(index, fold, position, damaged);
    let committed = written.and_then(|()| index.connection.execute_batch("COMMIT").map_err(IndexFault::from));
    if committed.is_err() {
        index.meta = meta_before;
        // Where SQLite has rolled back by itself this fails, and there is nothing left to undo.
        drop(index.connection.execute_batch("ROLLBACK"));
        index.names.reread(&index.connection)?;
    }
    committed
}

fn write_rows(index: &mut Index, fold: &mut Fold, position: Position, damaged: i64) -> Result<(), IndexFault> {
    write_events(index, fold)?;
    write_deliveries(index, fold)?;
    write_marks(index, fold)?;
    let Index { connection, names, meta } = index;
    fold.counters.write(connection, names)?;
    meta.position = position;
    meta.damaged += damaged;
    meta.last_seq = meta.last_seq.max(fold.last_seq);
    meta.write(connection)?;
    Ok(())
}

fn write_events(index: &mut Index, fold: &Fold) -> Result<(), IndexFault> {
    let Index { connection, names, .. } = index;
    for (seq, event) in &fold.events {
        let source = names.number(connection, &event.source)?;
        let event_type = event.event_type.as_deref().map(|name| names.number(connection, name)).transpose()?;
        connection.prepare_cached(if event.is_new { INSERT_EVENT } else { REPLACE_EVENT })?.execute(params![
            seq_key(*seq),
            event.place.segment,
            event.place.offset,
            event.place.bytes,
            source,
            event_type,
            event.source_event_id.as_deref(),
            event.body_bytes,
            event.deliveries
        ])?;
        if let Some(id) = &event.source_event_id {
            connection.prepare_cached("INSERT OR IGNORE INTO lookups VALUES (?1, ?2, ?3)")?.execute(params![
                number(bucket_of(seq.time())),
                lookup_hash(id),
                seq_key(*seq)
            ])?;
        }
    }
    write_segments(connection, fold)?;
    for (seq, count) in &fold.delivery_counts {
        connection
            .prepare_cached("UPDATE events SET deliveries = max(deliveries, ?2) WHERE seq = ?1")?
            .execute(params![seq_key(*seq), count])?;
    }
    Ok(())
}

fn write_segments(connection: &Connection, fold: &Fold) -> Result<(), IndexFault> {
    for (segment, seq) in &fold.carried {
        connection
            .prepare_cached("INSERT OR IGNORE INTO carried VALUES (?1, ?2)")?
            .execute(params![segment, seq_key(*seq)])?;
    }
    let mut segments: std::collections::BTreeMap<u32, (i64, Seq, Seq)> = std::collections::BTreeMap::new();
    for (seq, event) in fold.events.iter().filter(|(_, event)| event.is_new) {
        let entry = segments.entry(event.place.segment).or_insert((0, *seq, *seq));
        *entry = (entry.0 + 1, entry.1.min(*seq), entry.2.max(*seq));
    }
    for (segment, (events, first, last)) in segments {
        connection
            .prepare_cached(
                "INSERT INTO segments VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
                 events = events + excluded.events, first_seq = min(first_seq, excluded.first_seq),
                 last_seq = max(last_seq, excluded.last_seq)",
            )?
            .execute(params![segment, events, seq_key(first), seq_key(last)])?;
    }
    Ok(())
}

fn write_deliveries(index: &mut Index, fold: &mut Fold) -> Result<(), IndexFault> {
    let Index { connection, names, meta } = index;
    for (key, row) in &fold.deliveries {
        let checksum = row.checksum(*key);
        let now = row.counts(checksum);
        for (counts, sign) in row.stored.map(|before| (before, -1)).into_iter().chain([(now, 1)]) {
            meta.open += sign * i64::from(counts.open);
            meta.open_sum += if counts.open { sign * counts.checksum } else { 0 };
            meta.dead += sign * i64::from(counts.dead);
        }
        let target = names.number(connection, &row.target)?;
        let progress = &row.progress;
        connection.prepare_cached(if row.stored.is_none() { INSERT_DELIVERY } else { REPLACE_DELIVERY })?.execute(
            params![
                seq_key(key.seq),
                key.ordinal,
                target,
                encode::state_byte(progress.state),
                encode::reason_byte(progress.dead_reason),
                progress.attempts,
                progress.due_at.0.cast_signed(),
                progress.finished_at.0.cast_signed(),
                row.expires_at.map(|at| at.0.cast_signed()),
                progress.response_code,
                progress.response_millis,
                progress.outcome.map(encode::outcome_byte),
                row.last.map(|place| place.segment),
                row.last.map(|place| place.offset),
                row.last.map(|place| place.bytes),
                checksum
            ],
        )?;
    }
    for (key, attempt, place) in &fold.attempts {
        connection
            .prepare_cached("INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![seq_key(key.seq), key.ordinal, attempt, place.segment, place.offset, place.bytes])?;
    }
    Ok(())
}

fn write_marks(index: &Index, fold: &mut Fold) -> Result<(), IndexFault> {
    // Neighbours in the table follow each other: fewer pages are touched.
    fold.marks.sort_unstable_by_key(|mark| (bucket_of(mark.seq.time()), key_halves(&mark.key), mark.seq));
    for mark in &fold.marks {
        let (high, low) = key_halves(&mark.key);
        index.connection.prepare_cached("INSERT OR REPLACE INTO dedup VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            number(bucket_of(mark.seq.time())),
            high,
            low,
            seq_key(mark.seq)
        ])?;
    }
    Ok(())
}

// === impl DeliveryRecordRow ===

impl DeliveryRecordRow {
    fn counts(&self, checksum: i64) -> Stored {
        let dead = self.progress.state == crate::domain::DeliveryState::Dead;
        Stored { open: self.progress.is_open(), dead, checksum }
    }

    /// As a record of a delivery whose plan is not at hand: order and batch keys belong to the plan.
    pub(super) fn to_record(&self) -> DeliveryRecord {
        let planned = PlannedDelivery {
            target: Arc::clone(&self.target),
            route: 0,
            not_before: None,
            expires_at: self.expires_at,
            order_key: None,
            batch_key: None,
        };
        DeliveryRecord { planned, progress: self.progress }
    }

    /// Covers what decides about further attempts.
    fn checksum(&self, key: Key) -> i64 {
        let mut hasher = crc32fast::Hasher::new();
        let Progress { state, attempts, due_at, .. } = self.progress;
        hasher.update(&key.seq.0.to_le_bytes());
        hasher.update(&key.ordinal.to_le_bytes());
        hasher.update(self.target.as_bytes());
        hasher.update(&[encode::state_byte(state), encode::reason_byte(self.progress.dead_reason)]);
        hasher.update(&attempts.to_le_bytes());
        hasher.update(&due_at.0.to_le_bytes());
        hasher.update(&self.expires_at.map_or(u64::MAX, |at| at.0).to_le_bytes());
        for part in [self.event.segment, self.event.offset, self.event.bytes] {
            hasher.update(&part.to_le_bytes());
        }
        i64::from(hasher.finalize())
    }
}
