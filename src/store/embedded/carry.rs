//! Open events leave a segment that is due: event and deliveries, as they stand, go to the end of the journal.
//!
//! Their deliveries are out of the lanes meanwhile, so that nobody claims or settles what is being copied;
//! the writer puts them back, with their new place, together with the record's commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::Embedded;
use super::encode;
use super::index::{IndexFault, seq_of};
use super::journal::Done;
use super::key::{Key, MixState};
use super::lane::Lane;
use super::queue::Entry;
use super::record::{DeliveryRecord, Framed, Kind, Place};
use super::search::read_delivery;
use super::segment::ReadFault;
use super::{decode, rows};
use crate::domain::{DeadReason, DeliveryState, Seq, Timestamp};
use crate::store::{AdmitError, StoreError};

/// Events that are carried at a time.
const CARRIED_AT_ONCE: usize = 256;

/// Deliveries that were taken out of their lanes.
type TakenOut = HashMap<Seq, Vec<(Arc<Lane>, Entry)>, MixState>;

// === impl Embedded ===

impl Embedded {
    /// Carries every open event of a segment; false where some are in flight, or the index does not know of all: later, then.
    ///
    /// The caller holds `edits`.
    pub(super) async fn carry_open(&self, segment: u32) -> Result<bool, StoreError> {
        self.wait_loaded().await?;
        let mut before = Vec::new();
        loop {
            if !self.flush_index().await {
                return Ok(false);
            }
            let open = self.readers.read(move |connection| open_events(connection, segment)).await?;
            if open.is_empty() {
                return Ok(true);
            }
            // What does not move now will not by being asked again.
            if open == before || !self.carry(open.iter().copied().collect()).await? {
                return Ok(false);
            }
            before = open;
        }
    }

    async fn carry(&self, events: HashSet<Seq, MixState>) -> Result<bool, StoreError> {
        let mut taken = TakenOut::default();
        let mut flying = false;
        for lane in self.lanes.all() {
            let (entries, in_flight) = lane.with(|queue| queue.take_events(&events));
            flying |= !in_flight.is_empty();
            for entry in entries {
                taken.entry(entry.key.seq).or_default().push((Arc::clone(&lane), entry));
            }
        }
        let outcome = if flying { Ok(false) } else { self.write_carried(&events, &mut taken).await.map(|()| true) };
        // What was not handed to the writer goes back as it was.
        let now = self.clock.now();
        for (lane, entry) in taken.into_values().flatten() {
            lane.push(entry, now);
        }
        outcome
    }

    async fn write_carried(&self, events: &HashSet<Seq, MixState>, taken: &mut TakenOut) -> Result<(), StoreError> {
        // Outcomes of claims that ended just before are in the index now.
        self.flush_index().await;
        let now = self.clock.now();
        let mut waiting = Vec::new();
        for seq in events.iter().copied() {
            let segments = Arc::clone(&self.segments);
            let framed = self.readers.read(move |connection| {
                let Some(place) = rows::event_place(connection, seq)? else { return Ok(None) };
                let payload = match segments.read(place) {
                    Ok(payload) => payload,
                    Err(ReadFault::Io(error)) => return Err(IndexFault::Journal(error)),
                    Err(ReadFault::Damaged) => return Ok(None),
                };
                let Some((_, received, dedup, records)) = decode::event(&payload) else { return Ok(None) };
                let deliveries = as_they_stand(connection, seq, records)?;
                Ok(Some(encode::event(Kind::Carry, seq, &received, dedup.as_ref(), &deliveries)))
            });
            let entries = taken.remove(&seq).unwrap_or_default();
            let Some(framed) = framed.await? else {
                // It cannot be delivered any more: its deliveries end, so that the segment can.
                self.count_damage(seq, &ReadFault::Damaged);
                for (lane, entry) in entries {
                    self.stop_unattempted(entry.key, DeliveryState::Dead, Some(DeadReason::Unreadable), now);
                    lane.ended([entry.key]);
                }
                continue;
            };
            waiting.push(self.hand_over(&framed, entries, now));
        }
        for kept in waiting {
            let kept = kept.await.unwrap_or_else(|_| Err(AdmitError::Unavailable("it is closed".into())));
            kept.map_err(|error| StoreError::Engine(error.to_string().into()))?;
        }
        Ok(())
    }

    fn hand_over(
        &self,
        framed: &Framed,
        entries: Vec<(Arc<Lane>, Entry)>,
        now: Timestamp,
    ) -> oneshot::Receiver<Result<Place, AdmitError>> {
        let (sender, receiver) = oneshot::channel();
        let done = move |kept: Result<Place, AdmitError>| {
            for (lane, mut entry) in entries {
                if let Ok(place) = &kept {
                    entry.place = *place;
                }
                lane.push(entry, now);
            }
            drop(sender.send(kept));
        };
        self.journal.append(framed, true, Done::Then(Box::new(done)));
        receiver
    }
}

/// The deliveries of an event with what has become of them; replayed ones included.
fn as_they_stand(
    connection: &Connection,
    seq: Seq,
    planned: Vec<DeliveryRecord>,
) -> Result<Vec<DeliveryRecord>, IndexFault> {
    let mut deliveries = Vec::with_capacity(planned.len());
    let mut planned = planned.into_iter();
    for ordinal in 0..u16::MAX {
        let stands = read_delivery(connection, Key { seq, ordinal })?;
        match (planned.next(), stands) {
            (Some(planned), Some(row)) => deliveries.push(DeliveryRecord { progress: row.progress, ..planned }),
            (None, Some(row)) => deliveries.push(row.to_record()),
            (Some(planned), None) => deliveries.push(planned),
            (None, None) => break,
        }
    }
    Ok(deliveries)
}

fn open_events(connection: &Connection, segment: u32) -> Result<Vec<Seq>, IndexFault> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT d.seq FROM segments s CROSS JOIN deliveries d INDEXED BY deliveries_open CROSS JOIN events e
         WHERE s.segment = ?1 AND d.state = 0 AND d.seq BETWEEN s.first_seq AND s.last_seq
         AND e.seq = d.seq AND e.segment = ?1
         UNION SELECT c.seq FROM carried c CROSS JOIN events e CROSS JOIN deliveries d
         WHERE c.segment = ?1 AND e.seq = c.seq AND e.segment = ?1 AND d.seq = c.seq AND d.state = 0 LIMIT ?2",
    )?;
    let limit = i64::try_from(CARRIED_AT_ONCE).unwrap_or(i64::MAX);
    let found = statement.query_map(params![segment, limit], |row| row.get::<_, i64>(0).map(seq_of))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
