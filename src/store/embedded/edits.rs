//! What people (and duplicates) do to old deliveries: redeliver, cancel, replay, start the dead again.
//!
//! One at a time, each durable before it answers. The change in memory is made by the writer together with
//! the record's commit, so that a caller who goes away leaves nothing half done.

use std::sync::Arc;

use rusqlite::OptionalExtension;
use tokio::sync::oneshot;

use super::Embedded;
use super::encode;
use super::index::seq_key;
use super::journal::Done;
use super::key::Key;
use super::lane::Lane;
use super::queue::{Entry, NEVER, Removed};
use super::record::{Framed, Place, RedeliverRecord, ReplayRecord, StopRecord};
use super::rows::DeliveryRecordRow;
use super::search::read_delivery;
use crate::domain::{DeliveryId, DeliveryState, EventId, PlannedDelivery, Seq, Timestamp};
use crate::store::{AdmitError, StoreError};

// === impl Embedded ===

impl Embedded {
    pub(super) async fn redeliver_one(&self, id: DeliveryId) -> Result<(), StoreError> {
        let key = self.delivery_key(id)?;
        let _edit = self.edits.lock().await;
        self.settle_view().await?;
        self.restart(key).await
    }

    /// Each reads and writes for itself, but all of them wait for the same syncs.
    pub(super) async fn restart_many(&self, ids: Vec<DeliveryId>) -> Vec<Result<(), StoreError>> {
        let keys: Vec<_> = ids.into_iter().map(|id| self.delivery_key(id)).collect();
        let _edit = self.edits.lock().await;
        let wanted: Vec<Key> = keys.iter().filter_map(|key| key.as_ref().ok().copied()).collect();
        let read = async {
            self.settle_view().await?;
            let rows = move |connection: &rusqlite::Connection| {
                wanted.iter().map(|key| read_delivery(connection, *key)).collect::<Result<Vec<_>, _>>()
            };
            self.readers.read(rows).await
        };
        let mut rows = match read.await {
            Ok(rows) => rows.into_iter(),
            Err(error) => return keys.iter().map(|_| Err(error.clone())).collect(),
        };
        let begun: Vec<_> = keys
            .into_iter()
            .map(|key| self.begin_restart(key?, rows.next().flatten().ok_or(StoreError::NotFound)?))
            .collect();
        let mut done = Vec::with_capacity(begun.len());
        for kept in begun {
            done.push(match kept {
                Ok(kept) => is_kept(kept).await,
                Err(error) => Err(error),
            });
        }
        done
    }

    pub(super) async fn cancel_one(&self, id: DeliveryId) -> Result<(), StoreError> {
        let key = self.delivery_key(id)?;
        let _edit = self.edits.lock().await;
        self.settle_view().await?;
        let row = self.readers.read(move |connection| read_delivery(connection, key)).await?;
        let row = row.ok_or(StoreError::NotFound)?;
        let lane = self.lanes.lane(&row.target);
        let now = self.clock.now();
        let entry = match lane.with(|queue| queue.remove(key, now)) {
            Removed::Waiting(entry) => entry,
            Removed::InFlight => return Err(in_flight()),
            Removed::Absent => return Err(StoreError::Conflict("the delivery has already ended".into())),
        };
        let state = DeliveryState::Cancelled;
        let record = StopRecord { seq: key.seq, ordinal: key.ordinal, state, dead_reason: None, at: now };
        self.edit(encode::stop(&record), move |kept| if kept { lane.ended([key]) } else { lane.push(entry, now) }).await
    }

    pub(super) async fn replay_event(
        &self,
        event: EventId,
        deliveries: Vec<PlannedDelivery>,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let seq = self.event_seq(event)?;
        let _edit = self.edits.lock().await;
        self.settle_view().await?;
        let found = self.readers.read(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT segment, offset, bytes, deliveries FROM events WHERE seq = ?1")?;
            let row = statement.query_row([seq_key(seq)], |row| {
                let place = Place { segment: row.get(0)?, offset: row.get(1)?, bytes: row.get(2)? };
                Ok((place, row.get::<_, u16>(3)?))
            });
            Ok(row.optional()?)
        });
        let (place, first_ordinal) = found.await?.ok_or(StoreError::NotFound)?;
        let count = u16::try_from(deliveries.len()).ok().and_then(|count| first_ordinal.checked_add(count));
        let Some(end) = count else {
            return Err(StoreError::Conflict("the event has too many deliveries".into()));
        };
        let now = self.clock.now();
        let mut planned = self.plan(seq, first_ordinal, deliveries, now);
        planned.entries.iter_mut().for_each(|(_, entry)| entry.place = place);
        let record = encode::replay(&ReplayRecord { seq, first_ordinal, deliveries: planned.records });
        let entries = planned.entries;
        self.edit(record, move |kept| {
            for (lane, entry) in entries {
                if kept { lane.push_reserved(vec![entry], now) } else { lane.unreserve() }
            }
        })
        .await?;
        Ok((first_ordinal..end).map(|ordinal| self.mint.delivery(seq, ordinal)).collect())
    }

    /// A copy came: the dead deliveries of the first start again.
    pub(super) async fn rearm(&self, seq: Seq) -> Result<(), StoreError> {
        if !self.deaths.is_recent(seq) {
            if !self.deaths.any_indexed() {
                return Ok(());
            }
            let dead = self.readers.read(move |connection| Ok(dead_ordinals(connection, seq)?)).await?;
            if dead.is_empty() {
                return Ok(());
            }
        }
        let _edit = self.edits.lock().await;
        self.settle_view().await?;
        let dead = self.readers.read(move |connection| Ok(dead_ordinals(connection, seq)?)).await?;
        for ordinal in dead {
            match self.restart(Key { seq, ordinal }).await {
                // Somebody was faster.
                Ok(()) | Err(StoreError::Conflict(_) | StoreError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Any delivery that is not in flight is due now.
    async fn restart(&self, key: Key) -> Result<(), StoreError> {
        let row = self.readers.read(move |connection| read_delivery(connection, key)).await?;
        is_kept(self.begin_restart(key, row.ok_or(StoreError::NotFound)?)?).await
    }

    fn begin_restart(&self, key: Key, row: DeliveryRecordRow) -> Result<Kept, StoreError> {
        let lane = self.lanes.lane(&row.target);
        let now = self.clock.now();
        let (entry, waited) = match lane.with(|queue| queue.remove(key, now)) {
            Removed::InFlight => return Err(in_flight()),
            Removed::Waiting(entry) => (entry, true),
            Removed::Absent if row.progress.is_open() => return Err(in_flight()),
            Removed::Absent => {
                let expires_at = row.expires_at.filter(|at| *at > now).unwrap_or(NEVER);
                let attempts = row.progress.attempts;
                (Entry { key, attempts, place: row.event, due_at: now, expires_at, event: None }, false)
            }
        };
        let record = encode::redeliver(&RedeliverRecord { seq: key.seq, ordinal: key.ordinal, at: now });
        Ok(self.begin_edit(record, move |kept| put_back(&lane, entry, waited, kept, now)))
    }

    /// Keeps a record; `then` runs on the writer's thread with whether it was kept.
    pub(super) async fn edit(
        &self,
        record: Framed,
        then: impl FnOnce(bool) + Send + 'static,
    ) -> Result<(), StoreError> {
        is_kept(self.begin_edit(record, then)).await
    }

    fn begin_edit(&self, record: Framed, then: impl FnOnce(bool) + Send + 'static) -> Kept {
        let (sender, receiver) = oneshot::channel();
        let done = move |kept: Result<Place, AdmitError>| {
            then(kept.is_ok());
            drop(sender.send(kept));
        };
        self.journal.append(&record, true, Done::Then(Box::new(done)));
        receiver
    }

    /// Queues and index show everything that has happened so far.
    pub(super) async fn settle_view(&self) -> Result<(), StoreError> {
        self.wait_loaded().await?;
        self.flush_index().await;
        Ok(())
    }

    /// The key of a delivery whose id we made.
    pub(super) fn delivery_key(&self, id: DeliveryId) -> Result<Key, StoreError> {
        let key = Key { seq: id.seq(), ordinal: id.ordinal() };
        if self.mint.delivery(key.seq, key.ordinal) == id { Ok(key) } else { Err(StoreError::NotFound) }
    }

    /// The seq of an event whose id we made.
    pub(super) fn event_seq(&self, id: EventId) -> Result<Seq, StoreError> {
        let seq = id.seq();
        if self.mint.event(seq) == id { Ok(seq) } else { Err(StoreError::NotFound) }
    }
}

/// Whether a record is on disk, once that is known.
type Kept = oneshot::Receiver<Result<Place, AdmitError>>;

async fn is_kept(kept: Kept) -> Result<(), StoreError> {
    let kept = kept.await.unwrap_or_else(|_| Err(AdmitError::Unavailable("it is closed".into())));
    kept.map(drop).map_err(|error| StoreError::Engine(error.to_string().into()))
}

fn put_back(lane: &Arc<Lane>, mut entry: Entry, waited: bool, kept: bool, now: Timestamp) {
    if kept {
        entry.due_at = now;
    }
    if kept || waited {
        lane.push(entry, now);
    }
}

fn in_flight() -> StoreError {
    StoreError::Conflict("the delivery is in flight: wait for its outcome".into())
}

fn dead_ordinals(connection: &rusqlite::Connection, seq: Seq) -> rusqlite::Result<Vec<u16>> {
    let mut statement = connection.prepare_cached("SELECT ordinal FROM deliveries WHERE seq = ?1 AND state = 2")?;
    let ordinals = statement.query_map([seq_key(seq)], |row| row.get(0))?;
    ordinals.collect()
}
