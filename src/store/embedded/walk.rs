//! A walk through the [zones](super::zones) that may hold what a list looks for, from newer to older.
//!
//! Of each value the holders of the next zones are read ahead, in the order in which the table has them, so that a zone
//! in which the values do not meet costs about a microsecond a value.

use rusqlite::{Connection, params};

use super::holders::{Bits, Holders};
use super::zones::{Kind, LOWEST, read_keys, zone_after};

/// So many zones of a value are read ahead at first, and at the most.
const AHEAD: (u16, u16) = (4, 128);
/// An event that is handed out alone costs so many steps more than one in a range.
const EVENT_STEPS: u64 = 2;

/// What an event must have.
#[derive(Debug)]
pub(super) struct Sought {
    kind: Kind,
    value: i64,
    /// Of a target: deliveries that were in this state.
    state: Option<u8>,
    /// Zones that have it and who holds it there, the newest last; `None`: any of its events may.
    ahead: Vec<(i64, Option<Bits>)>,
    /// So many are read next.
    at_once: u16,
}

/// The walk.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    connection: &'a Connection,
    sought: Vec<Sought>,
    low: i64,
    /// Events of the zone that is being walked through, the newest last.
    exact: Vec<i64>,
    /// Where that zone begins.
    zone: i64,
    steps_max: u64,
    /// Everything above was handed out or skipped.
    pub(super) high: i64,
    /// Nothing is left.
    pub(super) done: bool,
    /// Entries of zones that were looked at, and events that were handed out alone.
    pub(super) steps: u64,
}

// === impl Sought ===

impl Sought {
    pub(super) fn new(kind: Kind, value: i64, state: Option<u8>) -> Self {
        Self { kind, value, state, ahead: Vec::new(), at_once: AHEAD.0 }
    }

    /// The newest zone at or below `zone` that has it.
    fn newest(&mut self, connection: &Connection, zone: i64) -> rusqlite::Result<Option<i64>> {
        while self.ahead.pop_if(|(its, _)| *its > zone).is_some() {}
        if self.ahead.is_empty() {
            let mut statement = connection.prepare_cached(
                "SELECT zone, holders FROM zone_values WHERE kind = ?1 AND value = ?2 AND zone <= ?3
                 ORDER BY zone DESC LIMIT ?4",
            )?;
            let mut rows = statement.query(params![self.kind as i64, self.value, zone, self.at_once])?;
            while let Some(row) = rows.next()? {
                let holders = Holders::from_bytes(row.get_ref(1)?.as_blob_or_null()?);
                self.ahead.push((row.get(0)?, holders.of(self.state)));
            }
            self.ahead.reverse();
            self.at_once = (self.at_once * 2).min(AHEAD.1);
        }
        Ok(self.ahead.last().map(|(zone, _)| *zone))
    }
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// Through the events with keys from `low` to `high`, both included, that may have all of `sought`; it gives up
    /// after `steps_max` steps.
    pub(super) fn new(
        connection: &'a Connection,
        sought: Vec<Sought>,
        (low, high): (i64, i64),
        steps_max: u64,
    ) -> Self {
        Self { connection, sought, low, exact: Vec::new(), zone: LOWEST, steps_max, high, done: low > high, steps: 0 }
    }

    /// The next range of keys that has to be read, both ends included; `None`: there is none, or (where it is
    /// not [`done`](Self::done)) it was not found yet.
    pub(super) fn next(&mut self) -> rusqlite::Result<Option<(i64, i64)>> {
        if self.sought.is_empty() && !self.done {
            self.done = true;
            return Ok(Some((self.low, self.high)));
        }
        while self.exact.is_empty() && !self.done {
            if self.steps >= self.steps_max || !self.find_zone()? {
                return Ok(None);
            }
            if let Some(range) = self.enter_zone()? {
                self.step_below();
                return Ok(Some(range));
            }
            if self.exact.is_empty() {
                self.step_below();
            }
        }
        let event = self.exact.pop();
        if event.is_some() {
            self.steps += EVENT_STEPS;
            self.step_below();
        }
        Ok(event.map(|key| (key, key)))
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

    /// Finds the next zone that has all that is sought; false: it was not found (yet).
    fn find_zone(&mut self) -> rusqlite::Result<bool> {
        let (mut zone, mut agree) = (self.high, 0);
        let (count, mut at) = (self.sought.len(), 0);
        // Each in turn says its newest zone at or before, until all say the same.
        while agree < count {
            let Some(sought) = self.sought.get_mut(at % count) else { break };
            at += 1;
            self.steps += 1;
            if self.steps > self.steps_max && at > count {
                // No zone after this one has them all.
                self.high = self.high.min(zone_after(self.connection, zone)?.saturating_sub(1));
                return Ok(false);
            }
            match sought.newest(self.connection, zone)? {
                // The first one said by chance what was asked: it is a zone all the same.
                Some(newest) if newest == zone => agree += 1,
                Some(newest) => (zone, agree) = (newest, 1),
                None => {
                    self.done = true;
                    return Ok(false);
                }
            }
        }
        self.zone = zone;
        Ok(true)
    }

    /// Finds the events of the zone that have all that is sought, or a range that has to be read instead: most of them
    /// have it, or it is not known which.
    fn enter_zone(&mut self) -> rusqlite::Result<Option<(i64, i64)>> {
        let zone = self.zone;
        let known = self.sought.iter().filter_map(|sought| sought.ahead.last()?.1.as_ref());
        let common = known.fold(None::<Bits>, |common, bits| match common {
            Some(mut common) => {
                common.keep(bits);
                Some(common)
            }
            None => Some(bits.clone()),
        });
        if common.as_ref().is_some_and(Bits::is_empty) {
            return Ok(None);
        }
        let range = (zone.max(self.low), self.high.min(zone_after(self.connection, zone)?.saturating_sub(1)));
        let Some(common) = common else { return Ok(Some(range)) };
        let Some(keys) = read_keys(self.connection, zone)? else { return Ok(Some(range)) };
        let found: Option<Vec<i64>> = common.places().map(|place| keys.get(place).copied()).collect();
        let Some(mut found) = found else { return Ok(Some(range)) };
        found.retain(|key| (range.0..=range.1).contains(key));
        found.sort_unstable();
        match (found.first(), found.last()) {
            (Some(first), Some(last)) if common.count() * 2 > keys.len() => Ok(Some((*first, *last))),
            _ => {
                self.exact = found;
                Ok(None)
            }
        }
    }
}
