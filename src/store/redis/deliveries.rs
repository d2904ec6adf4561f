//! Deliveries, as lists and one by one, and the queues.
//!
//! Deliveries that ended badly are in lists of their own. Open ones are read from the queues where they are few; where
//! they are many, and for all others, from the newest event on.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redis::Value;

use super::engine::{Redis, Shared};
use super::key::{Key, seq_text, time};
use super::lane::is_webhook;
use super::lists::ROWS_VISITED_MAX;
use super::newest::{Newest, Range};
use super::record::{self, Head, Progress};
use super::{replies, script};
use crate::domain::{DeliveryId, DeliveryState, Seq, Timestamp};
use crate::store::query::PAGE_ROWS_MAX;
use crate::store::{AttemptRow, DeliveryFilter, DeliveryRow, LaneState, Page, PageRequest, StoreError};

/// So many open deliveries are read from their queues and sorted; more of them are looked for among the events.
const OPEN_SORTED_MAX: u64 = 10_000;

/// Where the keys of a list come from.
enum Walk {
    /// Every delivery of these events, the newest event first.
    Events(Newest),
    /// Deliveries of a list of their own.
    Ended(Newest),
    /// These, newest first.
    Known(Vec<Key>),
}

// === impl Redis ===

impl Redis {
    pub(super) async fn list_deliveries(
        &self,
        filter: DeliveryFilter,
        page: PageRequest,
    ) -> Result<Page<DeliveryRow>, StoreError> {
        let shared = &*self.shared;
        shared.flush_all().await?;
        let limit = page.limit.clamp(1, PAGE_ROWS_MAX);
        let mut walk = shared.walk(&filter, page).await?;
        let (mut rows, mut visited) = (Vec::new(), 0);
        loop {
            let (some, last) = walk.next(shared).await?;
            let Some(last) = last else { break };
            visited += some.len();
            for row in some {
                let place = (row.id.seq(), row.id.ordinal());
                if !fits(&row, &filter) || page.after.is_some_and(|after| place >= after) {
                    continue;
                }
                if rows.len() >= limit {
                    return Ok(Page { rows, has_more: true, stopped_at: None });
                }
                rows.push(row);
            }
            if visited >= ROWS_VISITED_MAX {
                let stopped_at = Some(shared.mint.delivery(last.seq, last.ordinal));
                return Ok(Page { rows, has_more: true, stopped_at });
            }
        }
        Ok(Page { rows, has_more: false, stopped_at: None })
    }

    pub(super) async fn read_one_delivery(&self, id: DeliveryId) -> Result<(DeliveryRow, Vec<AttemptRow>), StoreError> {
        let shared = &*self.shared;
        let (key, shard) = shared.own_delivery(id)?;
        shared.outbox(shard).flush().await.map_err(StoreError::Engine)?;
        let row = shared.delivery_rows(&[key.seq]).await?.into_iter().find(|row| row.id == id);
        let row = row.ok_or(StoreError::NotFound)?;
        let mut command = redis::cmd("HMGET");
        command.arg(format!("{}e:{}", shared.bases.get(shard), seq_text(key.seq)));
        if row.attempts == 0 {
            return Ok((row, Vec::new()));
        }
        for number in 1..=row.attempts {
            command.arg(format!("a{:04x}.{number}", key.ordinal));
        }
        let Value::Array(found) = shared.ask(shard, command).await? else { return Ok((row, Vec::new())) };
        let attempts = (1..=row.attempts).zip(found).filter_map(|(number, value)| match value {
            Value::BulkString(bytes) => shared.attempt_row(key, number, bytes),
            _ => None,
        });
        let attempts = attempts.collect();
        Ok((row, attempts))
    }

    /// Every destination's queue; as it was last seen, where the server cannot be asked.
    pub(super) async fn lane_states(&self) -> Vec<LaneState> {
        let shared = &*self.shared;
        let mut seen = shared.lanes_seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Ok(states) = shared.ask_lanes().await {
            shared.lanes_seen.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&states);
            seen = states;
        }
        seen.retain(|lane| !is_webhook(&lane.target));
        seen
    }

    /// One target's queue; `None` also where the server cannot be asked.
    pub(super) async fn lane_state(&self, target: &str) -> Option<LaneState> {
        self.shared.ask_lanes().await.ok()?.into_iter().find(|lane| &*lane.target == target)
    }
}

// === impl Shared ===

impl Shared {
    async fn flush_all(&self) -> Result<(), StoreError> {
        for outbox in self.outboxes() {
            outbox.flush().await.map_err(StoreError::Engine)?;
        }
        Ok(())
    }

    async fn walk(&self, filter: &DeliveryFilter, page: PageRequest) -> Result<Walk, StoreError> {
        let mut range = Range::between(filter.created_gte, filter.created_lte);
        if let Some((seq, ordinal)) = page.after {
            // A delivery of the same event may still follow: its event is looked at once more.
            let before = if ordinal == 0 { seq_text(seq) } else { seq_text(Seq(seq.0.saturating_add(1))) };
            range = range.older_than(&before);
        }
        if let Some(event) = filter.event {
            let (seq, _) = self.own_event(event)?;
            let keys = (0..=u16::MAX).rev().map(|ordinal| Key { seq, ordinal });
            let is_there = range.holds(Key { seq, ordinal: 0 });
            return Ok(Walk::Known(if is_there { keys.collect() } else { Vec::new() }));
        }
        let suffix = match filter.state {
            Some(DeliveryState::Dead) => "z:D",
            Some(DeliveryState::Cancelled) => "z:C",
            Some(DeliveryState::Expired) => "z:X",
            Some(state) if state.is_open() => {
                let open = self.open_keys(filter.target.as_deref(), &range).await?;
                return Ok(open.map_or_else(|| Walk::Events(Newest::new(self, "x", &range)), Walk::Known));
            }
            _ => return Ok(Walk::Events(Newest::new(self, "x", &range))),
        };
        Ok(Walk::Ended(Newest::new(self, suffix, &range)))
    }

    /// Open deliveries, newest first; `None` where they are too many to sort.
    async fn open_keys(&self, target: Option<&str>, range: &Range) -> Result<Option<Vec<Key>>, StoreError> {
        let lanes = self.ask_lanes().await?;
        let lanes: Vec<_> = lanes.iter().filter(|lane| target.is_none_or(|target| *lane.target == *target)).collect();
        if lanes.iter().map(|lane| lane.pending + lane.in_flight + lane.held).sum::<u64>() > OPEN_SORTED_MAX {
            return Ok(None);
        }
        let mut keys = Vec::new();
        for (shard, base) in self.bases.iter().enumerate() {
            let names =
                lanes.iter().flat_map(|lane| ['q', 'f'].map(|letter| format!("{base}{letter}:{}", lane.target)));
            let commands = names.map(|name| {
                let mut command = redis::cmd("ZRANGE");
                command.arg(name).arg(0).arg(-1);
                command
            });
            for answer in self.links.of(shard).all(commands).await.map_err(StoreError::Engine)? {
                let value = answer.map_err(|error| StoreError::Engine(error.to_string().into()))?;
                let members = replies::array(&value).unwrap_or_default().iter();
                keys.extend(members.filter_map(|member| Key::from_text(replies::bytes(member)?)));
            }
        }
        keys.retain(|key| range.holds(*key));
        keys.sort_unstable_by(|left, right| right.cmp(left));
        keys.dedup();
        Ok(Some(keys))
    }

    async fn ask_lanes(&self) -> Result<Vec<LaneState>, StoreError> {
        let now = self.clock.now();
        let mut lanes: HashMap<String, (u64, u64, Option<Timestamp>)> = HashMap::new();
        for (shard, base) in self.bases.iter().enumerate() {
            let mut call = script::LANES.on(base);
            call.number(time(now));
            let found = self.ask(shard, call.done()).await?;
            for lane in replies::array(&found).unwrap_or_default() {
                let Some([name, waiting, flying, first]) = replies::array(lane) else { continue };
                let lane = lanes.entry(replies::text(name).unwrap_or_default().to_owned()).or_default();
                lane.0 += replies::number(waiting).unwrap_or(0);
                lane.1 += replies::number(flying).unwrap_or(0);
                let due = replies::next_time(first).filter(|at| *at <= now);
                lane.2 = [lane.2, due].into_iter().flatten().min();
            }
        }
        let mut states: Vec<LaneState> = lanes
            .into_iter()
            .map(|(name, (waiting, in_flight, oldest))| {
                let active = self.lanes.is_active(&name);
                let (pending, held) = if active { (waiting, 0) } else { (0, waiting) };
                let oldest_due_at = oldest.filter(|_| active);
                LaneState { target: name.into(), pending, in_flight, held, oldest_due_at }
            })
            .collect();
        states.sort_unstable_by(|left, right| left.target.cmp(&right.target));
        Ok(states)
    }

    /// Every delivery of these events, the last of each first.
    async fn delivery_rows(&self, seqs: &[Seq]) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut found: HashMap<Seq, Vec<DeliveryRow>> = HashMap::new();
        for (shard, base) in self.bases.iter().enumerate() {
            let its: Vec<Seq> = seqs.iter().copied().filter(|seq| self.bases.shard_of(*seq) == shard).collect();
            if its.is_empty() {
                continue;
            }
            let mut call = script::ROWS.on(base);
            call.number(its.len() as u64);
            for seq in &its {
                call.bytes(seq_text(*seq));
            }
            let value = self.ask(shard, call.done()).await?;
            for (seq, event) in its.into_iter().zip(replies::array(&value).unwrap_or_default()) {
                found.insert(seq, self.rows_of(seq, event).unwrap_or_default());
            }
        }
        Ok(seqs.iter().filter_map(|seq| found.remove(seq)).flatten().collect())
    }

    fn rows_of(&self, seq: Seq, event: &Value) -> Option<Vec<DeliveryRow>> {
        let [head, _, deliveries @ ..] = replies::array(event)? else { return None };
        let head: Head<'_> = serde_json::from_slice(replies::bytes(head)?).ok()?;
        let source: Arc<str> = (&*head.source).into();
        let mut rows = Vec::with_capacity(deliveries.len() / 2);
        for (ordinal, pair) in (0..=u16::MAX).zip(deliveries.chunks_exact(2)) {
            let [text, plan] = pair else { continue };
            let progress = record::progress(replies::bytes(text)?)?;
            let target = record::target_of(replies::bytes(plan)?)?;
            rows.push(self.delivery_row(Key { seq, ordinal }, progress, target, &source, &head));
        }
        rows.reverse();
        Some(rows)
    }

    fn delivery_row(
        &self,
        key: Key,
        progress: Progress,
        target: &str,
        source: &Arc<str>,
        head: &Head<'_>,
    ) -> DeliveryRow {
        let is_held = progress.state == DeliveryState::Pending && !self.lanes.is_active(target);
        DeliveryRow {
            id: self.mint.delivery(key.seq, key.ordinal),
            event: self.mint.event(key.seq),
            target: target.into(),
            source: Arc::clone(source),
            project: (&*head.project).into(),
            event_type: head.event_type.as_deref().map(Box::from),
            created_at: key.seq.time(),
            state: if is_held { DeliveryState::Held } else { progress.state },
            dead_reason: progress.dead_reason,
            attempts: progress.attempts,
            next_attempt_at: progress.state.is_open().then_some(progress.due_at),
            response_code: progress.response_code,
            response_time: progress.response_millis.map(Duration::from_millis),
            outcome: progress.outcome,
        }
    }

    fn attempt_row(&self, key: Key, number: u16, bytes: Vec<u8>) -> Option<AttemptRow> {
        let attempt = record::read_attempt(number, bytes)?;
        Some(AttemptRow::new(self.mint.attempt(key.seq, key.ordinal, number), attempt))
    }
}

// === impl Walk ===

impl Walk {
    /// Some more rows, and the last place that was looked at; none at the end.
    async fn next(&mut self, shared: &Shared) -> Result<(Vec<DeliveryRow>, Option<Key>), StoreError> {
        let (keys, all) = match self {
            Self::Events(newest) => (newest.next(shared).await?, true),
            Self::Ended(newest) => (newest.next(shared).await?, false),
            Self::Known(keys) => {
                let rest = keys.split_off(keys.len().min(256));
                (std::mem::replace(keys, rest), false)
            }
        };
        let mut seqs: Vec<Seq> = keys.iter().map(|key| key.seq).collect();
        seqs.dedup();
        let mut rows = if seqs.is_empty() { Vec::new() } else { shared.delivery_rows(&seqs).await? };
        if !all {
            rows.retain(|row| keys.contains(&Key { seq: row.id.seq(), ordinal: row.id.ordinal() }));
        }
        Ok((rows, keys.last().copied()))
    }
}

fn fits(row: &DeliveryRow, filter: &DeliveryFilter) -> bool {
    let is =
        |wanted: &Option<Box<str>>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
    is(&filter.project, Some(&row.project))
        && is(&filter.source, Some(&row.source))
        && is(&filter.target, Some(&row.target))
        && is(&filter.event_type, row.event_type.as_deref())
        && filter.state.is_none_or(|state| row.state == state)
        && filter.event.is_none_or(|event| row.event == event)
}
