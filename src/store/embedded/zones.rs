//! Zone maps: which sources, types and targets occur among about a thousand neighbouring events.
//!
//! A list with a filter skips the zones that cannot hold what it looks for, so that no event needs an entry in an index
//! by source, by type or by target. Of a value that few events of a zone have, the zone says which: a webhook that gets
//! little among thousands of others costs a look for each of its events. The other zones are read whole. A
//! zone's values only grow: one that says too much costs a look, never a row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};

use super::index::seq_key;
use super::key::MixState;
use crate::domain::Seq;

/// A zone is closed when it has so many events.
const ZONE_EVENTS: i64 = if cfg!(test) { 16 } else { 1024 };
/// Of a value that more events of a zone have, the zone does not say which.
const EXACT_MAX: usize = if cfg!(test) { 4 } else { 16 };
/// Where the first zone begins.
const LOWEST: i64 = i64::MIN;

/// What a value is. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Source = 0,
    Type = 1,
    Target = 2,
    /// Only of events outside of the default project.
    Project = 3,
}

/// The newest zone, as the writer knows it.
#[derive(Debug, Default)]
pub(super) struct Zones {
    first: i64,
    events: i64,
    /// It was begun by this process: what is not known of it is not in the table either.
    is_whole: bool,
    /// What the table says of the newest zone already.
    marked: HashMap<(u64, u64), Holders, MixState>,
}

/// Which events of a zone have a value.
#[derive(Debug)]
enum Holders {
    /// These, by their [`seq_key`]s.
    Exactly(Vec<i64>),
    /// More than are written down.
    Many,
}

/// So many places are looked up at a time to find the next zone.
const STEPS_MAX: u64 = 64;

/// A walk from newer to older through the zones that may hold what is looked for.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    connection: &'a Connection,
    wanted: Vec<(Kind, i64)>,
    low: i64,
    /// Events of the zone that is being walked through, the newest last.
    exact: Vec<i64>,
    /// Where that zone begins.
    zone: i64,
    /// Everything above was handed out or skipped.
    pub(super) high: i64,
    /// Nothing is left.
    pub(super) done: bool,
    /// Places in the tables that were looked up.
    pub(super) steps: u64,
}

// === impl Zones ===

impl Zones {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let newest = connection
            .query_row("SELECT first, events FROM zones ORDER BY first DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let (first, events) = newest.unwrap_or((LOWEST, 0));
        Ok(Self { first, events, is_whole: false, marked: HashMap::default() })
    }

    /// The zone of an event that the index did not hold; called in the order of the events.
    pub(super) fn enter(&mut self, connection: &Connection, seq: Seq) -> rusqlite::Result<i64> {
        let key = seq_key(seq);
        if key < self.first {
            return zone_of(connection, key);
        }
        if self.events >= ZONE_EVENTS {
            self.write(connection)?;
            *self = Self { first: key, events: 0, is_whole: true, marked: std::mem::take(&mut self.marked) };
            self.marked.clear();
        }
        self.events += 1;
        Ok(self.first)
    }

    /// Says that an event of the zone has this value.
    pub(super) fn mark(
        &mut self,
        connection: &Connection,
        (zone, seq): (i64, Seq),
        kind: Kind,
        value: i64,
    ) -> rusqlite::Result<()> {
        let key = seq_key(seq);
        if zone != self.first {
            let mut holders = Holders::read(connection, (kind, value), zone)?.unwrap_or_default();
            return if holders.add(key) { holders.write(connection, (kind, value), zone) } else { Ok(()) };
        }
        let holders = match self.marked.entry((kind as u64, value.cast_unsigned())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) if self.is_whole => unknown.insert(Holders::default()),
            Entry::Vacant(unknown) => {
                unknown.insert(Holders::read(connection, (kind, value), zone)?.unwrap_or_default())
            }
        };
        if holders.add(key) { holders.write(connection, (kind, value), zone) } else { Ok(()) }
    }

    /// Writes how full the newest zone is; part of every transaction.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("INSERT OR REPLACE INTO zones VALUES (?1, ?2)")?
            .execute([self.first, self.events])?;
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
            if !left && zone != self.first && zone != LOWEST {
                connection.prepare_cached("DELETE FROM zone_values WHERE zone = ?1")?.execute([zone])?;
                connection.prepare_cached("DELETE FROM zones WHERE first = ?1")?.execute([zone])?;
            }
        }
        Ok(())
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
fn zone_after(connection: &Connection, zone: i64) -> rusqlite::Result<i64> {
    let next: Option<i64> = connection
        .prepare_cached("SELECT min(first) FROM zones WHERE first > ?1")?
        .query_row([zone], |row| row.get(0))?;
    Ok(next.unwrap_or(i64::MAX))
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// Through the events with keys from `low` to `high`, both included, that may have all of `wanted`.
    pub(super) fn new(connection: &'a Connection, wanted: Vec<(Kind, i64)>, low: i64, high: i64) -> Self {
        Self { connection, wanted, low, exact: Vec::new(), zone: LOWEST, high, done: low > high, steps: 0 }
    }

    /// The next range of keys that has to be read, both ends included; `None`: there is none, or (where it is
    /// not [`done`](Self::done)) it was not found yet.
    pub(super) fn next(&mut self) -> rusqlite::Result<Option<(i64, i64)>> {
        if self.wanted.is_empty() && !self.done {
            self.done = true;
            return Ok(Some((self.low, self.high)));
        }
        while self.exact.is_empty() && !self.done {
            let Some(range) = self.next_zone()? else { return Ok(None) };
            let Some(mut exact) = self.exact_in()? else {
                self.step_below();
                return Ok(Some(range));
            };
            exact.retain(|key| (range.0..=range.1).contains(key));
            exact.sort_unstable();
            self.exact = exact;
            if self.exact.is_empty() {
                self.step_below();
            }
        }
        let event = self.exact.pop();
        if event.is_some() {
            self.step_below();
        }
        Ok(event.map(|key| (key, key)))
    }

    /// The events of the zone that may have all of `wanted`, where it says so of one of them.
    fn exact_in(&mut self) -> rusqlite::Result<Option<Vec<i64>>> {
        let mut fewest: Option<Vec<i64>> = None;
        // Together they cost what one step to another zone does.
        self.steps += 1;
        for value in &self.wanted {
            if let Some(Holders::Exactly(keys)) = Holders::read(self.connection, *value, self.zone)?
                && fewest.as_ref().is_none_or(|fewest| keys.len() < fewest.len())
            {
                fewest = Some(keys);
            }
        }
        Ok(fewest)
    }

    /// What was handed out is behind us.
    fn step_below(&mut self) {
        if let Some(next) = self.exact.last() {
            self.high = *next;
        } else if self.zone <= self.low {
            self.done = true;
        } else {
            self.high = self.zone - 1;
        }
    }

    /// The range of the next zone that has all of `wanted`, as far as it is asked for; it may be empty.
    fn next_zone(&mut self) -> rusqlite::Result<Option<(i64, i64)>> {
        let mut zone = zone_of(self.connection, self.high)?;
        let (mut agree, steps_max) = (0, self.steps + STEPS_MAX);
        let mut wanted = self.wanted.iter().cycle();
        // Each value in turn says its newest zone at or before, until all say the same.
        while agree < self.wanted.len() {
            let Some((kind, value)) = wanted.next() else { break };
            self.steps += 1;
            if self.steps > steps_max {
                // No zone after this one has them all.
                self.high = self.high.min(zone_after(self.connection, zone)?.saturating_sub(1));
                return Ok(None);
            }
            let newest: Option<i64> = self
                .connection
                .prepare_cached("SELECT max(zone) FROM zone_values WHERE kind = ?1 AND value = ?2 AND zone <= ?3")?
                .query_row(params![*kind as i64, value, zone], |row| row.get(0))?;
            match newest {
                Some(newest) if newest == zone => agree += 1,
                Some(newest) => (zone, agree) = (newest, 1),
                None => {
                    self.done = true;
                    return Ok(None);
                }
            }
        }
        self.zone = zone;
        Ok(Some((zone.max(self.low), self.high.min(zone_after(self.connection, zone)?.saturating_sub(1)))))
    }
}

// === impl Holders ===

impl Default for Holders {
    fn default() -> Self {
        Self::Exactly(Vec::new())
    }
}

impl Holders {
    /// What the table says of a value in a zone.
    fn read(connection: &Connection, (kind, value): (Kind, i64), zone: i64) -> rusqlite::Result<Option<Self>> {
        let mut statement =
            connection.prepare_cached("SELECT seqs FROM zone_values WHERE kind = ?1 AND value = ?2 AND zone = ?3")?;
        let stored: Option<Option<Vec<u8>>> =
            statement.query_row(params![kind as i64, value, zone], |row| row.get(0)).optional()?;
        let (keys, _) = match &stored {
            None => return Ok(None),
            Some(None) => return Ok(Some(Self::Many)),
            Some(Some(bytes)) => bytes.as_chunks::<8>(),
        };
        Ok(Some(Self::Exactly(keys.iter().map(|key| i64::from_le_bytes(*key)).collect())))
    }

    /// One more; false: it is known, or not written down any more.
    fn add(&mut self, key: i64) -> bool {
        match self {
            Self::Many => return false,
            Self::Exactly(keys) if keys.contains(&key) => return false,
            Self::Exactly(keys) if keys.len() < EXACT_MAX => keys.push(key),
            Self::Exactly(_) => *self = Self::Many,
        }
        true
    }

    fn write(&self, connection: &Connection, (kind, value): (Kind, i64), zone: i64) -> rusqlite::Result<()> {
        let seqs: Option<Vec<u8>> = match self {
            Self::Many => None,
            Self::Exactly(keys) => Some(keys.iter().flat_map(|key| key.to_le_bytes()).collect()),
        };
        connection.prepare_cached("INSERT OR REPLACE INTO zone_values VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            kind as i64,
            value,
            zone,
            seqs
        ])?;
        Ok(())
    }
}
