//! Lists of the index: rows that match a filter, newest first, bounded in how many rows are looked at.
//!
//! States that are rare (open, dead, cancelled, expired) have indexes that hold only them. Everything else is
//! read from the newest event on, by the zones in which the wanted source, type and target occur. A page that
//! would look at too many rows ends early and says where to go on.
//!
//! The rare states are [`rare`](super::rare).

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Rows};

use super::encode;
use super::index::{IndexFault, seq_key, seq_of};
use super::key::Key;
use super::names::NamesRead;
use super::record::Place;
use super::rows::{self, DELIVERY_COLUMNS, DeliveryRecordRow, lookup_hash};
use super::runs;
use super::walk::{Sought, Walk};
use super::zones::{DEFAULT_PROJECT_VALUE, Kind};
use crate::domain::event::DEFAULT_PROJECT;
use crate::domain::{DeliveryState, IdMint, Seq, Timestamp};
use crate::store::{DeliveryFilter, EventFilter, EventRow};

/// A page looks at no more rows than this.
pub(super) const ROWS_VISITED_MAX: u64 = if cfg!(test) { 100 } else { 10_000 };
/// A step through the zones costs about as much as looking at so many rows.
const ZONE_STEP_ROWS: u64 = 1;
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
    pub(super) project: Arc<str>,
}

/// A search under way.
pub(super) struct Search<'a, R> {
    pub(super) bounds: Bounds,
    pub(super) names: NamesRead<'a>,
    pub(super) found: Found<R>,
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
    about: About,
}

/// What an event's row says of it besides its place: names by number.
#[derive(Clone, Copy)]
pub(super) struct About {
    source: i64,
    event_type: Option<i64>,
    /// `None`: the default project.
    project: Option<i64>,
}

/// What the text of a filter is as numbers; a name that nothing has finds nothing.
pub(super) struct Wanted {
    pub(super) source: Option<i64>,
    pub(super) event_type: Option<i64>,
    pub(super) target: Option<i64>,
    /// The default project has no number.
    pub(super) project: Option<Option<i64>>,
    pub(super) low: i64,
    pub(super) high: i64,
}

/// Events that match.
pub(super) fn events(
    connection: &Connection,
    filter: &EventFilter,
    bounds: Bounds,
    mint: &IdMint,
) -> Result<Found<EventRow>, IndexFault> {
    let mut search = Search::new(connection, bounds);
    let names = [filter.source.as_deref(), filter.event_type.as_deref(), None, filter.project.as_deref()];
    let created = (filter.created_gte, filter.created_lte);
    let Some(mut wanted) = Wanted::read(connection, names, created)? else { return Ok(search.found) };
    if let Some((seq, _)) = bounds.after {
        wanted.before(seq_key(seq));
    }
    let mut statement = connection.prepare_cached(
        "SELECT seq, source, type, project, source_event_id, body_bytes, deliveries FROM events
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
    let mut walk = wanted.walk(connection, None, bounds.visited_max);
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
    let (source, event_type, target) = (&filter.source, &filter.event_type, &filter.target);
    let names = [source, event_type, target, &filter.project].map(Option::as_deref);
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
            search.rare(state, &mut wanted, &states)?;
        }
        state => search.all(&mut wanted.walk(connection, state, bounds.visited_max), &wanted, &states)?,
    }
    Ok(search.found)
}

/// Of these deliveries those that match and stand, by `open_now`, as is wanted.
pub(super) fn those(
    connection: &Connection,
    filter: &DeliveryFilter,
    bounds: Bounds,
    mut keys: Vec<Key>,
    open_now: &dyn Fn(&str, Key) -> DeliveryState,
) -> Result<Found<Candidate>, IndexFault> {
    let mut search = Search::new(connection, bounds);
    let is_wanted = |at: Timestamp| {
        filter.created_gte.is_none_or(|from| at >= from) && filter.created_lte.is_none_or(|to| at <= to)
    };
    keys.retain(|key| search.is_older(*key) && is_wanted(key.seq.time()));
    keys.sort_unstable_by_key(|key| std::cmp::Reverse((key.seq, key.ordinal)));
    let is = |wanted: &Option<Box<str>>, its: Option<&str>| wanted.as_deref().is_none_or(|text| its == Some(text));
    for key in keys {
        search.found.visited += 1;
        // One that was admitted a moment ago may not be in the index yet, one that ended may be gone.
        let Some(mut listed) = delivery(connection, key)?.filter(|listed| listed.state.is_open()) else { continue };
        listed.state = open_now(&listed.row.target, key);
        let fits = filter.state.is_none_or(|state| state == listed.state)
            && is(&filter.source, Some(&listed.source))
            && is(&filter.event_type, listed.event_type.as_deref())
            && is(&filter.target, Some(&listed.row.target))
            && is(&filter.project, Some(&listed.project));
        if fits && search.take(listed) {
            break;
        }
    }
    Ok(search.found)
}

/// One delivery, as its row says.
pub(super) fn delivery(connection: &Connection, key: Key) -> Result<Option<Candidate>, IndexFault> {
    let names = NamesRead::new(connection);
    let Some(row) = rows::read(connection, key, |number| names.name(number))? else { return Ok(None) };
    let about = connection
        .prepare_cached("SELECT source, type, project FROM events WHERE seq = ?1")?
        .query_row([seq_key(key.seq)], |row| about(row, 0))?;
    Ok(Some(candidate(key, row.progress.state, row, about, &names)?))
}

/// What an event is about, from three columns that start at `from`.
pub(super) fn about(row: &Row<'_>, from: usize) -> rusqlite::Result<About> {
    Ok(About { source: row.get(from)?, event_type: row.get(from + 1)?, project: row.get(from + 2)? })
}

fn candidate(
    key: Key,
    state: DeliveryState,
    row: DeliveryRecordRow,
    about: About,
    names: &NamesRead<'_>,
) -> rusqlite::Result<Candidate> {
    let event_type = about.event_type.map(|number| names.name(number)).transpose()?;
    let project = names.project(about.project)?;
    Ok(Candidate { key, row, state, source: names.name(about.source)?, event_type, project })
}

// === impl Wanted ===

impl Wanted {
    /// `None` where a name is unknown: nothing can be found.
    fn read(
        connection: &Connection,
        names: [Option<&str>; 4],
        (from, to): (Option<Timestamp>, Option<Timestamp>),
    ) -> rusqlite::Result<Option<Self>> {
        let mut statement = connection.prepare_cached("SELECT id FROM names WHERE name = ?1")?;
        let in_default = names.last() == Some(&Some(DEFAULT_PROJECT));
        let mut numbers = [None; 4];
        for (name, number) in names.into_iter().take(if in_default { 3 } else { 4 }).zip(&mut numbers) {
            if let Some(name) = name {
                let Some(found) = statement.query_row([name], |row| row.get(0)).optional()? else { return Ok(None) };
                *number = Some(found);
            }
        }
        let [source, event_type, target, project] = numbers;
        let project = if in_default { Some(None) } else { project.map(Some) };
        let low = from.map_or(i64::MIN, |at| seq_key(Seq::first_at(at)));
        let mut wanted = Self { source, event_type, target, project, low, high: i64::MAX };
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

    /// Through the events that may have what is wanted, a delivery that was in `state` included.
    pub(super) fn walk<'a>(
        &self,
        connection: &'a Connection,
        state: Option<DeliveryState>,
        visited_max: u64,
    ) -> Walk<'a> {
        let state = state.map(encode::state_byte);
        let project = self.project.map(|number| number.unwrap_or(DEFAULT_PROJECT_VALUE));
        let values = [(Kind::Source, self.source), (Kind::Type, self.event_type), (Kind::Project, project)];
        let mut sought: Vec<Sought> =
            values.into_iter().filter_map(|(kind, value)| Some(Sought::new(kind, value?, None))).collect();
        match (self.target, state) {
            (Some(target), state) => sought.push(Sought::new(Kind::Target, target, state)),
            (None, Some(state)) => sought.push(Sought::new(Kind::State, state.into(), None)),
            (None, None) => {}
        }
        Walk::new(connection, sought, (self.low, self.high), visited_max / ZONE_STEP_ROWS)
    }

    pub(super) fn fits(&self, event: About) -> bool {
        self.source.is_none_or(|wanted| wanted == event.source)
            && self.event_type.is_none_or(|wanted| event.event_type == Some(wanted))
            && self.project.is_none_or(|wanted| wanted == event.project)
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
    pub(super) fn is_enough(&mut self, at: (Seq, u16)) -> bool {
        let stop = self.found.visited >= self.bounds.visited_max;
        if stop {
            self.found.stopped_at = Some(at);
        }
        stop
    }

    /// Counts what finding the zones has cost.
    pub(super) fn zone_is_last(&mut self, walk: &Walk<'_>) -> bool {
        !walk.done && self.found.visited + walk.steps * ZONE_STEP_ROWS >= self.bounds.visited_max && {
            self.ended(walk);
            true
        }
    }

    pub(super) fn ended(&mut self, walk: &Walk<'_>) {
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
            let about = about(row, 1)?;
            let same_id = id.is_none_or(|id| row.get_ref(4).is_ok_and(|its| its.as_str() == Ok(id)));
            if same_id && wanted.fits(about) && {
                let shown = self.event_row(row, seq, about, mint)?;
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

    fn event_row(&self, row: &Row<'_>, seq: Seq, about: About, mint: &IdMint) -> Result<EventRow, IndexFault> {
        let event_type = about.event_type.map(|number| self.names.name(number)).transpose()?;
        Ok(EventRow {
            id: mint.event(seq),
            source: self.names.name(about.source)?,
            project: self.names.project(about.project)?,
            source_event_id: row.get::<_, Option<String>>(4)?.map(String::into_boxed_str),
            event_type: event_type.map(|name| (*name).into()),
            received_at: seq.time(),
            body_bytes: row.get::<_, i64>(5)?.cast_unsigned(),
            deliveries: row.get(6)?,
        })
    }
}

impl Search<'_, Candidate> {
    /// Deliveries by the events' rows: what is packed there, and the rows of their own.
    fn all(&mut self, walk: &mut Walk<'_>, wanted: &Wanted, states: &States<'_>) -> Result<(), IndexFault> {
        let connection = self.names.connection;
        let mut events = connection.prepare_cached(
            "SELECT seq, segment, offset, bytes, source, type, project, done FROM events
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
                let event = EventHead { seq, place: rows::place(row, 1)?, about: about(row, 4)? };
                let looked_at = wanted.fits(event.about);
                let mut packed = if looked_at { rows::done(row, 7, seq, event.place)? } else { Vec::new() };
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
        self.show(key, row, event.about, states)
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
        self.show(key, row, event.about, states)
    }

    /// True: the page is full.
    pub(super) fn show(
        &mut self,
        key: Key,
        row: DeliveryRecordRow,
        about: About,
        states: &States<'_>,
    ) -> Result<bool, IndexFault> {
        let stored = row.progress.state;
        let state = if stored.is_open() { (states.open_now)(&row.target, key) } else { stored };
        if states.wanted.is_some_and(|wanted| wanted != state) {
            return Ok(false);
        }
        let candidate = candidate(key, state, row, about, &self.names)?;
        Ok(self.take(candidate))
    }

    pub(super) fn is_older(&self, key: Key) -> bool {
        self.bounds.after.is_none_or(|after| (key.seq, key.ordinal) < after)
    }
}
