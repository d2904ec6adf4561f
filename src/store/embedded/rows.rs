//! Rows of the index: deliveries as they are read, verified.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::index::{IndexFault, seq_key};
use super::key::{Key, mix};
use super::packed::{self, Packed};
use super::record::{DeliveryRecord, Place, Progress};
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

/// The columns that [`delivery`] reads, of `deliveries d`.
pub(super) const DELIVERY_COLUMNS: &str = "d.target, d.state, d.reason, d.attempts, d.due_at, d.finished_at, \
     d.expires_at, d.code, d.millis, d.outcome, d.last_segment, d.last_offset, d.last_bytes, d.chk";
/// The columns that [`place`] reads, of `events e`.
pub(super) const PLACE_COLUMNS: &str = "e.segment, e.offset, e.bytes";

/// The hash under which an event is found by its sender's id.
pub(super) fn lookup_hash(source_event_id: &str) -> u128 {
    let hash = source_event_id.as_bytes().chunks(8).fold(source_event_id.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        mix(hash ^ u64::from_le_bytes(word))
    });
    u128::from(hash) << 64
}

/// Where an event lies.
pub(super) fn event_place(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<Place>> {
    connection
        .prepare_cached("SELECT e.segment, e.offset, e.bytes FROM events e WHERE e.seq = ?1")?
        .query_row([seq_key(seq)], |row| place(row, 0))
        .optional()
}

/// A place from [`PLACE_COLUMNS`] that start at column `from`.
pub(super) fn place(row: &Row<'_>, from: usize) -> rusqlite::Result<Place> {
    Ok(Place { segment: row.get(from)?, offset: row.get(from + 1)?, bytes: row.get(from + 2)? })
}

/// One delivery, verified: its own row, or what its event's row says of it.
pub(super) fn read(
    connection: &Connection,
    key: Key,
    name: impl Fn(i64) -> rusqlite::Result<Arc<str>>,
) -> Result<Option<DeliveryRecordRow>, IndexFault> {
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS}, {PLACE_COLUMNS} FROM deliveries d CROSS JOIN events e
         WHERE d.seq = ?1 AND d.ordinal = ?2 AND e.seq = d.seq"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![seq_key(key.seq), key.ordinal])?;
    if let Some(row) = rows.next()? {
        return delivery(row, 0, key, place(row, 14)?, name).map(Some);
    }
    let mut statement =
        connection.prepare_cached("SELECT e.segment, e.offset, e.bytes, e.done FROM events e WHERE e.seq = ?1")?;
    let mut rows = statement.query([seq_key(key.seq)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let event = place(row, 0)?;
    let packed = done(row, 3, key.seq, event)?.into_iter().find(|packed| packed.ordinal == key.ordinal);
    Ok(packed.map(|packed| Ok::<_, rusqlite::Error>(packed.to_row(event, name(packed.target)?))).transpose()?)
}

/// The deliveries that are packed into an event's row, verified.
pub(super) fn done(row: &Row<'_>, column: usize, seq: Seq, event: Place) -> Result<Vec<Packed>, IndexFault> {
    let bytes = row.get_ref(column)?.as_blob_or_null().ok().map(Option::unwrap_or_default);
    let unpacked = bytes.and_then(|bytes| packed::unpack(seq, event, bytes));
    unpacked.ok_or_else(|| IndexFault::Damaged(format!("the deliveries in the row of event {}", seq.0)))
}

/// A delivery of the event at `event` from [`DELIVERY_COLUMNS`] that start at column `from`, verified against
/// its checksum.
pub(super) fn delivery(
    row: &Row<'_>,
    from: usize,
    key: Key,
    event: Place,
    name: impl FnOnce(i64) -> rusqlite::Result<Arc<str>>,
) -> Result<DeliveryRecordRow, IndexFault> {
    let damaged = || IndexFault::Damaged(format!("the row of delivery {} of event {}", key.ordinal, key.seq.0));
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
    let last: Option<u32> = row.get(from + 10)?;
    let checksum = row.get(from + 13)?;
    let found = DeliveryRecordRow {
        target: name(row.get(from)?)?,
        progress,
        expires_at: expires_at.map(|millis| Timestamp(millis.cast_unsigned())),
        event,
        last: last.map(|_| place(row, from + 10)).transpose()?,
        stored: None,
    };
    if found.checksum(key) != checksum {
        return Err(damaged());
    }
    let stored = found.counts(checksum);
    Ok(DeliveryRecordRow { stored: Some(stored), ..found })
}

// === impl DeliveryRecordRow ===

impl DeliveryRecordRow {
    pub(super) fn counts(&self, checksum: i64) -> Stored {
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
    pub(super) fn checksum(&self, key: Key) -> i64 {
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
