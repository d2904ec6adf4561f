//! Zone maps: which sources, types and targets occur among about a thousand neighbouring events.
//!
//! A list with a filter skips the zones that cannot hold what it looks for and reads the others whole, so that
//! no event needs an entry in an index by source, by type or by target. A zone's values only grow: one that
//! says too much costs a look, never a row.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::index::seq_key;
use super::key::MixState;
use crate::domain::Seq;

/// A zone is closed when it has so many events.
const ZONE_EVENTS: i64 = if cfg!(test) { 16 } else { 1024 };
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
    /// What the table says of the newest zone already.
    marked: HashSet<(u64, u64), MixState>,
}

/// So many places are looked up at a time to find the next zone.
const STEPS_MAX: u64 = 64;

/// A walk from newer to older through the zones that may hold what is looked for.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    connection: &'a Connection,
    wanted: Vec<(Kind, i64)>,
    low: i64,
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
        Ok(Self { first, events, marked: HashSet::default() })
    }

    /// The zone of an event that the index did not hold; called in the order of the events.
    pub(super) fn enter(&mut self, connection: &Connection, seq: Seq) -> rusqlite::Result<i64> {
        let key = seq_key(seq);
        if key < self.first {
            return zone_of(connection, key);
        }
        if self.events >= ZONE_EVENTS {
            self.write(connection)?;
            *self = Self { first: key, events: 0, marked: std::mem::take(&mut self.marked) };
            self.marked.clear();
        }
        self.events += 1;
        Ok(self.first)
    }

    /// Says that the zone has this value.
    pub(super) fn mark(&mut self, connection: &Connection, zone: i64, kind: Kind, value: i64) -> rusqlite::Result<()> {
        if zone == self.first && !self.marked.insert((kind as u64, value.cast_unsigned())) {
            return Ok(());
        }
        connection.prepare_cached("INSERT OR IGNORE INTO zone_values VALUES (?1, ?2, ?3)")?.execute(params![
            kind as i64,
            value,
            zone
        ])?;
        Ok(())
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
        Self { connection, wanted, low, high, done: low > high, steps: 0 }
    }

    /// The next range of keys that has to be read, both ends included; `None`: there is none, or (where it is
    /// not [`done`](Self::done)) it was not found yet.
    pub(super) fn next(&mut self) -> rusqlite::Result<Option<(i64, i64)>> {
        if self.done {
            return Ok(None);
        }
        if self.wanted.is_empty() {
            self.done = true;
            return Ok(Some((self.low, self.high)));
        }
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
        let range = (zone.max(self.low), self.high.min(zone_after(self.connection, zone)?.saturating_sub(1)));
        if zone <= self.low {
            self.done = true;
        } else {
            self.high = zone - 1;
        }
        Ok((range.0 <= range.1).then_some(range))
    }
}
