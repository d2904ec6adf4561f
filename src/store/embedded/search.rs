//! What is kept, as lists and one by one.
//!
//! The index catches up with the journal first; what only memory knows (held, in flight) is laid over the
//! open rows.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::Embedded;
use super::claims::read_event;
use super::index::{IndexFault, number, seq_key, seq_of};
use super::key::Key;
use super::record::{Place, Record};
use super::rows::{self, DeliveryRecordRow, lookup_hash};
use super::segments::Segments;
use super::{decode, encode};
use crate::domain::{DeliveryId, DeliveryState, Event, EventId, Seq, Timestamp};
use crate::store::query::PAGE_ROWS_MAX;
use crate::store::{AttemptRow, DeliveryFilter, DeliveryRow, EventFilter, EventRow, Page, PageRequest, StoreError};

/// Names that the lists show, joined to `deliveries d JOIN events e`.
const EVENT_COLUMNS: &str = "e.seq, e.source_event_id, e.body_bytes, e.deliveries,
    (SELECT name FROM names WHERE id = e.source), (SELECT name FROM names WHERE id = e.type)";
const DELIVERY_NAMES: &str = "(SELECT name FROM names WHERE id = d.target),
    (SELECT name FROM names WHERE id = e.source), (SELECT name FROM names WHERE id = e.type)";
/// Rows that are looked at in one go where memory has to be asked about each.
const OPEN_ROWS_AT_ONCE: usize = 500;

/// A statement under construction.
struct Question {
    sql: String,
    values: Vec<Value>,
}

/// A delivery as the index has it, for the list.
struct Listed {
    key: Key,
    row: DeliveryRecordRow,
    source: Arc<str>,
    event_type: Option<Box<str>>,
}

// === impl Embedded ===

impl Embedded {
    pub(super) async fn list_events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Page<EventRow>, StoreError> {
        self.flush_index().await;
        let mint = self.mint.clone();
        let read = self.readers.read(move |connection| {
            let Some(mut question) = events_question(connection, &filter)? else {
                return Ok(Page { rows: Vec::new(), has_more: false });
            };
            let limit = page.limit.clamp(1, PAGE_ROWS_MAX);
            if let Some((seq, _)) = page.after {
                question.and("e.seq < ?", Value::Integer(seq_key(seq)));
            }
            question.end(" ORDER BY e.seq DESC LIMIT ?", limit + 1);
            let mut statement = connection.prepare_cached(&question.sql)?;
            let mut found = statement.query(params_from_iter(question.values))?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                rows.push(event_row(row, &mint)?);
            }
            Ok(cut(rows, limit))
        });
        read.await
    }

    pub(super) async fn read_one_event(&self, id: EventId) -> Result<Arc<Event>, StoreError> {
        let seq = self.event_seq(id)?;
        let mut place = self.readers.read(move |connection| Ok(rows::event_place(connection, seq)?)).await?;
        if place.is_none() {
            self.flush_index().await;
            place = self.readers.read(move |connection| Ok(rows::event_place(connection, seq)?)).await?;
        }
        let place = place.ok_or(StoreError::NotFound)?;
        let (segments, mint) = (Arc::clone(&self.segments), self.mint.clone());
        let reading = tokio::task::spawn_blocking(move || read_event(&segments, place, seq, &mint)).await;
        let read = reading.map_err(|error| StoreError::Engine(error.to_string().into()))?;
        read.map_err(|fault| {
            self.count_damage(seq, &fault);
            StoreError::Damaged(fault.to_string().into())
        })
    }

    pub(super) async fn list_deliveries(
        &self,
        filter: DeliveryFilter,
        page: PageRequest,
    ) -> Result<Page<DeliveryRow>, StoreError> {
        if let Some(event) = filter.event {
            self.event_seq(event)?;
        }
        self.flush_index().await;
        let limit = page.limit.clamp(1, PAGE_ROWS_MAX);
        let open = matches!(filter.state, Some(DeliveryState::Pending | DeliveryState::InFlight | DeliveryState::Held));
        // An open state is only known in memory: rows are looked at until the page is full.
        let step = if open { OPEN_ROWS_AT_ONCE } else { limit + 1 };
        let mut after = page.after;
        let mut rows: Vec<DeliveryRow> = Vec::new();
        loop {
            let asked = filter.clone();
            let listed = self.readers.read(move |connection| query_deliveries(connection, &asked, after, step)).await?;
            let last = listed.last().map(|listed| (listed.key.seq, listed.key.ordinal));
            let whole = listed.len() < step;
            let shown = listed.into_iter().map(|listed| self.to_row(listed));
            rows.extend(shown.filter(|row| filter.state.is_none_or(|state| row.state == state)));
            if whole || rows.len() > limit || !open {
                return Ok(cut(rows, limit));
            }
            after = last;
        }
    }

    pub(super) async fn read_one_delivery(&self, id: DeliveryId) -> Result<(DeliveryRow, Vec<AttemptRow>), StoreError> {
        let key = self.delivery_key(id)?;
        self.flush_index().await;
        let (segments, mint) = (Arc::clone(&self.segments), self.mint.clone());
        let read = self.readers.read(move |connection| {
            let Some(listed) = query_delivery(connection, key)? else { return Ok(None) };
            let mut places = attempt_places(connection, key)?;
            places.extend(listed.row.last);
            let attempts = places.into_iter().filter_map(|place| read_attempt(&segments, place, key, &mint));
            let attempts: Vec<AttemptRow> = attempts.collect();
            Ok(Some((listed, attempts)))
        });
        let (listed, attempts) = read.await?.ok_or(StoreError::NotFound)?;
        Ok((self.to_row(listed), attempts))
    }

    /// Lays what only memory knows over the row.
    fn to_row(&self, listed: Listed) -> DeliveryRow {
        let Listed { key, row, source, event_type } = listed;
        let progress = row.progress;
        let state = if progress.is_open() { self.open_state(&row.target, key) } else { progress.state };
        DeliveryRow {
            id: self.mint.delivery(key.seq, key.ordinal),
            event: self.mint.event(key.seq),
            target: row.target,
            source,
            event_type,
            created_at: key.seq.time(),
            state,
            dead_reason: progress.dead_reason,
            attempts: progress.attempts,
            next_attempt_at: progress.is_open().then_some(progress.due_at),
            response_code: progress.response_code,
            response_time: progress.response_millis.map(|millis| Duration::from_millis(u64::from(millis))),
            outcome: progress.outcome,
        }
    }

    fn open_state(&self, target: &str, key: Key) -> DeliveryState {
        match self.lanes.get(target) {
            Some(lane) if lane.with(|queue| queue.is_in_flight(key)) => DeliveryState::InFlight,
            Some(lane) if lane.is_active() => DeliveryState::Pending,
            _ => DeliveryState::Held,
        }
    }
}

// === impl Question ===

impl Question {
    fn new(sql: String) -> Self {
        Self { sql: sql + " WHERE 1", values: Vec::new() }
    }

    fn and(&mut self, condition: &str, value: Value) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value);
    }

    fn end(&mut self, end: &str, limit: usize) {
        self.sql.push_str(end);
        self.values.push(Value::Integer(number(limit as u64)));
    }

    fn name(&mut self, column: &str, name: &str) {
        self.and(&format!("{column} = (SELECT id FROM names WHERE name = ?)"), Value::Text(name.to_owned()));
    }

    fn created(&mut self, column: &str, from: Option<Timestamp>, to: Option<Timestamp>) {
        if let Some(at) = from {
            self.and(&format!("{column} >= ?"), Value::Integer(seq_key(Seq::first_at(at))));
        }
        if let Some(at) = to {
            let after = Seq::first_at(Timestamp(at.0.saturating_add(1)));
            self.and(&format!("{column} < ?"), Value::Integer(seq_key(after)));
        }
    }
}

/// The statement for a list of events; `None` where nothing can be found.
fn events_question(connection: &Connection, filter: &EventFilter) -> Result<Option<Question>, IndexFault> {
    let index = match filter {
        EventFilter { source_event_id: Some(_), .. } => "",
        EventFilter { event_type: Some(_), .. } => "INDEXED BY events_type",
        EventFilter { source: Some(_), .. } => "INDEXED BY events_source",
        _ => "",
    };
    let mut question = Question::new(format!("SELECT {EVENT_COLUMNS} FROM events e {index}"));
    if let Some(id) = &filter.source_event_id {
        let found = lookup(connection, id)?;
        if found.is_empty() {
            return Ok(None);
        }
        let keys: Vec<String> = found.iter().map(i64::to_string).collect();
        question.sql.push_str(&format!(" AND e.seq IN ({})", keys.join(",")));
        question.and("e.source_event_id = ?", Value::Text(id.to_string()));
    }
    if let Some(source) = &filter.source {
        question.name("e.source", source);
    }
    if let Some(event_type) = &filter.event_type {
        question.name("e.type", event_type);
    }
    question.created("e.seq", filter.created_gte, filter.created_lte);
    Ok(Some(question))
}

/// Events that may have this sender's id, newest first.
fn lookup(connection: &Connection, source_event_id: &str) -> Result<Vec<i64>, IndexFault> {
    const FOUND_MAX: usize = 1000;
    let edge = |order: &str| -> rusqlite::Result<Option<i64>> {
        let sql = format!("SELECT bucket FROM lookups ORDER BY bucket {order} LIMIT 1");
        connection.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()
    };
    let (Some(first), Some(last)) = (edge("ASC")?, edge("DESC")?) else { return Ok(Vec::new()) };
    let hash = lookup_hash(source_event_id);
    let mut statement = connection.prepare_cached("SELECT seq FROM lookups WHERE bucket = ?1 AND hash = ?2")?;
    let mut found = Vec::new();
    for bucket in (first..=last).rev() {
        let mut rows = statement.query([bucket, hash])?;
        while let Some(row) = rows.next()? {
            found.push(row.get(0)?);
        }
        if found.len() >= FOUND_MAX {
            break;
        }
    }
    Ok(found)
}

fn event_row(row: &Row<'_>, mint: &crate::domain::IdMint) -> Result<EventRow, IndexFault> {
    let seq = seq_of(row.get(0)?);
    Ok(EventRow {
        id: mint.event(seq),
        source: row.get::<_, String>(4)?.into(),
        source_event_id: row.get::<_, Option<String>>(1)?.map(String::into_boxed_str),
        event_type: row.get::<_, Option<String>>(5)?.map(String::into_boxed_str),
        received_at: seq.time(),
        body_bytes: row.get::<_, i64>(2)?.cast_unsigned(),
        deliveries: row.get(3)?,
    })
}

fn query_deliveries(
    connection: &Connection,
    filter: &DeliveryFilter,
    after: Option<(Seq, u16)>,
    limit: usize,
) -> Result<Vec<Listed>, IndexFault> {
    let ended = filter.state.is_some_and(|state| encode::state_byte(state) > 1);
    let open = filter.state.is_some_and(DeliveryState::is_open);
    // Which column leads: chosen here, for the planner has no statistics.
    let from = match filter {
        DeliveryFilter { event: Some(_), .. } => "deliveries d CROSS JOIN events e",
        _ if ended && filter.target.is_some() => "deliveries d INDEXED BY deliveries_ended_target CROSS JOIN events e",
        _ if ended => "deliveries d INDEXED BY deliveries_ended CROSS JOIN events e",
        _ if open => "deliveries d INDEXED BY deliveries_open CROSS JOIN events e",
        DeliveryFilter { event_type: Some(_), .. } => "events e INDEXED BY events_type CROSS JOIN deliveries d",
        DeliveryFilter { target: Some(_), .. } => "deliveries d INDEXED BY deliveries_target CROSS JOIN events e",
        DeliveryFilter { source: Some(_), .. } => "events e INDEXED BY events_source CROSS JOIN deliveries d",
        _ => "deliveries d CROSS JOIN events e",
    };
    let by_event = from.starts_with("events");
    let columns = rows::DELIVERY_COLUMNS;
    let mut question = Question::new(format!("SELECT d.seq, d.ordinal, {columns}, {DELIVERY_NAMES} FROM {from}"));
    question.sql.push_str(" AND e.seq = d.seq");
    if let Some(state) = filter.state {
        // Written out: a partial index serves only a condition that the planner can read.
        question.sql.push_str(&format!(" AND d.state = {}", encode::state_byte(state)));
        question.sql.push_str(if ended { " AND d.state > 1" } else { "" });
    }
    if let Some(target) = &filter.target {
        question.name("d.target", target);
    }
    if let Some(event_type) = &filter.event_type {
        question.name("e.type", event_type);
    }
    if let Some(source) = &filter.source {
        question.name("e.source", source);
    }
    let seq = if by_event { "e.seq" } else { "d.seq" };
    if let Some(event) = filter.event {
        question.and("d.seq = ?", Value::Integer(seq_key(event.seq())));
    }
    question.created(seq, filter.created_gte, filter.created_lte);
    if let Some((after, ordinal)) = after {
        question.and(&format!("{seq} <= ?"), Value::Integer(seq_key(after)));
        question.sql.push_str(&format!(" AND ({seq} < ? OR d.ordinal < ?)"));
        question.values.extend([Value::Integer(seq_key(after)), Value::Integer(i64::from(ordinal))]);
    }
    question.end(&format!(" ORDER BY {seq} DESC, d.ordinal DESC LIMIT ?"), limit);
    let mut statement = connection.prepare_cached(&question.sql)?;
    let mut found = statement.query(params_from_iter(question.values))?;
    let mut listed = Vec::new();
    while let Some(row) = found.next()? {
        listed.push(listed_row(row)?);
    }
    Ok(listed)
}

fn query_delivery(connection: &Connection, key: Key) -> Result<Option<Listed>, IndexFault> {
    let columns = rows::DELIVERY_COLUMNS;
    let sql = format!(
        "SELECT d.seq, d.ordinal, {columns}, {DELIVERY_NAMES} FROM deliveries d JOIN events e ON e.seq = d.seq
         WHERE d.seq = ?1 AND d.ordinal = ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![seq_key(key.seq), key.ordinal])?;
    found.next()?.map(listed_row).transpose()
}

/// One delivery's row, for those who change it.
pub(super) fn read_delivery(connection: &Connection, key: Key) -> Result<Option<DeliveryRecordRow>, IndexFault> {
    Ok(query_delivery(connection, key)?.map(|listed| listed.row))
}

fn listed_row(row: &Row<'_>) -> Result<Listed, IndexFault> {
    let key = Key { seq: seq_of(row.get(0)?), ordinal: row.get(1)? };
    let target: Arc<str> = row.get::<_, String>(19)?.into();
    Ok(Listed {
        key,
        row: rows::delivery(row, 2, key, |_| Ok(target))?,
        source: row.get::<_, String>(20)?.into(),
        event_type: row.get::<_, Option<String>>(21)?.map(String::into_boxed_str),
    })
}

fn attempt_places(connection: &Connection, key: Key) -> Result<Vec<Place>, IndexFault> {
    let mut statement = connection.prepare_cached(
        "SELECT segment, offset, bytes FROM attempts WHERE seq = ?1 AND ordinal = ?2 ORDER BY number",
    )?;
    let places = statement.query_map(params![seq_key(key.seq), key.ordinal], |row| {
        Ok(Place { segment: row.get(0)?, offset: row.get(1)?, bytes: row.get(2)? })
    })?;
    Ok(places.collect::<rusqlite::Result<_>>()?)
}

/// An attempt as the journal has it; `None` where its segment is gone or it is damaged.
fn read_attempt(segments: &Segments, place: Place, key: Key, mint: &crate::domain::IdMint) -> Option<AttemptRow> {
    let payload = segments.read(place).ok()?;
    let Record::Settle(record) = decode::record(&payload)? else { return None };
    if (record.seq, record.ordinal) != (key.seq, key.ordinal) {
        return None;
    }
    let attempt = record.attempt;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
    let headers = attempt.response_headers.iter();
    Some(AttemptRow {
        id: mint.attempt(key.seq, key.ordinal, attempt.number),
        number: attempt.number,
        started_at: attempt.started_at,
        duration: attempt.duration,
        outcome: attempt.outcome,
        status: attempt.status,
        response_headers: headers.map(|(name, value)| (name.into(), text(value))).collect(),
        response_body: attempt.response_body,
        error: attempt.error,
    })
}

fn cut<R>(mut rows: Vec<R>, limit: usize) -> Page<R> {
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Page { rows, has_more }
}
