//! The way out: claims with leases, and what came of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::Value;
use tokio::sync::oneshot;

use super::engine::{Redis, Shared};
use super::errand::{Errand, lease_text};
use super::jobs::{ClaimJob, Taken};
use super::key::{Key, seq_text, time};
use super::lane::Lane;
use super::{record, replies, script};
use crate::domain::{DeadReason, DeliveryId, Event, NewEvent, Seq, Settlement, Timestamp};
use crate::store::{Claim, StoreError};

/// Claims that are given back unless they are handed on, whatever happens to whoever asked for them.
struct Held<'a> {
    shared: &'a Shared,
    target: &'a Arc<str>,
    taken: Vec<Taken>,
}

// === impl Redis ===

impl Redis {
    pub(super) async fn claim_due(&self, target: &str, most: usize, lease: Duration) -> Result<Vec<Claim>, StoreError> {
        let shared = &*self.shared;
        let lane = shared.lanes.lane(target);
        let mut held = Held { shared, target: &lane.name, taken: lane.standing.take(most) };
        let first = shared.next_shard();
        for shard in (0..shared.bases.count()).map(|at| (first + at) % shared.bases.count()) {
            // Without a connection nothing is due: the lane is called when there is one again.
            let link = shared.links.of(shard);
            let asks = lane.is_active() && lane.is_due(shard, shared.clock.now()) && link.is_up();
            if held.taken.len() >= most || !asks || shared.is_closed() {
                continue;
            }
            match shared.ask_claims(&lane, shard, most - held.taken.len(), lease).await {
                Ok(taken) => held.taken.extend(taken),
                Err(_) if !link.is_up() => {}
                Err(reason) => return Err(StoreError::Engine(reason)),
            }
        }
        lane.standing.lacked(most, most.saturating_sub(held.taken.len()), lease);
        if held.taken.is_empty() {
            return Ok(Vec::new());
        }
        let mut claims = Vec::with_capacity(held.taken.len());
        let mut unread = Vec::new();
        for one in &held.taken {
            match shared.cache.take(one.key.seq) {
                Some(event) => claims.push(shared.to_claim(&lane, one, event)),
                None => unread.push(*one),
            }
        }
        if !unread.is_empty() {
            claims.extend(Box::pin(shared.read_claimed(&lane, &unread)).await?);
        }
        held.taken.clear();
        claims.sort_by_key(|claim| (claim.due_at, claim.id.seq()));
        Ok(claims)
    }

    pub(super) fn settle_claim(&self, claim: &Claim, settlement: Settlement) {
        let errand = Errand::Settle {
            key: key_of(claim.id),
            target: Arc::clone(&claim.target),
            lease: claim.lease,
            settlement: Box::new(settlement),
        };
        self.do_and_wake(claim, errand);
    }

    pub(super) fn release_claim(&self, claim: &Claim, due_at: Timestamp) {
        let (target, lease) = (Arc::clone(&claim.target), claim.lease);
        self.do_and_wake(claim, Errand::Release { key: key_of(claim.id), target, lease, due_at });
    }

    fn do_and_wake(&self, claim: &Claim, errand: Errand) {
        let (seq, wakes) = (claim.id.seq(), errand.wakes().map(|(_, at)| at));
        self.shared.run(seq, errand);
        let lane = self.shared.lanes.lane(&claim.target);
        // Where it stood in a line the next one may go, now that it has ended.
        let wakes = wakes.or_else(|| lane.is_ordered().then_some(Timestamp(0)));
        // A claim that follows goes out behind it: whoever claims next may see it.
        if let Some(at) = wakes {
            lane.wake(self.shared.bases.shard_of(seq), at);
        }
    }

    pub(super) async fn extend_claim(&self, claim: &Claim, lease: Duration) -> bool {
        let (shared, now) = (&*self.shared, self.shared.clock.now());
        let shard = shared.bases.shard_of(claim.id.seq());
        let mut call = script::EXTEND.on(shared.bases.get(shard));
        call.number(time(now)).bytes(key_of(claim.id).member()).bytes(&*claim.target);
        call.bytes(lease_text(claim.lease)).number(time(now.plus(lease)));
        let link = shared.links.of(shared.bases.shard_of(claim.id.seq()));
        let answers = link.all([call.done()]).await;
        let answer = answers.ok().and_then(|answers| answers.into_iter().next()?.ok());
        answer.as_ref().and_then(replies::number) == Some(1)
    }

    pub(super) fn hasten_target(&self, target: &str) {
        let lane = self.shared.lanes.lane(target);
        for (shard, outbox) in self.shared.outboxes().enumerate() {
            outbox.run(Errand::Hasten { target: Arc::clone(&lane.name) });
            lane.wake(shard, Timestamp(0));
        }
    }
}

// === impl Shared ===

impl Shared {
    async fn ask_claims(
        &self,
        lane: &Arc<Lane>,
        shard: usize,
        most: usize,
        lease: Duration,
    ) -> Result<Vec<Taken>, Arc<str>> {
        let (waiter, taken) = oneshot::channel();
        self.outbox(shard).claim(ClaimJob { target: Arc::clone(&lane.name), most, lease, waiter });
        taken.await.unwrap_or_else(|_| Err("the store is closed".into()))
    }

    /// Reads the events of claims from the server; one that cannot be read makes its delivery a dead one.
    async fn read_claimed(&self, lane: &Arc<Lane>, unread: &[Taken]) -> Result<Vec<Claim>, StoreError> {
        let mut claims = Vec::with_capacity(unread.len());
        let mut events = self.read_events(unread.iter().map(|one| one.key.seq)).await?.into_iter();
        for one in unread {
            match events.next().flatten() {
                Some(event) => claims.push(self.to_claim(lane, one, event)),
                None => {
                    self.damaged.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(event = %self.mint.event(one.key.seq), "a stored event cannot be read");
                    let (key, target, lease) = (one.key, Arc::clone(&lane.name), one.lease);
                    let (reason, at) = (DeadReason::Unreadable, self.clock.now());
                    self.run(key.seq, Errand::GiveUp { key, target, lease, reason, at });
                }
            }
        }
        Ok(claims)
    }

    /// Reads events whole; `None` for one that is not there, or not what was written.
    pub(super) async fn read_events(
        &self,
        seqs: impl Iterator<Item = Seq>,
    ) -> Result<Vec<Option<Arc<Event>>>, StoreError> {
        let seqs: Vec<Seq> = seqs.collect();
        let commands = seqs.iter().map(|seq| {
            let shard = self.bases.shard_of(*seq);
            let mut command = redis::cmd("HMGET");
            command.arg(format!("{}e:{}", self.bases.get(shard), seq_text(*seq))).arg("h").arg("k").arg("b");
            (shard, command)
        });
        let answers = self.links.all(commands.collect()).await.map_err(StoreError::Engine)?;
        let mut events = Vec::with_capacity(answers.len());
        for (seq, answer) in seqs.into_iter().zip(answers) {
            let value = answer.map_err(|error| StoreError::Engine(error.to_string().into()))?;
            let event = received(value).map(|received| Event { id: self.mint.event(seq), seq, received });
            events.push(event.map(Arc::new));
        }
        Ok(events)
    }

    fn to_claim(&self, lane: &Lane, taken: &Taken, event: Arc<Event>) -> Claim {
        Claim {
            id: self.mint.delivery(taken.key.seq, taken.key.ordinal),
            target: Arc::clone(&lane.name),
            attempt: taken.attempts.saturating_add(1),
            event,
            due_at: taken.due_at,
            expires_at: taken.expires_at,
            lease: taken.lease,
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shared.give_back(self.target, std::mem::take(&mut self.taken));
    }
}

/// The key of a delivery, unless its id is another's.
pub(super) fn key_of(id: DeliveryId) -> Key {
    Key { seq: id.seq(), ordinal: id.ordinal() }
}

fn received(value: Value) -> Option<NewEvent> {
    let Value::Array(parts) = value else { return None };
    let parts: Vec<Vec<u8>> = parts
        .into_iter()
        .filter_map(|part| match part {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        })
        .collect();
    let [head, headers, body] = <[Vec<u8>; 3]>::try_from(parts).ok()?;
    record::event(&head, headers, body)
}
