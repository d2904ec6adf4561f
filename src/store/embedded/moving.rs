//! Events on their way to another store, and in from one.
//!
//! Out: the index says what there is, the journal holds it. In: an event is one record (`Moved`) with its deliveries as
//! they stand, the attempts behind it (`Made`) are only shown: wherever the journal is torn, nothing is attempted that was done.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::Embedded;
use super::decode;
use super::dedup::bucket_of;
use super::encode;
use super::index::{IndexFault, number, seq_key, seq_of};
use super::journal::Done;
use super::key::Key;
use super::lane::Lane;
use super::queue::{Entry, NEVER};
use super::record::{DeliveryRecord, Kind, Mark, Place, Progress};
use super::rows::{self, DeliveryRecordRow};
use super::runs;
use super::search::{attempt_places, read_delivery};
use super::segment::ReadFault;
use super::segments::Segments;
use crate::domain::{Attempt, DeliveryState, Event, IdMint, Seq, Timestamp};
use crate::store::moved::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use crate::store::{AdmitError, MovedDelivery, MovedEvent, MovedMark, MovedPage, StoreError};

/// Marks of one record.
const MARKS_AT_ONCE: usize = 10_000;

/// An event's row, as far as it leads to the rest.
struct Head {
    seq: Seq,
    place: Place,
    deliveries: u16,
}

/// What is to be written of one event.
struct Written {
    /// Its record, and those of its attempts.
    bytes: Vec<u8>,
    /// Its open deliveries.
    entries: Vec<(Arc<Lane>, Entry)>,
}

// === impl Embedded ===

impl Embedded {
    pub(super) async fn count_all_events(&self) -> Result<u64, StoreError> {
        self.flush_index().await;
        let count = self.readers.read(|connection| {
            Ok(connection.query_row("SELECT ifnull(sum(events), 0) FROM segments", [], |row| row.get::<_, i64>(0))?)
        });
        Ok(u64::try_from(count.await?).unwrap_or_default())
    }

    pub(super) async fn read_events_out(&self, after: Option<Seq>) -> Result<MovedPage, StoreError> {
        self.flush_index().await;
        let (segments, mint) = (Arc::clone(&self.segments), self.mint.clone());
        let read = self.readers.read(move |connection| page(connection, &segments, &mint, after)).await?;
        let (page, faults) = read;
        faults.iter().for_each(|(seq, fault)| self.count_damage(*seq, fault));
        Ok(page)
    }

    /// A run of marks after the other: the place is the run's number.
    pub(super) async fn read_marks_out(&self, from: Option<u64>) -> Result<(Vec<MovedMark>, Option<u64>), StoreError> {
        self.flush_index().await;
        let from = from.unwrap_or_default().cast_signed();
        self.readers
            .read(move |connection| {
                let mut marks = Vec::new();
                let next = runs::read_run(connection, runs::Kind::Marks, from, |_slice, entry| {
                    marks.push(MovedMark { key: entry.hash.to_be_bytes(), seq: seq_of(entry.seq) });
                })?;
                Ok((marks, next.map(i64::cast_unsigned)))
            })
            .await
    }

    pub(super) async fn take_events_in(&self, events: Vec<MovedEvent>) -> Result<u64, StoreError> {
        self.gate.admit().map_err(failed)?;
        let _edit = self.edits.lock().await;
        self.settle_view().await?;
        let seqs: Vec<Seq> = events.iter().map(|moved| moved.event.seq).collect();
        let known = self.readers.read(move |connection| {
            let mut known = HashSet::new();
            for seq in seqs {
                if rows::event_place(connection, seq)?.is_some() {
                    known.insert(seq);
                }
            }
            Ok(known)
        });
        let mut known: HashSet<Seq> = known.await?;
        let now = self.clock.now();
        let mut waiting = Vec::new();
        for moved in events {
            if known.insert(moved.event.seq) {
                self.last_seq.fetch_max(moved.event.seq.0, std::sync::atomic::Ordering::AcqRel);
                waiting.push(self.append_moved(self.written(&moved), now));
            }
        }
        let new = waiting.len() as u64;
        for kept in waiting {
            kept.await.unwrap_or_else(|_| Err(AdmitError::Unavailable("it is closed".into()))).map_err(failed)?;
        }
        Ok(new)
    }

    pub(super) async fn take_marks_in(&self, marks: Vec<MovedMark>) -> Result<(), StoreError> {
        let oldest = self.clock.now().minus(self.dedup_window_max);
        let marks: Vec<Mark> = marks
            .into_iter()
            .filter(|mark| mark.seq.time() > oldest)
            .map(|MovedMark { key, seq }| Mark { key, seq })
            .collect();
        let marks = self.unknown_marks(marks).await?;
        for some in marks.chunks(MARKS_AT_ONCE) {
            self.journal.keep(encode::marks(some)).await.map_err(failed)?;
            some.iter().for_each(|mark| self.dedup.commit(&mark.key, mark.seq));
            let last = some.iter().map(|mark| mark.seq.0).max().unwrap_or_default();
            self.last_seq.fetch_max(last, std::sync::atomic::Ordering::AcqRel);
        }
        // So that memory holds no more of them than the index has not seen.
        self.flush_index().await;
        Ok(())
    }

    /// Those of the marks that the index does not hold.
    async fn unknown_marks(&self, mut marks: Vec<Mark>) -> Result<Vec<Mark>, StoreError> {
        self.flush_index().await;
        self.readers
            .read(move |connection| {
                let mut fault = None;
                marks.retain(|mark| {
                    let slice = number(bucket_of(mark.seq.time()));
                    let hash = u128::from_be_bytes(mark.key);
                    let found = runs::find(connection, runs::Kind::Marks, (slice, slice), hash, usize::MAX);
                    let found = found.unwrap_or_else(|error| {
                        fault = Some(error);
                        Vec::new()
                    });
                    !found.contains(&seq_key(mark.seq))
                });
                fault.map_or(Ok(marks), Err)
            })
            .await
    }

    fn written(&self, moved: &MovedEvent) -> Written {
        let seq = moved.event.seq;
        let mut entries = Vec::new();
        let mut records = Vec::with_capacity(moved.deliveries.len());
        for (ordinal, delivery) in (0..).zip(&moved.deliveries) {
            let (key, progress) = (Key { seq, ordinal }, progress_of(delivery));
            if progress.is_open() {
                let expires_at = delivery.planned.expires_at.unwrap_or(NEVER);
                let (attempts, due_at) = (progress.attempts, progress.due_at);
                let entry = Entry { key, attempts, place: Place::default(), due_at, expires_at, event: None };
                entries.push((self.lanes.lane(&delivery.planned.target), entry));
            } else if progress.state == DeliveryState::Dead {
                self.deaths.add(key);
            }
            records.push(DeliveryRecord { planned: delivery.planned.clone(), progress });
        }
        let mut bytes = encode::event(Kind::Moved, seq, &moved.event.received, None, &records).0;
        for (ordinal, delivery) in (0..).zip(&moved.deliveries) {
            for attempt in &delivery.made {
                bytes.extend_from_slice(&encode::made(seq, ordinal, attempt).0);
            }
        }
        Written { bytes, entries }
    }

    fn append_moved(&self, written: Written, now: Timestamp) -> oneshot::Receiver<Result<(), AdmitError>> {
        let (sender, receiver) = oneshot::channel();
        let Written { bytes, entries } = written;
        // The place is the first record's: the event's.
        let done = move |kept: Result<Place, AdmitError>| {
            if let Ok(place) = kept {
                entries.into_iter().for_each(|(lane, entry)| lane.push(Entry { place, ..entry }, now));
            }
            drop(sender.send(kept.map(drop)));
        };
        self.journal.append(bytes, true, Done::Then(Box::new(done)));
        receiver
    }
}

fn failed(error: AdmitError) -> StoreError {
    StoreError::Engine(error.to_string().into())
}

fn progress_of(delivery: &MovedDelivery) -> Progress {
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    Progress {
        state: if delivery.state.is_open() { DeliveryState::Pending } else { delivery.state },
        dead_reason: delivery.dead_reason,
        attempts: delivery.attempts,
        due_at: delivery.due_at,
        finished_at: delivery.finished_at,
        response_code: delivery.response_code,
        response_millis: delivery.response_time.map(millis),
        outcome: delivery.outcome,
    }
}

/// What the index and the journal have of the oldest events behind `after`, and what cannot be read.
fn page(
    connection: &Connection,
    segments: &Segments,
    mint: &IdMint,
    after: Option<Seq>,
) -> Result<(MovedPage, Vec<(Seq, ReadFault)>), IndexFault> {
    let heads = heads(connection, after)?;
    let (mut page, mut faults, mut bytes) = (MovedPage::default(), Vec::new(), 0);
    for head in &heads {
        if bytes >= PAGE_BYTES_MAX {
            return Ok((page, faults));
        }
        page.next = Some(head.seq);
        match moved(connection, segments, mint, head)? {
            Ok(moved) => {
                bytes += moved.bytes();
                page.events.push(moved);
            }
            Err(ReadFault::Io(error)) => return Err(IndexFault::Journal(error)),
            Err(fault) => {
                page.damaged += 1;
                faults.push((head.seq, fault));
            }
        }
    }
    if heads.len() < PAGE_EVENTS_MAX {
        page.next = None;
    }
    Ok((page, faults))
}

fn heads(connection: &Connection, after: Option<Seq>) -> Result<Vec<Head>, IndexFault> {
    let mut statement = connection.prepare_cached(
        "SELECT e.seq, e.segment, e.offset, e.bytes, e.deliveries FROM events e WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2",
    )?;
    let limit = i64::try_from(PAGE_EVENTS_MAX).unwrap_or(i64::MAX);
    let found = statement.query_map(params![after.map_or(i64::MIN, seq_key), limit], |row| {
        Ok(Head { seq: seq_of(row.get(0)?), place: rows::place(row, 1)?, deliveries: row.get(4)? })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn moved(
    connection: &Connection,
    segments: &Segments,
    mint: &IdMint,
    head: &Head,
) -> Result<Result<MovedEvent, ReadFault>, IndexFault> {
    let payload = match segments.read(head.place) {
        Ok(payload) => payload,
        Err(fault) => return Ok(Err(fault)),
    };
    let Some((seq, received, _, records)) = decode::event(&payload).filter(|(seq, ..)| *seq == head.seq) else {
        return Ok(Err(ReadFault::Damaged));
    };
    let event = Arc::new(Event { id: mint.event(seq), seq, received });
    let mut records = records.into_iter();
    let mut deliveries = Vec::with_capacity(head.deliveries.into());
    for ordinal in 0..head.deliveries {
        let (key, planned) = (Key { seq, ordinal }, records.next());
        deliveries.push(match (planned, read_delivery(connection, key)?) {
            (planned, Some(row)) => {
                let made = made(connection, segments, key, &row)?;
                // A replayed delivery's plan is in another record, which nobody needs any more.
                let planned = planned.unwrap_or_else(|| row.to_record());
                moved_delivery(DeliveryRecord { progress: row.progress, ..planned }, made)
            }
            (Some(planned), None) => moved_delivery(planned, Vec::new()),
            (None, None) => break,
        });
    }
    Ok(Ok(MovedEvent { event, deliveries }))
}

/// The attempts of a delivery that are still in the journal.
fn made(
    connection: &Connection,
    segments: &Segments,
    key: Key,
    row: &DeliveryRecordRow,
) -> Result<Vec<Attempt>, IndexFault> {
    if row.progress.attempts == 0 {
        return Ok(Vec::new());
    }
    let mut places = attempt_places(connection, key)?;
    places.extend(row.last);
    let read = places.into_iter().filter_map(|place| {
        let record = decode::settled(&segments.read(place).ok()?)?;
        ((record.seq, record.ordinal) == (key.seq, key.ordinal)).then_some(record.attempt)
    });
    Ok(read.collect())
}

fn moved_delivery(record: DeliveryRecord, made: Vec<Attempt>) -> MovedDelivery {
    let Progress { state, dead_reason, attempts, due_at, finished_at, response_code, response_millis, outcome } =
        record.progress;
    MovedDelivery {
        planned: record.planned,
        state,
        dead_reason,
        attempts,
        due_at,
        finished_at,
        response_code,
        response_time: response_millis.map(|millis| Duration::from_millis(millis.into())),
        outcome,
        made,
    }
}
