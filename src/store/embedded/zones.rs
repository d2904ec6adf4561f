//! Zone maps: which sources, types and targets occur among about a thousand neighbouring events, and in which of them.
//!
//! A list with a filter skips the zones that cannot hold what it looks for, so that no event needs an entry in an index
//! by source, by type or by target. A zone knows of each value the events that [hold](super::holders) it, of a target by
//! the states in which its deliveries were: where two values are common and never meet, their zones are skipped without a
//! look at a row. A zone's values only grow: one that says too much costs a look, never a row.
//!
//! How they are searched: [`walk`](super::walk).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};

use super::holders::{Holders, PLACES_MAX, pack_keys, unpack_keys};
use super::index::seq_key;
use super::key::MixState;
use crate::domain::Seq;

/// A zone is closed when it has so many events.
const ZONE_EVENTS: usize = if cfg!(test) { 16 } else { 1024 };
/// Where the first zone begins.
pub(super) const LOWEST: i64 = i64::MIN;

/// Stands for the default project, which has no number; names are numbered from 1 on.
pub(super) const DEFAULT_PROJECT_VALUE: i64 = 0;

/// What a value is. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Source = 0,
    Type = 1,
    /// Held by state: as deliveries to it stood when they were written.
    Target = 2,
    Project = 3,
    /// A delivery's, as a stored byte, whatever its target.
    State = 4,
}

/// The zones that the writer has in memory.
#[derive(Debug, Default)]
pub(super) struct Zones {
    newest: i64,
    /// The newest, and those that the transaction has touched.
    open: HashMap<i64, Zone, MixState>,
}

#[derive(Debug, Default)]
struct Zone {
    /// Of its events that have a place.
    keys: Vec<i64>,
    has_new_keys: bool,
    /// It was begun by this process: what is not known of it is not in the table either.
    is_whole: bool,
    /// What is known of it, and whether the table does not say so yet.
    held: HashMap<(u64, u64), (Holders, bool), MixState>,
}

/// Where an event is.
#[derive(Clone, Copy, Debug)]
pub(super) struct InZone {
    zone: i64,
    /// `None`: the zone has too many.
    place: Option<u16>,
}

// === impl Zones ===

impl Zones {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let newest: Option<i64> = connection.query_row("SELECT max(first) FROM zones", [], |row| row.get(0))?;
        Ok(Self { newest: newest.unwrap_or(LOWEST), open: HashMap::default() })
    }

    /// Takes an event that the index did not hold; called in the order of the events.
    pub(super) fn enter(&mut self, connection: &Connection, seq: Seq) -> rusqlite::Result<InZone> {
        let key = seq_key(seq);
        if key < self.newest {
            return self.find(connection, seq);
        }
        let mut zone = self.zone(connection, self.newest)?;
        if zone.keys.len() >= ZONE_EVENTS {
            // Who looks for a zone in this transaction finds it.
            connection.prepare_cached("INSERT OR REPLACE INTO zones VALUES (?1, NULL)")?.execute([key])?;
            self.newest = key;
            zone = self.open.entry(key).or_default();
            zone.is_whole = true;
        }
        let place = zone.push(key);
        Ok(InZone { zone: self.newest, place })
    }

    /// Where an event is that entered before (or was carried here, and has its place from now on).
    pub(super) fn find(&mut self, connection: &Connection, seq: Seq) -> rusqlite::Result<InZone> {
        let key = seq_key(seq);
        let first = if key >= self.newest { self.newest } else { zone_of(connection, key)? };
        let zone = self.zone(connection, first)?;
        // Most are in order.
        let at = zone.keys.binary_search(&key).ok().or_else(|| zone.keys.iter().rposition(|its| *its == key));
        let place = match at {
            Some(at) => u16::try_from(at).ok(),
            None => zone.push(key),
        };
        Ok(InZone { zone: first, place })
    }

    /// Says that an event has this value, in this state (0 where the value is not a delivery's).
    pub(super) fn mark(
        &mut self,
        connection: &Connection,
        event: InZone,
        kind: Kind,
        value: i64,
        state: u8,
    ) -> rusqlite::Result<()> {
        let zone = self.zone(connection, event.zone)?;
        let (holders, is_changed) = match zone.held.entry((kind as u64, value.cast_unsigned())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) if zone.is_whole => unknown.insert((Holders::default(), false)),
            Entry::Vacant(unknown) => {
                let stored = read_holders(connection, (kind, value), event.zone)?;
                unknown.insert((stored.unwrap_or_default(), false))
            }
        };
        *is_changed |= holders.add(state, event.place);
        Ok(())
    }

    /// Writes what has changed; part of every transaction.
    pub(super) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut changed = Vec::new();
        for (first, zone) in &mut self.open {
            if std::mem::take(&mut zone.has_new_keys) {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO zones VALUES (?1, ?2)")?
                    .execute(params![first, pack_keys(*first, &zone.keys)])?;
            }
            for (&(kind, value), (holders, is_changed)) in &mut zone.held {
                if std::mem::take(is_changed) {
                    changed.push((kind.cast_signed(), value.cast_signed(), *first, holders.to_bytes()));
                }
            }
        }
        changed.sort_unstable_by_key(|(kind, value, first, _)| (*kind, *value, *first));
        let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO zone_values VALUES (?1, ?2, ?3, ?4)")?;
        for (kind, value, first, holders) in changed {
            statement.execute(params![kind, value, first, holders])?;
        }
        let newest = self.newest;
        self.open.retain(|first, _| *first == newest);
        Ok(())
    }

    /// Forgets the zones of these events (their [`seq_key`]s, in order) that have none left.
    pub(super) fn forget(&mut self, connection: &Connection, keys: &[i64]) -> rusqlite::Result<()> {
        let mut seen = None;
        for key in keys {
            if seen.is_some_and(|(first, end)| (first..end).contains(key)) {
                continue;
            }
            let zone = zone_of(connection, *key)?;
            let end = zone_after(connection, zone)?;
            seen = Some((zone, end));
            let left: bool = connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE seq >= ?1 AND seq < ?2)")?
                .query_row([zone, end], |row| row.get(0))?;
            if !left && zone != self.newest && zone != LOWEST {
                connection.prepare_cached("DELETE FROM zone_values WHERE zone = ?1")?.execute([zone])?;
                connection.prepare_cached("DELETE FROM zones WHERE first = ?1")?.execute([zone])?;
            }
        }
        Ok(())
    }

    fn zone(&mut self, connection: &Connection, first: i64) -> rusqlite::Result<&mut Zone> {
        Ok(match self.open.entry(first) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(closed) => {
                let keys = read_keys(connection, first)?;
                // Of keys that cannot be read nobody has a place any more.
                let keys = keys.unwrap_or_else(|| vec![LOWEST; PLACES_MAX]);
                closed.insert(Zone { keys, ..Zone::default() })
            }
        })
    }
}

// === impl Zone ===

impl Zone {
    fn push(&mut self, key: i64) -> Option<u16> {
        let place = self.keys.len();
        (place < PLACES_MAX).then(|| {
            self.keys.push(key);
            self.has_new_keys = true;
            u16::try_from(place).ok()
        })?
    }
}

/// The zone in which an event with this [`seq_key`] lies.
pub(super) fn zone_of(connection: &Connection, key: i64) -> rusqlite::Result<i64> {
    let zone: Option<i64> = connection
        .prepare_cached("SELECT max(first) FROM zones WHERE first <= ?1")?
        .query_row([key], |row| row.get(0))?;
    Ok(zone.unwrap_or(LOWEST))
}

/// Where the zone after this one begins.
pub(super) fn zone_after(connection: &Connection, zone: i64) -> rusqlite::Result<i64> {
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(first) FROM zones WHERE first > ?1")?
        .query_row([zone], |row| row.get(0))?;
    Ok(next.unwrap_or(i64::MAX))
}

/// The events of a zone by their places; `None`: it does not say.
pub(super) fn read_keys(connection: &Connection, first: i64) -> rusqlite::Result<Option<Vec<i64>>> {
    let stored: Option<Option<Vec<u8>>> = connection
        .prepare_cached("SELECT keys FROM zones WHERE first = ?1")?
        .query_row([first], |row| row.get(0))
        .optional()?;
    Ok(unpack_keys(first, stored.flatten().as_deref().unwrap_or_default()))
}

/// What the table says of a value in a zone.
fn read_holders(connection: &Connection, (kind, value): (Kind, i64), zone: i64) -> rusqlite::Result<Option<Holders>> {
    connection
        .prepare_cached("SELECT holders FROM zone_values WHERE kind = ?1 AND value = ?2 AND zone = ?3")?
        .query_row(params![kind as i64, value, zone], |row| Ok(Holders::from_bytes(row.get_ref(0)?.as_blob_or_null()?)))
        .optional()
}
