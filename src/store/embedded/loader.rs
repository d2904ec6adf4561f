//! After a start: the open deliveries go from the index into their lanes, and the filters of the dedup
//! table are built, oldest event first, while the engine already takes new events.
//!
//! A row that is damaged ends nothing: the index is built anew from the journal and loading goes on where it was.
//! Nobody can have touched what was not loaded yet, for claims come from the lanes, and people's changes wait.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::dedup::Dedup;
use super::fold::Fold;
use super::index::{IndexFault, seq_key, seq_of};
use super::indexer::Progress;
use super::key::Key;
use super::lane::Lanes;
use super::queue::{Entry, NEVER};
use super::readers::Readers;
use super::{rows, runs};
use crate::domain::{Clock, Seq};

/// Rows of one read: a long read would keep the WAL from being checkpointed.
const PAGE_ROWS: usize = 10_000;

/// An index that is still damaged when it was built anew so often lies on a disk that damages it.
const REBUILDS_MAX: u32 = 3;

/// How far loading is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// The last delivery that is in its lane, as its row's key.
    after: (i64, i64),
    /// How many are.
    pub(super) loaded: u64,
}

/// What loading in the background needs.
#[derive(Debug)]
pub(super) struct Background {
    pub(super) readers: Arc<Readers>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) progress: Arc<Progress>,
    pub(super) clock: Clock,
    /// Events up to this one.
    pub(super) last: Seq,
    /// How many open deliveries they had at the start.
    pub(super) open: i64,
}

/// How loading in the background ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Whole,
    /// The engine was closed before.
    Early,
}

/// Puts the open deliveries behind `cursor`, of events up to `last`, into their lanes, and moves it along.
///
/// Every entry of the index of open deliveries must lead to a row and to an event, or one that vanished would
/// be forgotten without a word. What `tail` says of, which the index does not hold yet, it says better.
pub(super) fn load_open(
    connection: &Connection,
    lanes: &Lanes,
    cursor: &mut Cursor,
    last: Seq,
    tail: Option<&Fold>,
    clock: &Clock,
) -> Result<(), IndexFault> {
    let sql = format!(
        "SELECT o.seq, o.ordinal, {}, {} FROM deliveries o INDEXED BY deliveries_open
         LEFT JOIN deliveries d ON d.seq = o.seq AND d.ordinal = o.ordinal LEFT JOIN events e ON e.seq = o.seq
         WHERE o.state = 0 AND (o.seq, o.ordinal) > (?1, ?2) AND o.seq <= ?3 ORDER BY o.seq, o.ordinal LIMIT ?4",
        rows::DELIVERY_COLUMNS,
        rows::PLACE_COLUMNS
    );
    let mut names: HashMap<i64, Arc<str>> = HashMap::new();
    let mut name = |number: i64| -> rusqlite::Result<Arc<str>> {
        if let Some(name) = names.get(&number) {
            return Ok(Arc::clone(name));
        }
        let mut statement = connection.prepare_cached("SELECT name FROM names WHERE id = ?1")?;
        let found: Arc<str> = statement.query_row([number], |row| row.get::<_, String>(0))?.into();
        names.insert(number, Arc::clone(&found));
        Ok(found)
    };
    loop {
        let mut page: HashMap<Arc<str>, Vec<Entry>> = HashMap::new();
        let mut after = cursor.after;
        let mut count = 0;
        let mut statement = connection.prepare_cached(&sql)?;
        let limit = i64::try_from(PAGE_ROWS).unwrap_or(i64::MAX);
        let mut found = statement.query(params![after.0, after.1, seq_key(last), limit])?;
        while let Some(row) = found.next()? {
            after = (row.get(0)?, row.get(1)?);
            let key = Key { seq: seq_of(after.0), ordinal: u16::try_from(after.1).unwrap_or(u16::MAX) };
            let delivery = rows::delivery(row, 2, key, rows::place(row, 16)?, &mut name)?;
            if !delivery.progress.is_open() {
                return Err(IndexFault::Damaged(format!(
                    "delivery {} of event {} is not open",
                    key.ordinal, key.seq.0
                )));
            }
            let entry = Entry {
                key,
                attempts: delivery.progress.attempts,
                place: delivery.event,
                due_at: delivery.progress.due_at,
                expires_at: delivery.expires_at.unwrap_or(NEVER),
                event: None,
            };
            count += 1;
            if !tail.is_some_and(|tail| tail.holds(key)) {
                page.entry(delivery.target).or_default().push(entry);
            }
        }
        let now = clock.now();
        for (target, entries) in page {
            let lane = lanes.lane(&target);
            lane.with(|queue| entries.into_iter().for_each(|entry| queue.load(entry, now)));
            lane.notify();
        }
        *cursor = Cursor { after, loaded: cursor.loaded + count };
        if count < PAGE_ROWS as u64 {
            return Ok(());
        }
    }
}

// === impl Cursor, Background ===

impl Cursor {
    pub(super) const START: Self = Self { after: (i64::MIN, -1), loaded: 0 };
}

impl Background {
    /// Loads everything; an index that turns out to be damaged is built anew meanwhile.
    ///
    /// # Errors
    /// Where it cannot be read, or does not heal. It is being built anew then where that may help a next start.
    pub(super) fn load(&self) -> Result<Ended, IndexFault> {
        let mut cursor = Cursor::START;
        let mut life = 0;
        for rebuilds in 0.. {
            let Some(its_life) = self.progress.wait_whole(life) else { return Ok(Ended::Early) };
            let loaded = self
                .readers
                .read_here(|connection| load_open(connection, &self.lanes, &mut cursor, self.last, None, &self.clock));
            let at_end = loaded.is_ok();
            let fault = match loaded {
                Ok(()) if i64::try_from(cursor.loaded) == Ok(self.open) => break,
                Ok(()) => IndexFault::Damaged(format!("it holds {} open deliveries, not {}", cursor.loaded, self.open)),
                Err(fault) if fault.is_environment() => return Err(fault),
                Err(fault) => fault,
            };
            // Unless somebody else noticed it too, and it is being built anew already.
            if self.progress.lives() == its_life {
                self.progress.report_damage(fault.to_string());
            }
            // Behind the end nobody knows which ones are missing.
            if at_end || rebuilds == REBUILDS_MAX {
                return Err(fault);
            }
            life = its_life + 1;
        }
        Ok(Ended::Whole)
    }
}

/// Builds the filters of the stored marks.
pub(super) fn build_filters(readers: &Readers, dedup: &Dedup) -> Result<(), IndexFault> {
    let mut from = 0;
    loop {
        let mut marks: Vec<[u8; 16]> = Vec::new();
        let mut bucket = 0;
        let next = readers.read_here(|connection| {
            runs::read_run(connection, runs::Kind::Marks, from, |slice, entry| {
                bucket = slice;
                marks.push(entry.hash.to_be_bytes());
            })
        })?;
        dedup.found_stored(bucket.cast_unsigned(), &marks);
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}
