//! What is kept, as lists and one by one.
//!
//! The index catches up with the journal first; what only memory knows (held, in flight) is laid over the
//! open rows. How the index is searched: [`lists`].

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::Embedded;
use super::claims::read_event;
use super::decode;
use super::index::{IndexFault, seq_key};
use super::key::Key;
use super::lane::Lanes;
use super::lists::{self, Bounds, Candidate, ROWS_VISITED_MAX};
use super::record::Place;
use super::rows::{self, DeliveryRecordRow};
use super::segments::Segments;
use crate::domain::{DeliveryId, DeliveryState, Event, EventId, IdMint, Seq};
use crate::store::query::{Listed, PAGE_ROWS_MAX};
use crate::store::{AttemptRow, DeliveryFilter, DeliveryRow, EventFilter, EventRow, Page, PageRequest, StoreError};

// === impl Embedded ===

impl Embedded {
    pub(super) async fn list_events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Page<EventRow>, StoreError> {
        self.flush_index().await;
        let mint = self.mint.clone();
        let bounds = bounds(page);
        let read = self.readers.read(move |connection| lists::events(connection, &filter, bounds, &mint));
        Ok(cut(read.await?, bounds, |row| row, |seq, _| self.mint.event(seq)))
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
        let Some(filter) = self.narrowed(filter) else {
            return Ok(Page { rows: Vec::new(), has_more: false, stopped_at: None });
        };
        self.flush_index().await;
        let bounds = bounds(page);
        let in_flight = self.in_flight(&filter);
        let lanes = Arc::clone(&self.lanes);
        let read = self.readers.read(move |connection| {
            let open_now = |target: &str, key: Key| open_state(&lanes, target, key);
            match in_flight {
                Some(keys) => lists::those(connection, &filter, bounds, keys, &open_now),
                None => lists::deliveries(connection, &filter, bounds, &open_now),
            }
        });
        Ok(cut(read.await?, bounds, |listed| self.to_row(listed), |seq, ordinal| self.mint.delivery(seq, ordinal)))
    }

    /// A filter by what only memory knows, in the terms of the index, where that narrows it; `None`: nothing fits.
    fn narrowed(&self, mut filter: DeliveryFilter) -> Option<DeliveryFilter> {
        let is_active = match filter.state {
            Some(DeliveryState::Held) => false,
            Some(DeliveryState::Pending) => true,
            _ => return Some(filter),
        };
        // While they are loaded lanes come to be.
        if filter.event.is_some() || !*self.loaded.borrow() {
            return Some(filter);
        }
        if let Some(target) = &filter.target {
            let now = self.lanes.get(target).is_some_and(|lane| lane.is_active());
            return (now == is_active).then_some(filter);
        }
        if is_active {
            return Some(filter);
        }
        let mut held = self.lanes.all().into_iter().filter(|lane| !lane.is_active());
        let first = held.next()?;
        if held.next().is_none() {
            filter.target = Some((*first.name).into());
        }
        Some(filter)
    }

    /// Every delivery that is in flight, where that is what is asked for.
    fn in_flight(&self, filter: &DeliveryFilter) -> Option<Vec<Key>> {
        if filter.state != Some(DeliveryState::InFlight) || filter.event.is_some() {
            return None;
        }
        let lanes = match &filter.target {
            Some(target) => self.lanes.get(target).into_iter().collect(),
            None => self.lanes.all(),
        };
        Some(lanes.iter().flat_map(|lane| lane.with(|queue| queue.keys_in_flight())).collect())
    }

    pub(super) async fn read_one_delivery(&self, id: DeliveryId) -> Result<(DeliveryRow, Vec<AttemptRow>), StoreError> {
        let key = self.delivery_key(id)?;
        self.flush_index().await;
        let (segments, mint) = (Arc::clone(&self.segments), self.mint.clone());
        let read = self.readers.read(move |connection| {
            let Some(listed) = lists::delivery(connection, key)? else { return Ok(None) };
            let mut places = attempt_places(connection, key)?;
            places.extend(listed.row.last);
            let attempts = places.into_iter().filter_map(|place| read_attempt(&segments, place, key, &mint));
            let attempts: Vec<AttemptRow> = attempts.collect();
            Ok(Some((listed, attempts)))
        });
        let (mut listed, attempts) = read.await?.ok_or(StoreError::NotFound)?;
        if listed.state.is_open() {
            listed.state = open_state(&self.lanes, &listed.row.target, key);
        }
        Ok((self.to_row(listed), attempts))
    }

    fn to_row(&self, listed: Candidate) -> DeliveryRow {
        let Candidate { key, row, state, source, event_type, project } = listed;
        let progress = row.progress;
        DeliveryRow {
            id: self.mint.delivery(key.seq, key.ordinal),
            event: self.mint.event(key.seq),
            target: row.target,
            source,
            project,
            event_type: event_type.map(|name| (*name).into()),
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
}

/// What only memory knows of an open delivery.
fn open_state(lanes: &Lanes, target: &str, key: Key) -> DeliveryState {
    match lanes.get(target) {
        Some(lane) if lane.with(|queue| queue.is_in_flight(key)) => DeliveryState::InFlight,
        Some(lane) if lane.is_active() => DeliveryState::Pending,
        _ => DeliveryState::Held,
    }
}

/// One delivery's row, for those who change it.
pub(super) fn read_delivery(connection: &Connection, key: Key) -> Result<Option<DeliveryRecordRow>, IndexFault> {
    Ok(lists::delivery(connection, key)?.map(|listed| listed.row))
}

pub(super) fn attempt_places(connection: &Connection, key: Key) -> Result<Vec<Place>, IndexFault> {
    let mut statement = connection.prepare_cached(
        "SELECT segment, offset, bytes FROM attempts WHERE seq = ?1 AND ordinal = ?2 ORDER BY number",
    )?;
    let places = statement.query_map(params![seq_key(key.seq), key.ordinal], |row| {
        Ok(Place { segment: row.get(0)?, offset: row.get(1)?, bytes: row.get(2)? })
    })?;
    Ok(places.collect::<rusqlite::Result<_>>()?)
}

/// An attempt as the journal has it; `None` where its segment is gone or it is damaged.
fn read_attempt(segments: &Segments, place: Place, key: Key, mint: &IdMint) -> Option<AttemptRow> {
    let payload = segments.read(place).ok()?;
    let record = decode::settled(&payload)?;
    if (record.seq, record.ordinal) != (key.seq, key.ordinal) {
        return None;
    }
    let id = mint.attempt(key.seq, key.ordinal, record.attempt.number);
    Some(AttemptRow::new(id, record.attempt))
}

/// One row more than is shown says whether more follow.
fn bounds(page: PageRequest) -> Bounds {
    let rows = page.limit.clamp(1, PAGE_ROWS_MAX) + 1;
    Bounds { rows, visited_max: ROWS_VISITED_MAX, after: page.after }
}

fn cut<Found, Shown: Listed>(
    mut found: lists::Found<Found>,
    bounds: Bounds,
    show: impl FnMut(Found) -> Shown,
    id: impl FnOnce(Seq, u16) -> Shown::Id,
) -> Page<Shown> {
    let full = found.rows.len() >= bounds.rows;
    found.rows.truncate(bounds.rows - 1);
    // Where the page is full, its last row says where to go on.
    let stopped_at = found.stopped_at.filter(|_| !full).map(|(seq, ordinal)| id(seq, ordinal));
    let rows = found.rows.into_iter().map(show).collect();
    Page { rows, has_more: full || stopped_at.is_some(), stopped_at }
}
