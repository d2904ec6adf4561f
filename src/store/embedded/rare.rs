//! Deliveries in states that few are in (open, dead, cancelled, expired), by the indexes that hold only those.
//!
//! Where a filter asks for more than state and target, the rows that fit may be far apart: after some that were looked at
//! in vain, the [zones](super::zones) say where to look.

use rusqlite::Statement;

use super::encode;
use super::index::{IndexFault, seq_key, seq_of};
use super::key::Key;
use super::lists::{Candidate, Search, States, Wanted, about};
use super::rows::{self, DELIVERY_COLUMNS, PLACE_COLUMNS};
use crate::domain::{DeliveryState, Seq};

/// So many rows are looked at before the zones are asked.
const PLAIN_MAX: u64 = if cfg!(test) { 20 } else { 200 };

/// How a look at some rows ended.
enum Looked {
    /// The page is full, or enough was looked at.
    Enough,
    /// There are no more.
    Over,
    /// So many were looked at as should be at once; this was the last.
    Until(Seq, u16),
}

// === impl Search ===

impl Search<'_, Candidate> {
    /// Deliveries in a rare state.
    pub(super) fn rare(
        &mut self,
        state: DeliveryState,
        wanted: &mut Wanted,
        states: &States<'_>,
    ) -> Result<(), IndexFault> {
        let connection = self.names.connection;
        let byte = encode::state_byte(state);
        let (index, more) = match (state.is_open(), wanted.target) {
            (true, None) => ("deliveries_open", String::new()),
            (true, Some(target)) => ("deliveries_open_target", format!(" AND d.target = {target}")),
            (false, None) => ("deliveries_ended", " AND d.state > 1".to_owned()),
            (false, Some(target)) => ("deliveries_ended_target", format!(" AND d.state > 1 AND d.target = {target}")),
        };
        // The state is written out: a partial index serves only a condition that the planner can read.
        let sql = format!(
            "SELECT d.seq, d.ordinal, {DELIVERY_COLUMNS}, {PLACE_COLUMNS}, e.source, e.type, e.project
             FROM deliveries d INDEXED BY {index} CROSS JOIN events e
             WHERE d.state = {byte}{more} AND d.seq BETWEEN ?1 AND ?2 AND e.seq = d.seq
             ORDER BY d.seq DESC, d.ordinal DESC"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let narrow = wanted.source.is_some() || wanted.event_type.is_some() || wanted.project.is_some();
        let plain = if narrow { PLAIN_MAX } else { u64::MAX };
        let (low, high) = (wanted.low, wanted.high);
        let Looked::Until(seq, ordinal) = self.rare_in(&mut statement, (low, high), plain, wanted, states)? else {
            return Ok(());
        };
        self.bounds.after = Some((seq, ordinal));
        wanted.high = seq_key(seq);
        let mut walk = wanted.walk(connection, Some(state), self.bounds.visited_max);
        while let Some(range) = walk.next()? {
            let looked = self.rare_in(&mut statement, range, u64::MAX, wanted, states)?;
            if matches!(looked, Looked::Enough) || self.zone_is_last(&walk) {
                return Ok(());
            }
        }
        self.ended(&walk);
        Ok(())
    }

    fn rare_in(
        &mut self,
        statement: &mut Statement<'_>,
        (low, high): (i64, i64),
        most: u64,
        wanted: &Wanted,
        states: &States<'_>,
    ) -> Result<Looked, IndexFault> {
        let before = self.found.visited;
        let mut rows = statement.query([low, high])?;
        while let Some(row) = rows.next()? {
            self.found.visited += 1;
            let key = Key { seq: seq_of(row.get(0)?), ordinal: row.get(1)? };
            let about = about(row, 19)?;
            let target: i64 = row.get(2)?;
            if self.is_older(key) && wanted.target.is_none_or(|wanted| wanted == target) && wanted.fits(about) {
                let delivery = rows::delivery(row, 2, key, rows::place(row, 16)?, |number| self.names.name(number))?;
                if self.show(key, delivery, about, states)? {
                    return Ok(Looked::Enough);
                }
            }
            if self.is_enough((key.seq, key.ordinal)) {
                return Ok(Looked::Enough);
            }
            if self.found.visited - before >= most {
                return Ok(Looked::Until(key.seq, key.ordinal));
            }
        }
        Ok(Looked::Over)
    }
}
