//! The way in: one script that keeps event, deliveries and mark, or finds that this is a copy.

use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher13;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::engine::{Redis, Shared};
use super::jobs::{AdmitJob, Planned, Verdict};
use super::record;
use crate::domain::{Event, EventId, NewEvent, Plan, PlannedDelivery, Seq, Timestamp};
use crate::store::{Admission, AdmitError, Admitted, DedupMark, MarkClaim, MarkClaimed};

/// Between two looks at a mark that another gateway has claimed.
const MARK_LOOK: Duration = Duration::from_millis(25);

/// How long the first of two marks is claimed while the event is admitted with the other one.
const SECOND_MARK_LEASE: Duration = Duration::from_secs(30);

// === impl Redis ===

impl Redis {
    pub(super) async fn admit_event(&self, admission: Admission) -> Result<Admitted, AdmitError> {
        let Admission { id, event, plan, dedup, also } = admission;
        let (Some(first), Some(also)) = (dedup, also) else {
            return self.admit_marked(id, event, plan, dedup.or(also)).await;
        };
        // One script keeps to one shard, and the two marks may be of two: one goes with the event, the other one is
        // claimed before and committed behind it.
        let claim = loop {
            match self.claim_one_mark(&event.source, first, SECOND_MARK_LEASE).await? {
                MarkClaimed::Ours(claim) => break claim,
                MarkClaimed::Duplicate(first) => return Ok(Admitted::Duplicate(first)),
                MarkClaimed::InFlight => sleep(MARK_LOOK).await,
            }
        };
        let admitted = self.admit_marked(id, event, plan, Some(also)).await;
        let Ok(Admitted::Kept(event)) = admitted else {
            self.release_one_mark(&claim);
            return admitted;
        };
        self.claimed_marks().remove(&(claim.key, claim.event.seq()));
        self.commit_one_mark(&MarkClaim { event, key: claim.key });
        let outbox = self.shared.outbox(self.shared.shard_of_mark(&claim.key));
        outbox.flush().await.map_err(AdmitError::Unavailable)?;
        Ok(Admitted::Kept(event))
    }

    async fn admit_marked(
        &self,
        given: Option<EventId>,
        mut event: NewEvent,
        plan: Plan,
        dedup: Option<DedupMark>,
    ) -> Result<Admitted, AdmitError> {
        let shared = &self.shared;
        let given = given.map(|id| shared.place_of(id, dedup.as_ref())).transpose()?;
        loop {
            let (seq, shard) = given.unwrap_or_else(|| {
                let shard = dedup.map_or_else(|| shared.next_shard(), |mark| shared.shard_of_mark(&mark.key));
                (shared.sequence.next(&shared.clock, shard), shard)
            });
            shared.may_admit(shard)?;
            let id = shared.mint.event(seq);
            let planned = plan.deliveries.iter().map(|one| shared.planned(one, event.received_at)).collect();
            let head = record::head(&event, fastrand::u64(..));
            let lookup = event.source_event_id.as_deref().map(|id| shared.lookup(id)).unwrap_or_default();
            let kept = Arc::new(Event { id, seq, received: event });
            let (waiter, verdict) = oneshot::channel();
            shared.outbox(shard).admit(AdmitJob {
                seq,
                mark: dedup,
                head,
                lookup,
                event: Arc::clone(&kept),
                planned,
                since: Instant::now(),
                is_repeated: false,
                waiter,
            });
            match verdict.await.unwrap_or_else(|_| Verdict::Failed(AdmitError::Unavailable("it is closed".into()))) {
                Verdict::Kept => return Ok(Admitted::Kept(id)),
                Verdict::Duplicate(first) => return Ok(Admitted::Duplicate(shared.mint.event(first))),
                Verdict::Failed(error) => return Err(error),
                Verdict::SeqTaken if given.is_some() => {
                    return Err(AdmitError::Unavailable("another event has this id: take a new one".into()));
                }
                Verdict::SeqTaken => {}
                Verdict::InFlight => {
                    tokio::select! {
                        () = shared.mark_freed.notified() => {}
                        () = sleep(MARK_LOOK) => {}
                    }
                }
            }
            event = Arc::try_unwrap(kept).map_or_else(|kept| kept.received.clone(), |kept| kept.received);
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Whether an event may be admitted to a shard now: nobody waits for a server that is gone.
    fn may_admit(&self, shard: usize) -> Result<(), AdmitError> {
        self.usable(shard)?;
        self.links.of(shard).memory.full().map_or(Ok(()), |reason| Err(AdmitError::Full(reason)))
    }

    /// Seq and shard of an id that was given before. Event and mark go into one script, and so into one shard: with
    /// more shards than one an event that is known by a mark cannot have its id before.
    fn place_of(&self, id: EventId, dedup: Option<&DedupMark>) -> Result<(Seq, usize), AdmitError> {
        let refused = |reason: &str| AdmitError::Unavailable(reason.into());
        let Ok((seq, shard)) = self.own_event(id) else { return Err(refused("the id is not from this store")) };
        match dedup {
            Some(mark) if self.shard_of_mark(&mark.key) != shard => {
                Err(refused("an id that was given before needs store.shards: 1"))
            }
            _ => Ok((seq, shard)),
        }
    }

    /// Whether a shard's server can be asked now.
    pub(super) fn usable(&self, shard: usize) -> Result<(), AdmitError> {
        if self.is_closed() {
            return Err(AdmitError::Unavailable("it is closing".into()));
        }
        self.links.of(shard).live().map(drop).map_err(AdmitError::Unavailable)
    }

    /// A delivery as the scripts plan it.
    pub(super) fn planned(&self, planned: &PlannedDelivery, now: Timestamp) -> Planned {
        let lane = self.lanes.lane(&planned.target);
        Planned {
            target: Arc::clone(&planned.target),
            plan: record::plan(planned),
            due_at: planned.not_before.unwrap_or(now),
            expires_at: planned.expires_at,
            queue_max: lane.queue_max(),
            ordered: lane.is_ordered(),
        }
    }

    /// By what a sender's id is found.
    pub(super) fn lookup(&self, id: &str) -> String {
        let mut hasher = SipHasher13::new_with_key(&self.lookup_key);
        hasher.write(id.as_bytes());
        format!("{:016x}", hasher.finish())
    }
}
