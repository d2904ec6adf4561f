//! What a person has paused: a set of the first shard, read by every gateway, and what waits for a paused source.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::engine::{Redis, Shared};
use super::key::{time, time_of};
use super::{replies, script};
use crate::domain::Timestamp;
use crate::store::{Paused, StoreError};

/// Where the set is.
const SHARD: usize = 0;

/// Deliveries that one script makes due: others wait meanwhile.
const RELEASED_AT_ONCE: u64 = 1000;

/// What a gateway knows of the pauses.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// As they were read last; `None`: nobody has read them, so that their changes do not matter.
    read: Option<BTreeSet<Paused>>,
    /// They stand otherwise now.
    is_old: bool,
}

// === impl Redis ===

impl Redis {
    pub(super) async fn write_pause(&self, what: &Paused, paused: bool) -> Result<(), StoreError> {
        let mut command = redis::cmd(if paused { "SADD" } else { "SREM" });
        command.arg(self.shared.pauses_key()).arg(text_of(what));
        self.shared.ask(SHARD, command).await.map(drop)
    }

    pub(super) async fn read_pauses(&self) -> Result<Vec<Paused>, StoreError> {
        let paused = self.shared.ask_pauses().await?;
        *self.shared.pauses.lock() = Known { read: Some(paused.clone()), is_old: false };
        Ok(paused.into_iter().collect())
    }

    pub(super) async fn await_changed_pauses(&self) {
        let pauses = &self.shared.pauses;
        loop {
            let changed = pauses.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that nothing that comes after the look is missed.
            changed.as_mut().enable();
            if pauses.lock().is_old {
                return;
            }
            changed.await;
        }
    }

    /// Makes due what waits for a person, where that is over; how many those were. Where the server cannot be asked it waits on.
    pub(super) async fn release_what_waits(&self, over: impl Fn(Timestamp) -> bool + Send) -> u64 {
        let mut released = 0;
        let mut held = Vec::new();
        for shard in 0..self.shared.bases.count() {
            held.extend(self.shared.held(shard).await.into_iter().filter(|(.., moment)| over(*moment)));
        }
        for (shard, target, moment) in held {
            match self.shared.release(shard, &target, moment).await {
                Ok(count) => released += count,
                Err(error) => {
                    tracing::error!(%error, destination = &*target, "what waited for its source cannot be released now")
                }
            }
        }
        released
    }
}

// === impl Shared ===

impl Shared {
    /// Whether another gateway has paused or resumed something.
    pub(super) async fn look_for_changed_pauses(&self) {
        if self.pauses.lock().read.is_none() {
            return;
        }
        let Ok(paused) = self.ask_pauses().await else { return };
        let mut known = self.pauses.lock();
        if known.read.as_ref().is_some_and(|read| *read != paused) {
            known.is_old = true;
            self.pauses.changed.notify_waiters();
        }
    }

    async fn ask_pauses(&self) -> Result<BTreeSet<Paused>, StoreError> {
        let mut command = redis::cmd("SMEMBERS");
        command.arg(self.pauses_key());
        let found = self.ask(SHARD, command).await?;
        let texts = replies::array(&found).unwrap_or_default().iter().map(replies::text);
        let damaged =
            || StoreError::Damaged("what is paused cannot be read: it is damaged, or of another version".into());
        texts.map(|text| paused_of(text?)).collect::<Option<_>>().ok_or_else(damaged)
    }

    fn pauses_key(&self) -> String {
        format!("{}pauses", self.bases.get(SHARD))
    }

    /// Targets of which something waits for a person, each with the moment for which it waits.
    async fn held(&self, shard: usize) -> Vec<(usize, String, Timestamp)> {
        let found = match self.ask(shard, script::HELD.on(self.bases.get(shard)).done()).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "what waits for sources cannot be looked at now");
                return Vec::new();
            }
        };
        let pairs = replies::array(&found).unwrap_or_default().chunks_exact(2);
        let read = |pair: &[redis::Value]| {
            let [target, moment] = pair else { return None };
            Some((shard, replies::text(target)?.to_owned(), time_of(replies::number(moment)?)))
        };
        pairs.filter_map(read).collect()
    }

    async fn release(&self, shard: usize, target: &str, moment: Timestamp) -> Result<u64, StoreError> {
        let mut released = 0;
        loop {
            let now = self.clock.now();
            let mut call = script::RELEASE.on(self.bases.get(shard));
            call.number(time(now)).bytes(target).number(time(moment)).number(RELEASED_AT_ONCE);
            let some = replies::number(&self.ask(shard, call.done()).await?).unwrap_or_default();
            released += some;
            self.lanes.lane(target).wake(shard, now);
            if some < RELEASED_AT_ONCE {
                return Ok(released);
            }
        }
    }
}

// === impl Pauses ===

impl Pauses {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text_of(what: &Paused) -> String {
    match what {
        Paused::Source(name) => format!("source {name}"),
        Paused::Destination(name) => format!("destination {name}"),
    }
}

fn paused_of(text: &str) -> Option<Paused> {
    match text.split_once(' ')? {
        ("source", name) => Some(Paused::Source(name.into())),
        ("destination", name) => Some(Paused::Destination(name.into())),
        _ => None,
    }
}
