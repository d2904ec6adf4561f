//! After a start: the open deliveries go from the index into their lanes, and the filters of the dedup
//! table are built, oldest event first, while the engine already takes new events.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::dedup::Dedup;
use super::index::{IndexFault, seq_key, seq_of};
use super::key::Key;
use super::lane::Lanes;
use super::queue::{Entry, NEVER};
use super::readers::Readers;
use super::{rows, runs};
use crate::domain::{Clock, Seq};

/// Rows of one read: a long read would keep the WAL from being checkpointed.
const PAGE_ROWS: usize = 10_000;

/// Puts every open delivery of events up to `last` into its lane.
pub(super) fn load_open(connection: &Connection, lanes: &Lanes, last: Seq, clock: &Clock) -> Result<u64, IndexFault> {
    let sql = format!(
        "SELECT d.seq, d.ordinal, {}, {} FROM deliveries d INDEXED BY deliveries_open JOIN events e ON e.seq = d.seq
         WHERE d.state = 0 AND (d.seq, d.ordinal) > (?1, ?2) AND d.seq <= ?3 ORDER BY d.seq, d.ordinal LIMIT ?4",
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
    let mut after = (i64::MIN, -1_i64);
    let mut total = 0;
    loop {
        let mut page: HashMap<Arc<str>, Vec<Entry>> = HashMap::new();
        let mut count = 0;
        let mut statement = connection.prepare_cached(&sql)?;
        let limit = i64::try_from(PAGE_ROWS).unwrap_or(i64::MAX);
        let mut found = statement.query(params![after.0, after.1, seq_key(last), limit])?;
        while let Some(row) = found.next()? {
            after = (row.get(0)?, row.get(1)?);
            let key = Key { seq: seq_of(after.0), ordinal: u16::try_from(after.1).unwrap_or(u16::MAX) };
            let delivery = rows::delivery(row, 2, key, rows::place(row, 16)?, &mut name)?;
            let entry = Entry {
                key,
                attempts: delivery.progress.attempts,
                place: delivery.event,
                due_at: delivery.progress.due_at,
                expires_at: delivery.expires_at.unwrap_or(NEVER),
                event: None,
            };
            page.entry(delivery.target).or_default().push(entry);
            count += 1;
        }
        let now = clock.now();
        for (target, entries) in page {
            let lane = lanes.lane(&target);
            lane.with(|queue| entries.into_iter().for_each(|entry| queue.load(entry, now)));
            lane.notify();
        }
        total += count;
        if count < PAGE_ROWS as u64 {
            return Ok(total);
        }
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
