//! The way in: dedup, encode, hand to the writer, wait for the disk.

use std::future::Future;
use std::sync::Arc;

use super::Embedded;
use super::answer::{Awaited, awaited};
use super::dedup::{Begin, Dedup, Verdict, bucket_of};
use super::encode;
use super::index::{number, seq_of};
use super::journal::Admitting;
use super::key::Key;
use super::lane::Lane;
use super::queue::{Entry, NEVER};
use super::record::{DeliveryRecord, Kind, Mark, Place, Progress};
use super::runs;
use crate::domain::{DeadReason, Event, EventId, PlannedDelivery, Seq, Timestamp};
use crate::store::{Admission, AdmitError, Admitted, DedupMark};

/// A mark that is ours: given up, so that copies do not wait for nothing, unless it is handed on.
struct Ticket<'a> {
    dedup: &'a Dedup,
    key: [u8; 16],
    kept: bool,
}

/// How far an admission has come without waiting for anything.
enum Begun {
    /// It goes to disk under this id.
    Submitted(EventId, Awaited),
    Refused(AdmitError),
    /// Somebody has to be waited for, or asked.
    Undecided(Box<Admission>, DedupMark),
}

/// Deliveries with their places in the queues.
pub(super) struct Planned {
    pub(super) records: Vec<DeliveryRecord>,
    pub(super) entries: Vec<(Arc<Lane>, Entry)>,
}

// === impl Embedded ===

impl Embedded {
    /// Does at once what needs no waiting, which mostly is all but the sync: what is left is small, and there may be
    /// thousands of it.
    pub(super) fn admit_event(
        &self,
        admission: Admission,
    ) -> impl Future<Output = Result<Admitted, AdmitError>> + Send + use<'_> {
        let begun = self.begin_admission(admission);
        async move {
            match begun {
                Begun::Submitted(id, answer) => answer.await.map(|()| Admitted::Kept(id)),
                Begun::Refused(error) => Err(error),
                Begun::Undecided(admission, mark) => Box::pin(self.admit_undecided(*admission, mark)).await,
            }
        }
    }

    fn begin_admission(&self, admission: Admission) -> Begun {
        if let Err(error) = self.gate.admit() {
            return Begun::Refused(error);
        }
        if let Some(mark) = admission.dedup {
            let Some(mut ticket) = self.mark_at_once(mark, &admission) else {
                return Begun::Undecided(Box::new(admission), mark);
            };
            ticket.kept = true;
        }
        let seq = self.seq_of(&admission);
        match self.submit(admission, seq) {
            Ok((id, answer)) => Begun::Submitted(id, answer),
            Err(error) => Begun::Refused(error),
        }
    }

    /// The mark, where it is the only one and certainly nobody's.
    fn mark_at_once(&self, mark: DedupMark, admission: &Admission) -> Option<Ticket<'_>> {
        if admission.also.is_some() || cfg!(feature = "fault-split-admission") {
            return None;
        }
        let (DedupMark { key, window }, now) = (mark, admission.event.received_at);
        let Begin::First = self.dedup.begin(key, window, now) else { return None };
        let ticket = Ticket { dedup: &self.dedup, key, kept: false };
        (!self.dedup.may_be_stored(&key, window, now)).then_some(ticket)
    }

    fn seq_of(&self, admission: &Admission) -> Seq {
        admission.id.map_or_else(|| self.next_seq(), EventId::seq)
    }

    /// The whole way: with copies that are under way or were kept long ago, and a second mark.
    async fn admit_undecided(&self, admission: Admission, mark: DedupMark) -> Result<Admitted, AdmitError> {
        let now = admission.event.received_at;
        let mut ticket = match self.take_mark(mark, now).await? {
            Ok(ticket) => ticket,
            Err(first) => return self.is_copy_of(first, &admission).await,
        };
        // Always behind the first: nobody has a second mark and waits for a first.
        let also = match admission.also {
            Some(mark) => match self.take_mark(mark, now).await? {
                Ok(ticket) => Some(ticket),
                Err(first) => return self.is_copy_of(first, &admission).await,
            },
            None => None,
        };
        let seq = self.seq_of(&admission);
        if cfg!(feature = "fault-split-admission") {
            self.keep_mark_alone(mark, seq).await?;
        }
        // From here on the writer says what becomes of the mark, whether or not we are still there.
        ticket.kept = true;
        match also {
            Some(also) => self.submit_with_second_mark(admission, seq, also).await,
            None => self.submitted(admission, seq).await,
        }
    }

    async fn is_copy_of(&self, first: Seq, admission: &Admission) -> Result<Admitted, AdmitError> {
        self.rearm(first).await.map_err(|error| AdmitError::Unavailable(error.to_string().into()))?;
        self.ledger.count_copy(&admission.event.source, self.clock.now());
        Ok(Admitted::Duplicate(self.mint.event(first)))
    }

    /// The event first: a mark that a crash leaves alone would make a copy of nothing.
    async fn submit_with_second_mark(
        &self,
        admission: Admission,
        seq: Seq,
        ticket: Ticket<'_>,
    ) -> Result<Admitted, AdmitError> {
        let admitted = self.submitted(admission, seq).await?;
        let (dedup, key) = (Arc::clone(&self.dedup), ticket.key);
        let commit = move |kept: bool| {
            if kept {
                dedup.commit(&key, seq);
            }
        };
        let marked = self.edit(encode::marks(&[Mark { key, seq }]), commit).await;
        marked.map_err(|error| AdmitError::Unavailable(error.to_string().into()))?;
        Ok(admitted)
    }

    async fn submitted(&self, admission: Admission, seq: Seq) -> Result<Admitted, AdmitError> {
        let (id, answer) = self.submit(admission, seq)?;
        answer.await?;
        Ok(Admitted::Kept(id))
    }

    /// Hands an event whose mark is ours to the writer.
    fn submit(&self, admission: Admission, seq: Seq) -> Result<(EventId, Awaited), AdmitError> {
        let Admission { mut event, plan, dedup, .. } = admission;
        let mut planned = self.plan(seq, 0, plan.deliveries, event.received_at);
        let record = encode::event(Kind::Admit, seq, &event, dedup.as_ref(), &planned.records);
        let record = encode::share(record, &mut event);
        let id = self.mint.event(seq);
        if !planned.entries.is_empty() {
            let event = Arc::new(Event { id, seq, received: event });
            if let Some(cached) = self.cache.keep(&event) {
                planned.entries.iter_mut().for_each(|(_, entry)| entry.event = Some(Arc::clone(&cached)));
            }
        }
        let (waiter, answer) = awaited();
        let dedup_key = dedup.map(|mark| mark.key);
        let admitting = Admitting { seq, dedup_key, entries: planned.entries, waiter };
        if let Err(error) = self.journal.admit(&record, Box::new(admitting)) {
            if let Some(key) = &dedup_key {
                self.dedup.release(key, &Verdict::Failed(error.clone()));
            }
            return Err(error);
        }
        Ok((id, answer))
    }

    /// Gives every planned delivery its place in its queue; where there is none it is dead from the start.
    pub(super) fn plan(&self, seq: Seq, first: u16, planned: Vec<PlannedDelivery>, now: Timestamp) -> Planned {
        let mut result =
            Planned { records: Vec::with_capacity(planned.len()), entries: Vec::with_capacity(planned.len()) };
        for (ordinal, planned) in (first..).zip(planned) {
            let key = Key { seq, ordinal };
            let lane = self.lanes.lane(&planned.target);
            let due_at = planned.not_before.unwrap_or(now);
            let progress = if lane.reserve() {
                let expires_at = planned.expires_at.unwrap_or(NEVER);
                let entry = Entry { key, attempts: 0, place: Place::default(), due_at, expires_at, event: None };
                result.entries.push((lane, entry));
                Progress::pending(due_at)
            } else {
                self.deaths.add(key);
                Progress::dead(DeadReason::QueueFull, now)
            };
            result.records.push(DeliveryRecord { planned, progress });
        }
        result
    }

    /// The mark for a new event that came at `now`, or the first copy's seq where this is a copy.
    async fn take_mark(&self, mark: DedupMark, mut now: Timestamp) -> Result<Result<Ticket<'_>, Seq>, AdmitError> {
        loop {
            match self.dedup.begin(mark.key, mark.window, now) {
                Begin::Duplicate(seq) => return Ok(Err(seq)),
                Begin::Wait(first) => {
                    match first.await {
                        Ok(Verdict::Committed(seq)) => return Ok(Err(seq)),
                        Ok(Verdict::Failed(error)) => return Err(error),
                        Ok(Verdict::Abandoned) | Err(_) => {}
                    }
                    now = self.clock.now();
                }
                Begin::First => {
                    let mut ticket = Ticket { dedup: &self.dedup, key: mark.key, kept: false };
                    if !self.dedup.may_be_stored(&mark.key, mark.window, now) {
                        return Ok(Ok(ticket));
                    }
                    let Some(seq) = self.stored_mark(mark, now).await? else { return Ok(Ok(ticket)) };
                    ticket.kept = true;
                    self.dedup.release(&mark.key, &Verdict::Committed(seq));
                    return Ok(Err(seq));
                }
            }
        }
    }

    /// What the table says of a mark within its window.
    pub(super) async fn stored_mark(&self, mark: DedupMark, now: Timestamp) -> Result<Option<Seq>, AdmitError> {
        if !self.progress.whole().await {
            return Err(AdmitError::Unavailable("the index is being built anew".into()));
        }
        let oldest = now.minus(mark.window);
        let found = self.readers.read(move |connection| {
            let slices = (number(bucket_of(oldest)), number(bucket_of(now)));
            let found = runs::find(connection, runs::Kind::Marks, slices, u128::from_be_bytes(mark.key), 1)?;
            let newest = found.into_iter().map(seq_of).max();
            // As in the tail: a mark as old as its window no longer counts.
            Ok(newest.filter(|seq| now.since(seq.time()) < mark.window))
        });
        found.await.map_err(|error| AdmitError::Unavailable(error.to_string().into()))
    }

    /// Broken on purpose (feature `fault-split-admission`): makes the mark durable long before its event, so
    /// that a crash in between turns the sender's next try into a duplicate of nothing.
    async fn keep_mark_alone(&self, mark: DedupMark, seq: Seq) -> Result<(), AdmitError> {
        self.journal.keep(encode::marks(&[Mark { key: mark.key, seq }])).await?;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        Ok(())
    }
}

// === impl Ticket ===

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.dedup.release(&self.key, &Verdict::Abandoned);
        }
    }
}
