//! What is counted for good: by name, hour and kind, in RAM while a transaction is gathered, then one row each.
//!
//! What the journal tells (events, attempts, ends) is written with the position that it reaches, so that nothing
//! counts twice or is forgotten by a crash. An index that is built anew counts what the journal still holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::Embedded;
use super::encode;
use super::index::{Index, IndexFault, number};
use super::key::MixState;
use super::names::Names;
use super::rejections::Answered;
use crate::domain::{DeliveryState, Timestamp};
use crate::store::{StoreError, TargetTotals, Totals};

/// Hours that are kept apart; what is older is added up.
pub(super) const HOURS_KEPT: u64 = 7 * 24;

/// What is counted. The numbers are stored: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// Deliveries of a target that ended so.
    Succeeded,
    Dead,
    Cancelled,
    Expired,
    /// Requests to a target, and the microseconds that they took.
    Attempts,
    AttemptMicros,
    /// Events of a source, and those of them that no route wanted.
    Accepted,
    Unrouted,
}

/// Counts of one transaction to be.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Names are ours, so that mixing is hash enough.
    current: HashMap<Arc<str>, Tally, MixState>,
    /// Tallies of a name that has gone over to another hour.
    past: Vec<(Arc<str>, Tally)>,
}

/// One name's counts of one hour.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    hour: u64,
    counts: [u64; Counted::ALL.len()],
}

/// The hour since 1970 of a time.
pub(super) fn hour_of(time: Timestamp) -> u64 {
    time.0 / 3_600_000
}

// === impl Counted ===

impl Counted {
    const ALL: [Self; 8] = [
        Self::Succeeded,
        Self::Dead,
        Self::Cancelled,
        Self::Expired,
        Self::Attempts,
        Self::AttemptMicros,
        Self::Accepted,
        Self::Unrouted,
    ];

    /// The end of a delivery; `None` while it is open.
    pub(super) fn end(state: DeliveryState) -> Option<Self> {
        match state {
            DeliveryState::Pending | DeliveryState::InFlight | DeliveryState::Held => None,
            DeliveryState::Succeeded => Some(Self::Succeeded),
            DeliveryState::Dead => Some(Self::Dead),
            DeliveryState::Cancelled => Some(Self::Cancelled),
            DeliveryState::Expired => Some(Self::Expired),
        }
    }

    fn from_stored(stored: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|counted| counted.stored() == stored)
    }

    /// Writes a count of a target where it belongs; those of sources have no place there.
    fn put(self, totals: &mut TargetTotals, count: u64) {
        match self {
            Self::Succeeded => totals.succeeded = count,
            Self::Dead => totals.dead = count,
            Self::Cancelled => totals.cancelled = count,
            Self::Expired => totals.expired = count,
            Self::Attempts => totals.attempts = count,
            Self::AttemptMicros => totals.attempt_time = Duration::from_micros(count),
            Self::Accepted | Self::Unrouted => {}
        }
    }

    fn stored(self) -> u8 {
        match self {
            Self::Succeeded => encode::state_byte(DeliveryState::Succeeded),
            Self::Dead => encode::state_byte(DeliveryState::Dead),
            Self::Cancelled => encode::state_byte(DeliveryState::Cancelled),
            Self::Expired => encode::state_byte(DeliveryState::Expired),
            Self::Attempts => 16,
            Self::AttemptMicros => 17,
            Self::Accepted => 18,
            Self::Unrouted => 19,
        }
    }
}

// === impl Counters, Tally ===

impl Counters {
    /// Counts under a name in an hour.
    pub(super) fn add(&mut self, name: &str, hour: u64, counts: impl IntoIterator<Item = (Counted, u64)>) {
        let Some(tally) = self.current.get_mut(name) else {
            self.current.insert(name.into(), Tally::new(hour).plus(counts));
            return;
        };
        if tally.hour != hour {
            self.past.push((name.into(), std::mem::replace(tally, Tally::new(hour))));
        }
        *tally = tally.plus(counts);
    }

    /// Adds everything to the table, a row each; part of the transaction.
    pub(super) fn write(&self, connection: &Connection, names: &mut Names) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO counters VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        let past = self.past.iter().map(|(name, tally)| (name, tally));
        for (name, tally) in self.current.iter().chain(past) {
            let name = names.number(connection, name)?;
            for (counted, count) in Counted::ALL.into_iter().zip(tally.counts).filter(|(_, count)| *count > 0) {
                statement.execute(params![name, number(tally.hour), counted.stored(), number(count)])?;
            }
        }
        Ok(())
    }
}

impl Tally {
    fn new(hour: u64) -> Self {
        Self { hour, counts: Default::default() }
    }

    fn plus(mut self, counts: impl IntoIterator<Item = (Counted, u64)>) -> Self {
        for (counted, count) in counts {
            if let Some(sum) = self.counts.get_mut(counted as usize) {
                *sum = sum.saturating_add(count);
            }
        }
        self
    }
}

// === impl Embedded ===

impl Embedded {
    /// What was ever counted of one target.
    pub(super) async fn add_up_target(&self, target: &str) -> Result<TargetTotals, StoreError> {
        self.flush_index().await;
        let target: Box<str> = target.into();
        self.readers.read(move |connection| read_target(connection, &target)).await
    }

    /// Everything that was ever counted, the last moment included.
    pub(super) async fn add_up(&self) -> Result<Totals, StoreError> {
        self.flush_index().await;
        let mut totals = self.readers.read(read).await?;
        let ledger = Arc::clone(&self.ledger);
        let refused = tokio::task::spawn_blocking(move || ledger.counts()).await;
        let refused = refused.map_err(|error| StoreError::Engine(error.to_string().into()))?;
        for count in refused.map_err(|error| StoreError::Engine(error.to_string().into()))? {
            let source = totals.sources.entry(count.source).or_default();
            match count.answered {
                Answered::Refused(reason) => *source.rejected.entry(reason).or_default() += count.count,
                Answered::AsCopy => source.duplicates += count.count,
                Answered::ByApp => source.passed_on += count.count,
            }
        }
        Ok(totals)
    }
}

fn read(connection: &Connection) -> Result<Totals, IndexFault> {
    let mut totals = Totals::default();
    let mut statement = connection.prepare_cached(
        "SELECT n.name, c.state, sum(c.count) FROM counters c JOIN names n ON n.id = c.target GROUP BY 1, 2",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, stored): (String, u8) = (row.get(0)?, row.get(1)?);
        let count = row.get::<_, i64>(2)?.cast_unsigned();
        match Counted::from_stored(stored) {
            None => {}
            Some(Counted::Accepted) => totals.source(name).accepted = count,
            Some(Counted::Unrouted) => totals.source(name).unrouted = count,
            Some(counted) => counted.put(totals.target(name), count),
        }
    }
    Ok(totals)
}

/// The same of one target.
fn read_target(connection: &Connection, target: &str) -> Result<TargetTotals, IndexFault> {
    let mut totals = TargetTotals::default();
    let mut statement = connection.prepare_cached(
        "SELECT c.state, sum(c.count) FROM names n CROSS JOIN counters c WHERE n.name = ?1 AND c.target = n.id GROUP BY 1",
    )?;
    let mut rows = statement.query([target])?;
    while let Some(row) = rows.next()? {
        if let Some(counted) = Counted::from_stored(row.get(0)?) {
            counted.put(&mut totals, row.get::<_, i64>(1)?.cast_unsigned());
        }
    }
    Ok(totals)
}

/// Adds up the hours before `oldest`, so that the table does not grow with the years.
pub(super) fn add_up_hours(index: &mut Index, oldest: u64) -> Result<(), IndexFault> {
    let transaction = index.connection.transaction()?;
    transaction.execute(
        "INSERT INTO counters SELECT target, 0, state, sum(count) FROM counters WHERE hour > 0 AND hour < ?1 GROUP BY 1, 3
         ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [number(oldest)],
    )?;
    transaction.execute("DELETE FROM counters WHERE hour > 0 AND hour < ?1", [number(oldest)])?;
    Ok(transaction.commit()?)
}
