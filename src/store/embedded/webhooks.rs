//! Customers' webhooks: records of the journal, which the index finds again.
//!
//! A change writes the whole webhook; the last record counts. One at a time with the other edits, so that retention,
//! which writes them anew when their segment goes, never brings an older one back.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::index::{IndexFault, seq_key, seq_of};
use super::record::{Place, Record};
use super::segment::ReadFault;
use super::segments::Segments;
use super::{Embedded, decode, encode, rows};
use crate::domain::{DeliveryState, Seq, Webhook, WebhookId};
use crate::store::StoreError;

// === impl Embedded ===

impl Embedded {
    pub(super) async fn write_webhook(&self, webhook: &Webhook, was: Option<&Webhook>) -> Result<(), StoreError> {
        let record = encode::webhook(webhook);
        let _edit = self.edits.lock().await;
        if self.read_webhook(webhook.id).await?.as_ref() != was {
            return Err(StoreError::Conflict("the webhook was changed meanwhile".into()));
        }
        let kept = self.journal.keep(record).await;
        kept.map(drop).map_err(|error| StoreError::Engine(error.to_string().into()))
    }

    pub(super) async fn write_webhook_gone(&self, id: WebhookId) -> Result<(), StoreError> {
        let _edit = self.edits.lock().await;
        let kept = self.journal.keep(encode::webhook_gone(id)).await;
        kept.map(drop).map_err(|error| StoreError::Engine(error.to_string().into()))
    }

    pub(super) async fn read_webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        self.flush_index().await;
        let (segments, seq) = (Arc::clone(&self.segments), id.seq());
        let found = self.readers.read(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT segment, offset, bytes FROM webhooks WHERE seq = ?1")?;
            let place = statement.query_row([seq_key(seq)], |row| rows::place(row, 0)).optional()?;
            Ok(place.map(|place| read(&segments, seq, place)))
        });
        let webhook = found.await?.transpose().map_err(unreadable)?;
        Ok(webhook.filter(|webhook| webhook.id == id))
    }

    pub(super) async fn read_webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        self.flush_index().await;
        let segments = Arc::clone(&self.segments);
        let read = self.readers.read(move |connection| {
            let places = places(connection, None)?;
            Ok(places.into_iter().map(|(seq, place)| read(&segments, seq, place)).collect::<Vec<_>>())
        });
        let mut webhooks = Vec::new();
        for webhook in read.await? {
            webhooks.push(webhook.map_err(unreadable)?);
        }
        Ok(webhooks)
    }

    /// Writes the webhooks of a segment that goes anew. The caller holds `edits`.
    pub(super) async fn carry_webhooks(&self, segment: u32) -> Result<(), StoreError> {
        self.flush_index().await;
        let segments = Arc::clone(&self.segments);
        let read = self.readers.read(move |connection| {
            let places = places(connection, Some(segment))?;
            Ok(places.into_iter().map(|(seq, place)| read(&segments, seq, place)).collect::<Vec<_>>())
        });
        let found = read.await?;
        if found.is_empty() {
            return Ok(());
        }
        for webhook in found {
            let webhook = webhook.map_err(|fault| StoreError::Damaged(fault.to_string().into()))?;
            let kept = self.journal.keep(encode::webhook(&webhook)).await;
            kept.map_err(|error| StoreError::Engine(error.to_string().into()))?;
        }
        self.flush_index().await;
        Ok(())
    }

    /// Everything of a target that waits ends.
    pub(super) async fn cancel_waiting(&self, target: &str) -> Result<u64, StoreError> {
        let Some(lane) = self.lanes.get(target) else { return Ok(0) };
        let _edit = self.edits.lock().await;
        self.wait_loaded().await?;
        let now = self.clock.now();
        let entries = lane.with(super::queue::Queue::take_waiting);
        for entry in &entries {
            self.stop_unattempted(entry.key, DeliveryState::Cancelled, None, now);
        }
        let flushed = self.journal.flush().await;
        let flushed = flushed.unwrap_or_else(|_| Ok(Place::default()));
        flushed.map_err(|error| StoreError::Engine(error.to_string().into()))?;
        lane.ended(entries.iter().map(|entry| entry.key));
        Ok(entries.len() as u64)
    }
}

fn unreadable(fault: ReadFault) -> StoreError {
    StoreError::Damaged(format!("a webhook cannot be read back: {fault}; restore a backup").into())
}

/// Where the webhooks lie: all of them, or those of one segment.
fn places(connection: &Connection, segment: Option<u32>) -> Result<Vec<(Seq, Place)>, IndexFault> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, segment, offset, bytes FROM webhooks WHERE ?1 IS NULL OR segment = ?1 ORDER BY seq",
    )?;
    let found = statement.query_map([segment], |row| Ok((seq_of(row.get(0)?), rows::place(row, 1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn read(segments: &Segments, seq: Seq, place: Place) -> Result<Webhook, ReadFault> {
    let payload = segments.read(place)?;
    match decode::record(&payload) {
        Some(Record::Webhook(webhook)) if webhook.id.seq() == seq => Ok(*webhook),
        _ => Err(ReadFault::Damaged),
    }
}
