//! Lists of the index: rows that match a filter, newest first, bounded in how many rows are looked at.
//!
//! States that are rare (open, dead, cancelled, expired) have indexes that hold only them. Everything else is
//! read from the newest event on, by the zones in which the wanted source, type and target occur. A page that
//! would look at too many rows ends early and says where to go on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Rows};

use super::encode;
use super::index::{IndexFault, seq_key, seq_of};
use super::key::{Key, MixState};
use super::record::Place;
use super::rows::{self, DELIVERY_COLUMNS, DeliveryRecordRow, PLACE_COLUMNS, lookup_hash};
use super::runs;
use super::zones::{Kind, Walk};
use crate::domain::{DeliveryState, IdMint, Seq, Timestamp};
use crate::store::{DeliveryFilter, EventFilter, EventRow};

/// A page looks at no more rows than this.
pub(super) const ROWS_VISITED_MAX: u64 = if cfg!(test) { 100 } else { 10_000 };
/// Finding the next zone costs about as much as looking at so many rows.
const ZONE_STEP_ROWS: u64 = 8;
/// Events that may have the same sender's id.
const SAME_ID_MAX: usize = 1000;

/// What was found, and how.
#[derive(Debug)]
pub(super) struct Found<R> {
    /// Newest first; one more than was asked for where there are more.
    pub(super) rows: Vec<R>,
    /// The search ended early: everything older than this is still to be looked at.
    pub(super) stopped_at: Option<(Seq, u16)>,
    /// Rows that were looked at.
    pub(super) visited: u64,
}

/// How much may be found and looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) rows: usize,
    pub(super) visited_max: u64,
    /// Only what is older.
    pub(super) after: Option<(Seq, u16)>,
}

/// A delivery as the index has it, for the list.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) row: DeliveryRecordRow,
    /// As it is now: of an open one memory knows more than its row.
    pub(super) state: DeliveryState,
    pub(super) source: Arc<str>,
    pub(super) event_type: Option<Arc<str>>,
}

/// Names by number, each read once.
struct NamesRead<'a> {
    connection: &'a Connection,
    known: RefCell<HashMap<i64, Arc<str>, MixState>>,
}

/// A search under way.
struct Search<'a, R> {
    bounds: Bounds,
    names: NamesRead<'a>,
    found: Found<R>,
}

/// The states that are wanted, and what memory knows of open deliveries.
pub(super) struct States<'a> {
    pub(super) wanted: Option<DeliveryState>,
    pub(super) open_now: &'a dyn Fn(&str, Key) -> DeliveryState,
}

/// An event as the list of deliveries needs it.
struct EventHead {
    seq: Seq,
    place: Place,
    source: i64,
    event_type: Option<i64>,
}

/// What the text of a filter is as numbers; a name that nothing has finds nothing.
struct Wanted {
    source: Option<i64>,
    event_type: Option<i64>,
    target: Option<i64>,
    low: i64,
    high: i64,
}

/// Events that match.
pub(super) fn events(
    connection: &Connection,
    filter: &EventFilter,
    bounds: Bounds,
    mint: &IdMint,
) -> Result<Found<EventRow>, IndexFault> {
    let mut search = Search::new(connection, bounds);
    let names = (filter.source.as_deref(), filter.event_type.as_deref(), None);
    let created = (filter.created_gte, filter.created_lte);
    let Some(mut wanted) = Wanted::read(connection, names, created)? else { return Ok(search.found) };
    if let Some((seq, _)) = bounds.after {
        wanted.before(seq_key(seq));
    }
    let mut statement = connection.prepare_cached(
        "SELECT seq, source, type, source_event_id, body_bytes, deliveries FROM events
         WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq DESC",
    )?;
    if let Some(id) = &filter.source_event_id {
        let mut keys = runs::find(connection, runs::Kind::Lookups, (0, i64::MAX), lookup_hash(id), SAME_ID_MAX)?;
        keys.sort_unstable_by(|left, right| right.cmp(left));
        keys.dedup();
        for key in keys.into_iter().filter(|key| (wanted.low..=wanted.high).contains(key)) {
            if search.events(statement.query([key, key])?, &wanted, Some(id), mint)? {
                break;
            }
        }
        return Ok(search.found);
    }
    let mut walk = wanted.walk(connection);
    while let Some((low, high)) = walk.next()? {
        if search.events(statement.query([low, high])?, &wanted, None, mint)? || search.zone_is_last(&walk) {
            return Ok(search.found);
        }
    }
    search.ended(&walk);
    Ok(search.found)
}

/// Deliveries that match; `open_now` says how an open one stands.
pub(super) fn deliveries(
    connection: &Connection,
    filter: &DeliveryFilter,
    bounds: Bounds,
    open_now: &dyn Fn(&str, Key) -> DeliveryState,
) -> Result<Found<Candidate>, IndexFault> {
    let mut search = Search::new(connection, bounds);
    let names = (filter.source.as_deref(), filter.event_type.as_deref(), filter.target.as_deref());
    let created = (filter.created_gte, filter.created_lte);
    let Some(mut wanted) = Wanted::read(connection, names, created)? else { return Ok(search.found) };
    if let Some(event) = filter.event {
        let key = seq_key(event.seq());
        (wanted.low, wanted.high) = (wanted.low.max(key), wanted.high.min(key));
    }
    if let Some((seq, ordinal)) = bounds.after {
        wanted.before(if ordinal == 0 { seq_key(seq) } else { seq_key(seq).saturating_add(1) });
    }
    let states = States { wanted: filter.state, open_now };
    match filter.state {
        Some(state) if filter.event.is_none() && state != DeliveryState::Succeeded => {
            search.rare(state, &wanted, &states)?;
        }
        _ => search.all(&mut wanted.walk(connection), &wanted, &states)?,
    }
    Ok(search.found)
}

/// One delivery, as its row says.
pub(super) fn delivery(connection: &Connection, key: Key) -> Result<Option<Candidate>, IndexFault> {
    let names = NamesRead::new(connection);
    let Some(row) = rows::read(connection, key, |number| names.name(number))? else { return Ok(None) };
    let (source, event_type): (i64, Option<i64>) = connection
        .prepare_cached("SELECT source, type FROM events WHERE seq = ?1")?
        .query_row([seq_key(key.seq)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let event_type = event_type.map(|number| names.name(number)).transpose()?;
    Ok(Some(Candidate { key, state: row.progress.state, row, source: names.name(source)?, event_type }))
}

// === impl Wanted ===

impl Wanted {
    /// `None` where a name is unknown: nothing can be found.
    fn read(
        connection: &Connection,
        (source, event_type, target): (Option<&str>, Option<&str>, Option<&str>),
        (from, to): (Option<Timestamp>, Option<Timestamp>),
    ) -> rusqlite::Result<Option<Self>> {
        let mut statement = connection.prepare_cached("SELECT id FROM names WHERE name = ?1")?;
        let mut numbers = [None; 3];
        for (name, number) in [source, event_type, target].into_iter().zip(&mut numbers) {
            if let Some(name) = name {
                let Some(found) = statement.query_row([name], |row| row.get(0)).optional()? else { return Ok(None) };
                *number = Some(found);
            }
        }
        let [source, event_type, target] = numbers;
        let low = from.map_or(i64::MIN, |at| seq_key(Seq::first_at(at)));
        let mut wanted = Self { source, event_type, target, low, high: i64::MAX };
        if let Some(at) = to {
            wanted.before(seq_key(Seq::first_at(Timestamp(at.0.saturating_add(1)))));
        }
        Ok(Some(wanted))
    }

    fn before(&mut self, key: i64) {
        match key.checked_sub(1) {
            Some(last) => self.high = self.high.min(last),
            None => (self.low, self.high) = (i64::MAX, i64::MIN),
        }
    }

    fn walk<'a>(&self, connection: &'a Connection) -> Walk<'a> {
        let values = [(Kind::Source, self.source), (Kind::Type, self.event_type), (Kind::Target, self.target)];
        let values = values.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect();
        Walk::new(connection, values, self.low, self.high)
    }

    fn fits(&self, source: i64, event_type: Option<i64>) -> bool {
        self.source.is_none_or(|wanted| wanted == source)
            && self.event_type.is_none_or(|wanted| event_type == Some(wanted))
    }
}

// === impl Search ===

impl<'a, R> Search<'a, R> {
    fn new(connection: &'a Connection, bounds: Bounds) -> Self {
        let found = Found { rows: Vec::new(), stopped_at: None, visited: 0 };
        Self { bounds, names: NamesRead::new(connection), found }
    }

    /// Takes a row that fits; true: the page is full.
    fn take(&mut self, row: R) -> bool {
        self.found.rows.push(row);
        self.found.rows.len() >= self.bounds.rows
    }

    /// True: enough rows were looked at, and what is older than `at` is left.
    fn is_enough(&mut self, at: (Seq, u16)) -> bool {
        let stop = self.found.visited >= self.bounds.visited_max;
        if stop {
            self.found.stopped_at = Some(at);
        }
        stop
    }

    /// Counts what finding the zones has cost.
    fn zone_is_last(&mut self, walk: &Walk<'_>) -> bool {
        !walk.done && self.found.visited + walk.steps * ZONE_STEP_ROWS >= self.bounds.visited_max && {
            self.ended(walk);
            true
        }
    }

    fn ended(&mut self, walk: &Walk<'_>) {
        if !walk.done {
            self.found.stopped_at = Some((Seq(seq_of(walk.high).0.saturating_add(1)), 0));
        }
    }
}

impl Search<'_, EventRow> {
    /// True: no more is wanted.
    fn events(
        &mut self,
        mut rows: Rows<'_>,
        wanted: &Wanted,
        id: Option<&str>,
        mint: &IdMint,
    ) -> Result<bool, IndexFault> {
        while let Some(row) = rows.next()? {
            self.found.visited += 1;
            let seq = seq_of(row.get(0)?);
            let (source, event_type) = (row.get(1)?, row.get(2)?);
            let same_id = id.is_none_or(|id| row.get_ref(3).is_ok_and(|its| its.as_str() == Ok(id)));
            if same_id && wanted.fits(source, event_type) && {
                let shown = self.event_row(row, seq, source, event_type, mint)?;
                self.take(shown)
            } {
                return Ok(true);
            }
            if self.is_enough((seq, 0)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn event_row(
        &self,
        row: &Row<'_>,
        seq: Seq,
        source: i64,
        event_type: Option<i64>,
        mint: &IdMint,
    ) -> Result<EventRow, IndexFault> {
        let event_type = event_type.map(|number| self.names.name(number)).transpose()?;
        Ok(EventRow {
            id: mint.event(seq),
            source: self.names.name(source)?,
            source_event_id: row.get::<_, Option<String>>(3)?.map(String::into_boxed_str),
            event_type: event_type.map(|name| (*name).into()),
            received_at: seq.time(),
            body_bytes: row.get::<_, i64>(4)?.cast_unsigned(),
            deliveries: row.get(5)?,
        })
    }
}

impl Search<'_, Candidate> {
    /// Deliveries in a rare state, by the indexes that hold only those.
    fn rare(&mut self, state: DeliveryState, wanted: &Wanted, states: &States<'_>) -> Result<(), IndexFault> {
        let connection = self.names.connection;
        let byte = encode::state_byte(state);
        let (index, target) = match wanted.target {
            _ if state.is_open() => ("deliveries_open", String::new()),
            Some(target) => ("deliveries_ended_target", format!(" AND d.state > 1 AND d.target = {target}")),
            None => ("deliveries_ended", " AND d.state > 1".to_owned()),
        };
        // The state is written out: a partial index serves only a condition that the planner can read.
        let sql = format!(
            "SELECT d.seq, d.ordinal, {DELIVERY_COLUMNS}, {PLACE_COLUMNS}, e.source, e.type
             FROM deliveries d INDEXED BY {index} CROSS JOIN events e
             WHERE d.state = {byte}{target} AND d.seq BETWEEN ?1 AND ?2 AND e.seq = d.seq
             ORDER BY d.seq DESC, d.ordinal DESC"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([wanted.low, wanted.high])?;
        while let Some(row) = rows.next()? {
            self.found.visited += 1;
            let key = Key { seq: seq_of(row.get(0)?), ordinal: row.get(1)? };
            let (source, event_type) = (row.get(19)?, row.get(20)?);
            let target: i64 = row.get(2)?;
            if self.is_older(key)
                && wanted.target.is_none_or(|wanted| wanted == target)
                && wanted.fits(source, event_type)
            {
                let delivery = rows::delivery(row, 2, key, rows::place(row, 16)?, |number| self.names.name(number))?;
                if self.show(key, delivery, source, event_type, states)? {
                    return Ok(());
                }
            }
            if self.is_enough((key.seq, key.ordinal)) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Deliveries by the events' rows: what is packed there, and the rows of their own.
    fn all(&mut self, walk: &mut Walk<'_>, wanted: &Wanted, states: &States<'_>) -> Result<(), IndexFault> {
        let connection = self.names.connection;
        let mut events = connection.prepare_cached(
            "SELECT seq, segment, offset, bytes, source, type, done FROM events
             WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq DESC",
        )?;
        let sql = format!(
            "SELECT d.ordinal, d.seq, {DELIVERY_COLUMNS} FROM deliveries d
             WHERE d.seq BETWEEN ?1 AND ?2 ORDER BY d.seq DESC, d.ordinal DESC"
        );
        let mut deliveries = connection.prepare_cached(&sql)?;
        while let Some((low, high)) = walk.next()? {
            let mut events = events.query([low, high])?;
            let mut deliveries = deliveries.query([low, high])?;
            let mut next = deliveries.next()?;
            while let Some(row) = events.next()? {
                let key: i64 = row.get(0)?;
                let seq = seq_of(key);
                let event =
                    EventHead { seq, place: rows::place(row, 1)?, source: row.get(4)?, event_type: row.get(5)? };
                let looked_at = wanted.fits(event.source, event.event_type);
                let mut packed = if looked_at { rows::done(row, 6, seq, event.place)? } else { Vec::new() };
                self.found.visited += 1 + packed.len() as u64;
                // The rows of their own come as the packed ones do: highest ordinal first.
                while let Some(own) = next {
                    let its: i64 = own.get(1)?;
                    if its < key {
                        break;
                    }
                    let ordinal: u16 = own.get(0)?;
                    if its == key && looked_at {
                        while let Some(before) = packed.pop_if(|packed| packed.ordinal > ordinal) {
                            if self.show_packed(&event, before, wanted, states)? {
                                return Ok(());
                            }
                        }
                        // A row of its own counts, whatever was packed.
                        packed.pop_if(|packed| packed.ordinal == ordinal);
                        if self.show_own(&event, own, ordinal, wanted, states)? {
                            return Ok(());
                        }
                    }
                    self.found.visited += 1;
                    next = deliveries.next()?;
                }
                while let Some(before) = packed.pop() {
                    if self.show_packed(&event, before, wanted, states)? {
                        return Ok(());
                    }
                }
                if self.is_enough((seq, 0)) {
                    return Ok(());
                }
            }
            if self.zone_is_last(walk) {
                return Ok(());
            }
        }
        self.ended(walk);
        Ok(())
    }

    fn show_packed(
        &mut self,
        event: &EventHead,
        packed: super::packed::Packed,
        wanted: &Wanted,
        states: &States<'_>,
    ) -> Result<bool, IndexFault> {
        let key = packed.key(event.seq);
        if !self.is_older(key) || wanted.target.is_some_and(|wanted| wanted != packed.target) {
            return Ok(false);
        }
        let row = packed.to_row(event.place, self.names.name(packed.target)?);
        self.show(key, row, event.source, event.event_type, states)
    }

    fn show_own(
        &mut self,
        event: &EventHead,
        own: &Row<'_>,
        ordinal: u16,
        wanted: &Wanted,
        states: &States<'_>,
    ) -> Result<bool, IndexFault> {
        let key = Key { seq: event.seq, ordinal };
        let target: i64 = own.get(2)?;
        if !self.is_older(key) || wanted.target.is_some_and(|wanted| wanted != target) {
            return Ok(false);
        }
        let row = rows::delivery(own, 2, key, event.place, |number| self.names.name(number))?;
        self.show(key, row, event.source, event.event_type, states)
    }

    /// True: the page is full.
    fn show(
        &mut self,
        key: Key,
        row: DeliveryRecordRow,
        source: i64,
        event_type: Option<i64>,
        states: &States<'_>,
    ) -> Result<bool, IndexFault> {
        let stored = row.progress.state;
        let state = if stored.is_open() { (states.open_now)(&row.target, key) } else { stored };
        if states.wanted.is_some_and(|wanted| wanted != state) {
            return Ok(false);
        }
        let event_type = event_type.map(|number| self.names.name(number)).transpose()?;
        let source = self.names.name(source)?;
        Ok(self.take(Candidate { key, row, state, source, event_type }))
    }

    fn is_older(&self, key: Key) -> bool {
        self.bounds.after.is_none_or(|after| (key.seq, key.ordinal) < after)
    }
}

// === impl NamesRead ===

impl<'a> NamesRead<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self { connection, known: RefCell::default() }
    }

    fn name(&self, number: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(name) = self.known.borrow().get(&number) {
            return Ok(Arc::clone(name));
        }
        let mut statement = self.connection.prepare_cached("SELECT name FROM names WHERE id = ?1")?;
        let name: Arc<str> = statement.query_row([number], |row| row.get::<_, String>(0))?.into();
        self.known.borrow_mut().insert(number, Arc::clone(&name));
        Ok(name)
    }
}
