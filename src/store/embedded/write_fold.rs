//! Writes what a fold gathered, in one transaction and in the order of the keys.

use std::collections::BTreeMap;

use rusqlite::{CachedStatement, Connection, params};

use super::dedup::bucket_of;
use super::encode;
use super::fold::{Fold, FoldedEvent};
use super::index::{Index, IndexFault, Meta, number, seq_key};
use super::key::Key;
use super::names::Names;
use super::packed::Packer;
use super::record::Position;
use super::rows::{DeliveryRecordRow, lookup_hash};
use super::runs::{self, Entry, Kind};
use super::zones::{DEFAULT_PROJECT_VALUE, InZone, Kind as Value, Zones};
use crate::domain::Seq;

// A plain insert costs SQLite less: it need not be able to undo half of it.
const INSERT_EVENT: &str = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const REPLACE_EVENT: &str = "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const EVENT_COLUMNS: usize = 11;
/// So many events enter with one statement where there are so many: a row costs half of what it costs alone.
const EVENTS_AT_ONCE: usize = 16;
const INSERT_DELIVERY: &str = "INSERT INTO deliveries VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
const REPLACE_DELIVERY: &str = "INSERT OR REPLACE INTO deliveries VALUES
    (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

/// Rows on their way into `events` and `deliveries`.
struct Rows<'a> {
    connection: &'a Connection,
    names: &'a mut Names,
    zones: &'a mut Zones,
    meta: &'a mut Meta,
    insert_events: CachedStatement<'a>,
    /// Rows that are bound to it already.
    bound: usize,
    /// New events that are still to come.
    new_events: usize,
    insert_event: CachedStatement<'a>,
    replace_event: CachedStatement<'a>,
    insert_delivery: CachedStatement<'a>,
    replace_delivery: CachedStatement<'a>,
}

/// Writes a fold and the position that it reaches.
pub(super) fn write_fold(index: &mut Index, fold: &mut Fold, position: Position) -> Result<(), IndexFault> {
    fold.sort();
    index.transact(|index| {
        write_rows(index, fold)?;
        write_segments(&index.connection, fold)?;
        write_attempts(&index.connection, fold)?;
        write_lookups(index, fold)?;
        write_marks(index, fold)?;
        write_webhooks(&index.connection, fold)?;
        fold.counters.write(&index.connection, &mut index.names)?;
        index.zones.write(&index.connection)?;
        index.meta.position = position;
        index.meta.last_seq = index.meta.last_seq.max(fold.last_seq);
        Ok(())
    })
}

/// Events and deliveries; deliveries that have succeeded already go into their event's row.
fn write_rows(index: &mut Index, fold: &Fold) -> Result<(), IndexFault> {
    let Index { connection, names, zones, meta, .. } = index;
    let sql = format!("{INSERT_EVENT}{}", ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)".repeat(EVENTS_AT_ONCE - 1));
    let mut rows = Rows {
        insert_events: connection.prepare_cached(&sql)?,
        bound: 0,
        new_events: fold.events.iter().filter(|event| event.is_new).count(),
        insert_event: connection.prepare_cached(INSERT_EVENT)?,
        replace_event: connection.prepare_cached(REPLACE_EVENT)?,
        insert_delivery: connection.prepare_cached(INSERT_DELIVERY)?,
        replace_delivery: connection.prepare_cached(REPLACE_DELIVERY)?,
        connection,
        names,
        zones,
        meta,
    };
    let mut packer = Packer::default();
    let mut deliveries = fold.deliveries.iter().peekable();
    for event in &fold.events {
        while let Some((key, row)) = deliveries.next_if(|(key, _)| key.seq < event.seq) {
            rows.delivery_of_old_event(*key, row)?;
        }
        let place = match event.is_new {
            true => rows.zones.enter(rows.connection, event.seq)?,
            false => rows.zones.find(rows.connection, event.seq)?,
        };
        while let Some((key, row)) = deliveries.next_if(|(key, _)| key.seq == event.seq) {
            let target = rows.names.number(rows.connection, &row.target)?;
            rows.mark(place, row, target)?;
            if !packer.add(key.ordinal, target, row) {
                rows.delivery(*key, row, target)?;
            }
        }
        rows.event(event, place, &mut packer)?;
    }
    for (key, row) in deliveries {
        rows.delivery_of_old_event(*key, row)?;
    }
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
    let mut segments: BTreeMap<u32, (i64, Seq, Seq)> = BTreeMap::new();
    for FoldedEvent { seq, place, .. } in fold.events.iter().filter(|event| event.is_new) {
        let entry = segments.entry(place.segment).or_insert((0, *seq, *seq));
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

fn write_attempts(connection: &Connection, fold: &Fold) -> Result<(), IndexFault> {
    for (key, attempt, place) in &fold.attempts {
        connection
            .prepare_cached("INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![seq_key(key.seq), key.ordinal, attempt, place.segment, place.offset, place.bytes])?;
    }
    Ok(())
}

/// Look-ups go with the segment in which their event lies.
fn write_lookups(index: &mut Index, fold: &Fold) -> Result<(), IndexFault> {
    let mut slices: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
    for event in &fold.events {
        if let Some(id) = &event.source_event_id {
            let entry = Entry { hash: lookup_hash(id), seq: seq_key(event.seq) };
            slices.entry(event.place.segment).or_default().push(entry);
        }
    }
    for (segment, entries) in slices {
        runs::add(&index.connection, &mut index.next_run, Kind::Lookups, i64::from(segment), entries)?;
    }
    Ok(())
}

fn write_marks(index: &mut Index, fold: &Fold) -> Result<(), IndexFault> {
    let mut slices: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
    for mark in &fold.marks {
        let entry = Entry { hash: u128::from_be_bytes(mark.key), seq: seq_key(mark.seq) };
        slices.entry(bucket_of(mark.seq.time())).or_default().push(entry);
    }
    for (bucket, entries) in slices {
        runs::add(&index.connection, &mut index.next_run, Kind::Marks, number(bucket), entries)?;
    }
    Ok(())
}

/// Where each webhook lies now.
fn write_webhooks(connection: &Connection, fold: &Fold) -> Result<(), IndexFault> {
    for (seq, place) in &fold.webhooks {
        let key = seq_key(*seq);
        match place {
            Some(place) => connection
                .prepare_cached("INSERT OR REPLACE INTO webhooks VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![key, place.segment, place.offset, place.bytes])?,
            None => connection.prepare_cached("DELETE FROM webhooks WHERE seq = ?1")?.execute([key])?,
        };
    }
    Ok(())
}

/// Binds one row of `events`, whose first parameter is the one after `from`.
fn bind_event(
    statement: &mut CachedStatement<'_>,
    from: usize,
    event: &FoldedEvent,
    source: i64,
    (event_type, project): (Option<i64>, Option<i64>),
    done: &[u8],
) -> rusqlite::Result<()> {
    let FoldedEvent { seq, place, source_event_id, body_bytes, deliveries, .. } = event;
    statement.raw_bind_parameter(from + 1, seq_key(*seq))?;
    statement.raw_bind_parameter(from + 2, place.segment)?;
    statement.raw_bind_parameter(from + 3, place.offset)?;
    statement.raw_bind_parameter(from + 4, place.bytes)?;
    statement.raw_bind_parameter(from + 5, source)?;
    statement.raw_bind_parameter(from + 6, event_type)?;
    statement.raw_bind_parameter(from + 7, project)?;
    statement.raw_bind_parameter(from + 8, source_event_id.as_deref())?;
    statement.raw_bind_parameter(from + 9, body_bytes)?;
    statement.raw_bind_parameter(from + 10, deliveries)?;
    statement.raw_bind_parameter(from + EVENT_COLUMNS, (!done.is_empty()).then_some(done))
}

// === impl Rows ===

impl Rows<'_> {
    fn event(&mut self, event: &FoldedEvent, place: InZone, packer: &mut Packer) -> Result<(), IndexFault> {
        let source = self.names.number(self.connection, &event.source)?;
        self.zones.mark(self.connection, place, Value::Source, source, 0)?;
        let mut event_type = None;
        if let Some(name) = &event.event_type {
            let value = self.names.number(self.connection, name)?;
            self.zones.mark(self.connection, place, Value::Type, value, 0)?;
            event_type = Some(value);
        }
        let mut project = None;
        if let Some(name) = &event.project {
            let value = self.names.number(self.connection, name)?;
            project = Some(value);
        }
        self.zones.mark(self.connection, place, Value::Project, project.unwrap_or(DEFAULT_PROJECT_VALUE), 0)?;
        let at_once = event.is_new && self.bound + self.new_events >= EVENTS_AT_ONCE;
        let statement = match (event.is_new, at_once) {
            (true, true) => &mut self.insert_events,
            (true, false) => &mut self.insert_event,
            (false, _) => &mut self.replace_event,
        };
        let from = if at_once { self.bound * EVENT_COLUMNS } else { 0 };
        packer.finish(event.seq, event.place, |done| {
            bind_event(statement, from, event, source, (event_type, project), done)
        })?;
        self.new_events -= usize::from(event.is_new);
        self.bound += usize::from(at_once);
        if !at_once {
            statement.raw_execute()?;
        } else if self.bound == EVENTS_AT_ONCE {
            statement.raw_execute()?;
            self.bound = 0;
        }
        Ok(())
    }

    /// A delivery whose event is stored already.
    fn delivery_of_old_event(&mut self, key: Key, row: &DeliveryRecordRow) -> Result<(), IndexFault> {
        let target = self.names.number(self.connection, &row.target)?;
        let is_open = row.progress.is_open();
        // One that stays open, as most that are tried once more, is marked already.
        if !row.stored.is_some_and(|stored| stored.open && is_open) {
            let place = self.zones.find(self.connection, key.seq)?;
            self.mark(place, row, target)?;
        }
        self.delivery(key, row, target)
    }

    /// Lets the event's zone know of a delivery as it stands.
    fn mark(&mut self, event: InZone, row: &DeliveryRecordRow, target: i64) -> rusqlite::Result<()> {
        let state = encode::state_byte(row.progress.state);
        self.zones.mark(self.connection, event, Value::Target, target, state)?;
        self.zones.mark(self.connection, event, Value::State, state.into(), 0)
    }

    fn delivery(&mut self, key: Key, row: &DeliveryRecordRow, target: i64) -> Result<(), IndexFault> {
        let checksum = row.checksum(key);
        let now = row.counts(checksum);
        for (counts, sign) in row.stored.map(|before| (before, -1)).into_iter().chain([(now, 1)]) {
            self.meta.open += sign * i64::from(counts.open);
            self.meta.open_sum += if counts.open { sign * counts.checksum } else { 0 };
            self.meta.dead += sign * i64::from(counts.dead);
        }
        let progress = &row.progress;
        let statement = if row.stored.is_none() { &mut self.insert_delivery } else { &mut self.replace_delivery };
        statement.execute(params![
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
        ])?;
        Ok(())
    }
}
