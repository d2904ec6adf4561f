//! The way out: claims with leases, and what came of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Embedded;
use super::journal::Done;
use super::key::Key;
use super::lane::Lane;
use super::queue::{Entry, NEVER};
use super::record::{Place, StopRecord};
use super::segment::ReadFault;
use super::segments::Segments;
use super::{decode, encode, rows};
use crate::domain::{Attempt, DeadReason, DeliveryState, Event, IdMint, Next, Seq, Settlement, Timestamp};
use crate::store::{AdmitError, Claim, StoreError};

/// Events of this many segments before the journal's end are taken to be in the page cache.
const IN_PAGE_CACHE_SEGMENTS: u32 = 2;

/// When an event that could not be read for want of memory or files is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

// === impl Embedded ===

impl Embedded {
    pub(super) async fn claim_due(&self, target: &str, most: usize, lease: Duration) -> Result<Vec<Claim>, StoreError> {
        let Some(lane) = self.lanes.get(target) else { return Ok(Vec::new()) };
        let now = self.clock.now();
        let taken = lane.claim(most, now, lease);
        for entry in taken.expired {
            self.stop_unattempted(entry.key, DeliveryState::Expired, None, now);
        }
        let mut claims = Vec::with_capacity(taken.claimed.len());
        let mut unread = Vec::new();
        let end = self.journal.durable().segment;
        for (entry, lease) in taken.claimed {
            if let Some(cached) = &entry.event {
                claims.push(self.to_claim(&lane, &entry, lease, Arc::clone(&cached.event)));
                continue;
            }
            // Written a moment ago, so it is in the page cache: reading it here costs less than another thread.
            if end.saturating_sub(entry.place.segment) <= IN_PAGE_CACHE_SEGMENTS
                && let Ok(event) = read_event(&self.segments, entry.place, entry.key.seq, &self.mint)
            {
                claims.push(self.to_claim(&lane, &entry, lease, event));
                continue;
            }
            unread.push((entry, lease));
        }
        if !unread.is_empty() {
            // Apart, since it is rare: what it needs would make every claim's future large.
            claims.extend(Box::pin(self.read_claimed(&lane, unread, now)).await?);
            claims.sort_by_key(|claim| (claim.due_at, claim.id.seq()));
        }
        Ok(claims)
    }

    async fn read_claimed(
        &self,
        lane: &Arc<Lane>,
        unread: Vec<(Entry, u64)>,
        now: Timestamp,
    ) -> Result<Vec<Claim>, StoreError> {
        let (segments, mint) = (Arc::clone(&self.segments), self.mint.clone());
        let reading = tokio::task::spawn_blocking(move || -> Vec<_> {
            let read = |entry: &Entry| read_event(&segments, entry.place, entry.key.seq, &mint);
            unread.into_iter().map(|(entry, lease)| (read(&entry), entry, lease)).collect()
        });
        let read = reading.await.map_err(|error| StoreError::Engine(error.to_string().into()))?;
        let mut claims = Vec::with_capacity(read.len());
        for (outcome, entry, lease) in read {
            let outcome = match outcome {
                Ok(event) => Ok(event),
                // Retention may have carried the event to another segment since.
                Err(fault) => self.read_moved(&entry).await.ok_or(fault),
            };
            match outcome {
                Ok(event) => claims.push(self.to_claim(lane, &entry, lease, event)),
                Err(fault) if fault.may_pass() => {
                    tracing::warn!(event = %self.mint.event(entry.key.seq), %fault, "a stored event cannot be read now");
                    if let Some(mut entry) = lane.land(entry.key, lease) {
                        entry.due_at = now.plus(READ_AGAIN);
                        lane.push(entry, self.clock.now());
                    }
                }
                Err(fault) => {
                    self.count_damage(entry.key.seq, &fault);
                    if lane.with(|queue| queue.land(entry.key, lease)).is_some() {
                        self.stop_unattempted(entry.key, DeliveryState::Dead, Some(DeadReason::Unreadable), now);
                    }
                }
            }
        }
        Ok(claims)
    }

    async fn read_moved(&self, entry: &Entry) -> Option<Arc<Event>> {
        let seq = entry.key.seq;
        let place = self.readers.read(move |connection| Ok(rows::event_place(connection, seq)?)).await.ok()??;
        if place == entry.place {
            return None;
        }
        let (segments, mint) = (Arc::clone(&self.segments), self.mint.clone());
        tokio::task::spawn_blocking(move || read_event(&segments, place, seq, &mint)).await.ok()?.ok()
    }

    /// A stored event could not be verified: counted and said, wherever it was noticed.
    pub(super) fn count_damage(&self, seq: Seq, fault: &ReadFault) {
        self.gate.damaged_records.fetch_add(1, Ordering::Relaxed);
        tracing::error!(event = %self.mint.event(seq), %fault, "a stored event cannot be read");
    }

    /// A delivery that left its queue ends without an attempt; written with the next batch.
    pub(super) fn stop_unattempted(&self, key: Key, state: DeliveryState, reason: Option<DeadReason>, at: Timestamp) {
        if state == DeliveryState::Dead {
            self.deaths.add(key);
        }
        let record = StopRecord { seq: key.seq, ordinal: key.ordinal, state, dead_reason: reason, at };
        self.journal.append_lazy(&encode::stop(&record));
    }

    fn to_claim(&self, lane: &Lane, entry: &Entry, lease: u64, event: Arc<Event>) -> Claim {
        Claim {
            id: self.mint.delivery(entry.key.seq, entry.key.ordinal),
            target: Arc::clone(&lane.name),
            attempt: entry.attempts.saturating_add(1),
            event,
            due_at: entry.due_at,
            expires_at: (entry.expires_at != NEVER).then_some(entry.expires_at),
            lease,
        }
    }

    pub(super) fn settle_claim(&self, claim: &Claim, settlement: Settlement) {
        let Settlement { attempt, next } = settlement;
        if matches!(next, Next::Dead(_)) {
            return self.settle_for_good(claim, &attempt, next);
        }
        let Some((lane, mut entry)) = self.land(claim) else { return };
        let key = entry.key;
        // Before the delivery can be claimed again: its next record must come after this one.
        self.journal.append_lazy(&encode::settle(key.seq, key.ordinal, &attempt, next));
        if let Next::RetryAt(at) = next {
            entry.attempts = attempt.number;
            entry.due_at = at;
            lane.push(entry, self.clock.now());
        }
    }

    /// A delivery is dead. Where it stood in a line nobody passes it before that is on disk: after a crash it would be
    /// attempted again, behind the next one.
    fn settle_for_good(&self, claim: &Claim, attempt: &Attempt, next: Next) {
        let key = key_of(claim);
        let Some(lane) = self.lanes.get(&claim.target) else { return };
        let Some(waits) = lane.land_for_good(key, claim.lease) else { return };
        self.deaths.add(key);
        let record = encode::settle(key.seq, key.ordinal, attempt, next);
        if !waits {
            return self.journal.append_lazy(&record);
        }
        // Where it cannot be written the store has failed, and nothing goes out any more.
        let done = move |kept: Result<Place, AdmitError>| {
            if kept.is_ok() {
                lane.ended([key]);
            }
        };
        self.journal.append(&record, true, Done::Outcome(Box::new(done)));
    }

    pub(super) fn release_claim(&self, claim: &Claim, due_at: Timestamp) {
        if let Some((lane, mut entry)) = self.land(claim) {
            entry.due_at = due_at;
            lane.push(entry, self.clock.now());
        }
    }

    pub(super) fn extend_claim(&self, claim: &Claim, lease: Duration) -> bool {
        let Some(lane) = self.lanes.get(&claim.target) else { return false };
        let now = self.clock.now();
        lane.with(|queue| queue.extend(key_of(claim), claim.lease, now, now.plus(lease)))
    }

    /// Ends the claim if it is still the newest.
    fn land(&self, claim: &Claim) -> Option<(Arc<Lane>, Entry)> {
        let lane = self.lanes.get(&claim.target)?;
        let entry = lane.land(key_of(claim), claim.lease)?;
        Some((lane, entry))
    }
}

fn key_of(claim: &Claim) -> Key {
    Key { seq: claim.id.seq(), ordinal: claim.id.ordinal() }
}

/// Reads an event back, whole and verified.
pub(super) fn read_event(segments: &Segments, place: Place, seq: Seq, mint: &IdMint) -> Result<Arc<Event>, ReadFault> {
    let payload = segments.read(place)?;
    let (its_seq, received, _, _) = decode::event(&payload).ok_or(ReadFault::Damaged)?;
    if its_seq != seq {
        return Err(ReadFault::Damaged);
    }
    Ok(Arc::new(Event { id: mint.event(seq), seq, received }))
}
