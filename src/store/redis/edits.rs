//! What people do to old deliveries: redeliver, cancel, replay. Each is one script, durable before it answers.

use std::collections::BTreeMap;

use redis::{Cmd, Value};

use super::claims::key_of;
use super::engine::{Redis, Shared};
use super::key::{Key, seq_text, time};
use super::{replies, script};
use crate::domain::{DeliveryId, EventId, PlannedDelivery};
use crate::store::StoreError;

/// Deliveries that one script restarts: others wait meanwhile.
const EDITED_AT_ONCE: usize = 500;

/// Deliveries that one script ends: others wait meanwhile.
const CANCELLED_AT_ONCE: u64 = 1000;

// === impl Redis ===

impl Redis {
    pub(super) async fn redeliver_one(&self, id: DeliveryId) -> Result<(), StoreError> {
        self.edit(id, "R").await
    }

    /// In their order, as many of a shard in one script as may hold up others.
    pub(super) async fn restart_many(&self, ids: Vec<DeliveryId>) -> Vec<Result<(), StoreError>> {
        let shared = &*self.shared;
        let mut done: Vec<Result<(), StoreError>> = ids.iter().map(|_| Err(StoreError::NotFound)).collect();
        let mut by_shard: BTreeMap<usize, Vec<(usize, Key)>> = BTreeMap::new();
        for (place, id) in ids.into_iter().enumerate() {
            if let Ok((key, shard)) = shared.own_delivery(id) {
                by_shard.entry(shard).or_default().push((place, key));
            }
        }
        for (shard, keys) in by_shard {
            for some in keys.chunks(EDITED_AT_ONCE) {
                let members: Vec<Key> = some.iter().map(|(_, key)| *key).collect();
                let answers = match shared.edit(shard, &members, "R").await {
                    Ok(answers) => answers,
                    Err(error) => members.iter().map(|_| Err(error.clone())).collect(),
                };
                for ((place, _), answer) in some.iter().zip(answers) {
                    if let Some(one) = done.get_mut(*place) {
                        *one = answer;
                    }
                }
            }
        }
        done
    }

    pub(super) async fn cancel_one(&self, id: DeliveryId) -> Result<(), StoreError> {
        self.edit(id, "C").await
    }

    /// Everything of a target that waits ends, a bounded step after the other.
    pub(super) async fn cancel_waiting(&self, target: &str) -> Result<u64, StoreError> {
        let shared = &*self.shared;
        let mut cancelled = 0;
        for (shard, (base, outbox)) in shared.bases.iter().zip(shared.outboxes()).enumerate() {
            outbox.flush().await.map_err(StoreError::Engine)?;
            loop {
                let mut call = script::CANCEL.on(base);
                call.number(time(shared.clock.now())).bytes(target).number(CANCELLED_AT_ONCE);
                let value = shared.ask(shard, call.done()).await?;
                let answer: Vec<u64> =
                    replies::array(&value).unwrap_or_default().iter().filter_map(replies::number).collect();
                let [looked, ended] = *answer else {
                    return Err(StoreError::Engine("redis has answered something strange".into()));
                };
                cancelled += ended;
                if looked < CANCELLED_AT_ONCE {
                    break;
                }
            }
        }
        Ok(cancelled)
    }

    async fn edit(&self, id: DeliveryId, letter: &str) -> Result<(), StoreError> {
        let (key, shard) = self.shared.own_delivery(id)?;
        self.shared.edit(shard, &[key], letter).await?.pop().unwrap_or(Err(StoreError::NotFound))
    }

    pub(super) async fn replay_event(
        &self,
        event: EventId,
        deliveries: Vec<PlannedDelivery>,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let shared = &*self.shared;
        let (seq, shard) = shared.own_event(event)?;
        let now = shared.clock.now();
        let planned: Vec<_> = deliveries.iter().map(|one| shared.planned(one, now)).collect();
        let mut call = script::REPLAY.on(shared.bases.get(shard));
        call.number(time(now)).bytes(seq_text(seq)).number(planned.len() as u64);
        for one in &planned {
            call.bytes(&*one.target);
        }
        call.number(planned.len() as u64);
        for one in &planned {
            one.write(&mut call);
        }
        let value = shared.ask(shard, call.done()).await?;
        let answer = replies::array(&value).unwrap_or_default();
        let first = match answer.first().and_then(replies::text) {
            Some("ok") => answer.get(1).and_then(replies::number).and_then(|first| u16::try_from(first).ok()),
            Some("many") => return Err(StoreError::Conflict("the event has too many deliveries".into())),
            _ => return Err(StoreError::NotFound),
        };
        let first = first.ok_or_else(|| StoreError::Engine("redis has answered something strange".into()))?;
        for one in &planned {
            shared.lanes.lane(&one.target).wake(shard, one.due_at);
        }
        Ok((first..).take(planned.len()).map(|ordinal| shared.mint.delivery(seq, ordinal)).collect())
    }
}

// === impl Shared ===

impl Shared {
    /// What people do to deliveries of one shard: what came of each.
    async fn edit(&self, shard: usize, keys: &[Key], letter: &str) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.outbox(shard).flush().await.map_err(StoreError::Engine)?;
        let now = self.clock.now();
        let mut call = script::EDIT.on(self.bases.get(shard));
        call.number(time(now)).bytes(letter).number(keys.len() as u64);
        for key in keys {
            call.bytes(key.member());
        }
        let value = self.ask(shard, call.done()).await?;
        let answers = replies::array(&value).unwrap_or_default();
        let edited = |answer: &Value| {
            let answer = replies::array(answer).unwrap_or_default();
            match answer.first().and_then(replies::text) {
                Some("ok") => {
                    if let Some(target) = answer.get(1).and_then(replies::text) {
                        self.lanes.lane(target).wake(shard, now);
                    }
                    Ok(())
                }
                Some("flying") => Err(StoreError::Conflict("the delivery is in flight: wait for its outcome".into())),
                Some("ended") => Err(StoreError::Conflict("the delivery has already ended".into())),
                _ => Err(StoreError::NotFound),
            }
        };
        let edited: Vec<_> = answers.iter().map(edited).collect();
        if edited.len() == keys.len() {
            Ok(edited)
        } else {
            Err(StoreError::Engine("redis has answered something strange".into()))
        }
    }

    /// One command to a shard that somebody waits for.
    pub(super) async fn ask(&self, shard: usize, command: Cmd) -> Result<Value, StoreError> {
        let link = self.links.of(shard);
        let answers = link.all([command]).await.map_err(StoreError::Engine)?;
        match answers.into_iter().next() {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(StoreError::Engine(link.trouble(&error).words())),
            None => Err(StoreError::Engine("redis has not answered".into())),
        }
    }

    /// Key and shard of a delivery whose id we made.
    pub(super) fn own_delivery(&self, id: DeliveryId) -> Result<(Key, usize), StoreError> {
        let key = key_of(id);
        let is_ours = self.mint.delivery(key.seq, key.ordinal) == id;
        if is_ours { Ok((key, self.bases.shard_of(key.seq))) } else { Err(StoreError::NotFound) }
    }

    /// Seq and shard of an event whose id we made.
    pub(super) fn own_event(&self, id: EventId) -> Result<(crate::domain::Seq, usize), StoreError> {
        let seq = id.seq();
        if self.mint.event(seq) == id { Ok((seq, self.bases.shard_of(seq))) } else { Err(StoreError::NotFound) }
    }
}
