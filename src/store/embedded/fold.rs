//! Records on their way into the index: folded together in memory, so that a delivery that is already
//! finished enters its table once.

use std::collections::HashMap;
use std::sync::Arc;

use super::index::{Index, IndexFault};
use super::key::{Key, MixState};
use super::record::{EventHead, Kind, Mark, Place, Record, ReplayRecord, SettleRecord};
use super::rows::{self, DeliveryRecordRow};
use super::totals::{Counted, Counters, hour_of};
use crate::domain::event::DEFAULT_PROJECT;
use crate::domain::{Attempt, DeliveryState, Seq};

/// What one transaction will write.
#[derive(Debug, Default)]
pub(super) struct Fold {
    pub(super) events: Vec<FoldedEvent>,
    /// How many of them are new.
    pub(super) admitted: u32,
    /// How many came from another store.
    pub(super) moved: u32,
    event_at: HashMap<Seq, usize, MixState>,
    pub(super) deliveries: Vec<(Key, DeliveryRecordRow)>,
    delivery_at: HashMap<Key, usize, MixState>,
    /// Attempts that were followed by another one.
    pub(super) attempts: Vec<(Key, u16, Place)>,
    pub(super) marks: Vec<Mark>,
    pub(super) counters: Counters,
    /// Events that were carried into a segment.
    pub(super) carried: Vec<(u32, Seq)>,
    /// New numbers of deliveries of events that are stored already.
    pub(super) delivery_counts: HashMap<Seq, u16, MixState>,
    pub(super) died: Vec<Key>,
    /// Webhooks by where they lie now, in the order of the journal; `None`: gone.
    pub(super) webhooks: Vec<(Seq, Option<Place>)>,
    pub(super) records: usize,
    pub(super) last_seq: Seq,
}

/// An event's row to be.
#[derive(Debug)]
pub(super) struct FoldedEvent {
    pub(super) seq: Seq,
    pub(super) place: Place,
    pub(super) source: Arc<str>,
    pub(super) event_type: Option<Arc<str>>,
    /// `None`: the default project.
    pub(super) project: Option<Arc<str>>,
    pub(super) source_event_id: Option<Box<str>>,
    pub(super) body_bytes: u32,
    pub(super) deliveries: u16,
    pub(super) is_new: bool,
}

// === impl Fold ===

impl Fold {
    /// Adds one record that lies at `place`.
    pub(super) fn add(&mut self, index: &Index, place: Place, record: Record<'_>) -> Result<(), IndexFault> {
        self.records += 1;
        match record {
            Record::Admit(head) => self.event(place, head, Kind::Admit),
            Record::Moved(head) => self.event(place, head, Kind::Moved),
            Record::Carry(head) => {
                for ordinal in 0..head.deliveries.len() {
                    // What the table says of them now must be known, for it is counted.
                    let key = Key { seq: head.seq, ordinal: u16::try_from(ordinal).unwrap_or(u16::MAX) };
                    self.load(index, key)?;
                }
                self.carried.push((place.segment, head.seq));
                self.event(place, head, Kind::Carry);
            }
            Record::Settle(record) => self.settle(index, place, &record)?,
            Record::Made(record) => self.made(index, place, &record)?,
            Record::Stop(record) => {
                let key = Key { seq: record.seq, ordinal: record.ordinal };
                if let Some(row) = self.load(index, key)? {
                    row.progress.finish(record.state, record.dead_reason, record.at);
                    self.ended(key);
                }
            }
            Record::Redeliver(record) => {
                let key = Key { seq: record.seq, ordinal: record.ordinal };
                if let Some(row) = self.load(index, key)? {
                    row.progress.reopen(record.at);
                }
            }
            Record::Replay(record) => self.replay(index, record)?,
            Record::Marks(marks) => {
                // Events that were passed on have no other record: their ids must not be given again.
                self.last_seq = marks.iter().map(|mark| mark.seq).fold(self.last_seq, Seq::max);
                self.marks.extend(marks);
            }
            Record::Webhook(webhook) => {
                let seq = webhook.id.seq();
                // Its id must not be given again.
                self.last_seq = self.last_seq.max(seq);
                self.webhooks.push((seq, Some(place)));
            }
            Record::WebhookGone(id) => {
                self.last_seq = self.last_seq.max(id.seq());
                self.webhooks.push((id.seq(), None));
            }
            Record::Batch { .. } | Record::Rolled => self.records -= 1,
        }
        Ok(())
    }

    fn event(&mut self, place: Place, head: EventHead<'_>, kind: Kind) {
        let (seq, is_new) = (head.seq, kind != Kind::Carry);
        self.last_seq = self.last_seq.max(seq);
        if let Some(mark) = &head.dedup {
            self.marks.push(Mark { key: mark.key, seq });
        }
        if is_new {
            self.admitted += u32::from(kind == Kind::Admit);
            self.moved += u32::from(kind == Kind::Moved);
            let unrouted = u64::from(head.deliveries.is_empty());
            let counts = [(Counted::Accepted, 1), (Counted::Unrouted, unrouted)];
            self.counters.add(head.source, hour_of(head.received_at), counts);
        }
        let event = FoldedEvent {
            seq,
            place,
            source: head.source.into(),
            event_type: head.event_type.map(Arc::from),
            project: Some(head.project).filter(|project| *project != DEFAULT_PROJECT).map(Arc::from),
            source_event_id: head.source_event_id.map(Box::from),
            body_bytes: head.body_bytes,
            deliveries: u16::try_from(head.deliveries.len()).unwrap_or(u16::MAX),
            is_new,
        };
        match self.event_at.get(&seq).and_then(|at| self.events.get_mut(*at)) {
            Some(known) => *known = event,
            None => {
                self.event_at.insert(seq, self.events.len());
                self.events.push(event);
            }
        }
        for (ordinal, delivery) in (0..).zip(head.deliveries) {
            let key = Key { seq, ordinal };
            let stored = if is_new { None } else { self.get(key).and_then(|row| row.stored) };
            let expires_at = delivery.planned.expires_at;
            let row = DeliveryRecordRow {
                target: delivery.planned.target,
                progress: delivery.progress,
                expires_at,
                event: place,
                last: None,
                stored,
            };
            let open = row.progress.is_open();
            self.put(key, row);
            if is_new && !open {
                self.ended(key);
            }
        }
    }

    fn settle(&mut self, index: &Index, place: Place, record: &SettleRecord) -> Result<(), IndexFault> {
        let key = Key { seq: record.seq, ordinal: record.ordinal };
        let Some(at) = self.find(index, key)? else { return Ok(()) };
        let Some((_, row)) = self.deliveries.get_mut(at) else { return Ok(()) };
        let before = row.last.replace(place).map(|last| (row.progress.attempts, last));
        row.progress.settle(&record.attempt, record.next);
        if let Some((attempt, last)) = before {
            self.attempts.push((key, attempt, last));
        }
        let Attempt { started_at, duration, .. } = record.attempt;
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let attempt = [(Counted::Attempts, 1), (Counted::AttemptMicros, micros)];
        let end = Counted::end(row.progress.state).map(|end| (end, 1));
        self.counters.add(&row.target, hour_of(started_at.plus(duration)), attempt.into_iter().chain(end));
        if end == Some((Counted::Dead, 1)) {
            self.died.push(key);
        }
        Ok(())
    }

    /// The last attempt's place is in its delivery's row, those of the others have rows of their own.
    fn made(&mut self, index: &Index, place: Place, record: &SettleRecord) -> Result<(), IndexFault> {
        let key = Key { seq: record.seq, ordinal: record.ordinal };
        let Some(at) = self.find(index, key)? else { return Ok(()) };
        let Some((_, row)) = self.deliveries.get_mut(at) else { return Ok(()) };
        let Attempt { number, started_at, duration, .. } = record.attempt;
        if number == row.progress.attempts {
            row.last = Some(place);
        } else {
            self.attempts.push((key, number, place));
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let attempt = [(Counted::Attempts, 1), (Counted::AttemptMicros, micros)];
        self.counters.add(&row.target, hour_of(started_at.plus(duration)), attempt);
        Ok(())
    }

    fn replay(&mut self, index: &Index, record: ReplayRecord) -> Result<(), IndexFault> {
        let seq = record.seq;
        let folded = self.event_at.get(&seq).and_then(|at| self.events.get_mut(*at));
        let event = match &folded {
            Some(event) => event.place,
            None => match rows::event_place(&index.connection, seq)? {
                Some(place) => place,
                None => return Ok(()),
            },
        };
        let count = record.first_ordinal.saturating_add(u16::try_from(record.deliveries.len()).unwrap_or(u16::MAX));
        match folded {
            Some(folded) => folded.deliveries = folded.deliveries.max(count),
            None => {
                self.delivery_counts.insert(seq, count);
            }
        }
        for (ordinal, delivery) in (record.first_ordinal..).zip(record.deliveries) {
            let row = DeliveryRecordRow {
                target: delivery.planned.target,
                progress: delivery.progress,
                expires_at: delivery.planned.expires_at,
                event,
                last: None,
                stored: None,
            };
            let open = row.progress.is_open();
            let key = Key { seq, ordinal };
            self.put(key, row);
            if !open {
                self.ended(key);
            }
        }
        Ok(())
    }

    /// The delivery as it stands, from the table if it is not here yet; `None`: it is gone.
    fn load(&mut self, index: &Index, key: Key) -> Result<Option<&mut DeliveryRecordRow>, IndexFault> {
        let at = self.find(index, key)?;
        Ok(at.and_then(|at| self.deliveries.get_mut(at)).map(|(_, row)| row))
    }

    fn find(&mut self, index: &Index, key: Key) -> Result<Option<usize>, IndexFault> {
        if let Some(at) = self.delivery_at.get(&key) {
            return Ok(Some(*at));
        }
        let name = |number| index.names.name(&index.connection, number);
        let Some(row) = rows::read(&index.connection, key, name)? else { return Ok(None) };
        self.put(key, row);
        Ok(Some(self.deliveries.len() - 1))
    }

    /// Whether it says how this delivery stands; not once it is sorted.
    pub(super) fn holds(&self, key: Key) -> bool {
        self.delivery_at.contains_key(&key)
    }

    fn get(&self, key: Key) -> Option<&DeliveryRecordRow> {
        self.delivery_at.get(&key).and_then(|at| self.deliveries.get(*at)).map(|(_, row)| row)
    }

    fn put(&mut self, key: Key, row: DeliveryRecordRow) {
        match self.delivery_at.get(&key).and_then(|at| self.deliveries.get_mut(*at)) {
            Some((_, known)) => *known = row,
            None => {
                self.delivery_at.insert(key, self.deliveries.len());
                self.deliveries.push((key, row));
            }
        }
    }

    /// Brings everything into the order in which it is written.
    pub(super) fn sort(&mut self) {
        // Nearly sorted already, which the stable sort makes use of.
        self.events.sort_by_key(|event| event.seq);
        self.deliveries.sort_by_key(|(key, _)| *key);
        self.event_at.clear();
        self.delivery_at.clear();
    }

    fn ended(&mut self, key: Key) {
        let Some((_, row)) = self.delivery_at.get(&key).and_then(|at| self.deliveries.get(*at)) else { return };
        let state = row.progress.state;
        if let Some(end) = Counted::end(state) {
            self.counters.add(&row.target, hour_of(row.progress.finished_at), [(end, 1)]);
        }
        if state == DeliveryState::Dead {
            self.died.push(key);
        }
    }
}
