//! Events on their way to another store, and in from one.
//!
//! Out: the sets of all events say what there is, oldest first. In: one script an event, which leaves alone what is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};

use super::engine::{Redis, Shared};
use super::jobs::millis;
use super::key::{seq_of, seq_text, time};
use super::record::{self, Progress};
use super::{replies, script};
use crate::domain::{DeliveryState, Event, Seq, Timestamp};
use crate::store::moved::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use crate::store::{MovedDelivery, MovedEvent, MovedMark, MovedPage, StoreError};

/// Events that are looked at before it is known how large they are.
const LOOK_EVENTS: usize = 64;

/// Keys that one step of a scan looks at.
const SCAN_KEYS: u64 = 1_000;

/// Commands of one pipeline.
const PIPELINE_MAX: usize = 256;

/// The lower bits of a place in a cluster are a cursor, those above the shard.
const CURSOR_BITS: u32 = 56;
const CURSOR: u64 = (1 << CURSOR_BITS) - 1;

// === impl Redis ===

impl Redis {
    pub(super) async fn count_all_events(&self) -> Result<u64, StoreError> {
        let shared = &*self.shared;
        let mut count = 0;
        for (shard, base) in shared.bases.iter().enumerate() {
            let mut command = redis::cmd("ZCARD");
            command.arg(format!("{base}x"));
            count += replies::number(&shared.ask(shard, command).await?).unwrap_or_default();
        }
        Ok(count)
    }

    pub(super) async fn read_events_out(&self, after: Option<Seq>) -> Result<MovedPage, StoreError> {
        let shared = &*self.shared;
        let seqs = shared.oldest(after).await?;
        let is_last = seqs.len() < PAGE_EVENTS_MAX;
        let (mut page, mut bytes) = (MovedPage::default(), 0);
        for some in seqs.chunks(LOOK_EVENTS) {
            let mut commands = Vec::new();
            for (seq, size) in some.iter().zip(shared.sizes(some).await?) {
                if bytes >= PAGE_BYTES_MAX {
                    break;
                }
                bytes += size;
                commands.push(shared.of_event("HGETALL", *seq));
            }
            let read = commands.len();
            for (seq, answer) in some.iter().zip(shared.every(commands).await?) {
                page.next = Some(*seq);
                match shared.moved(*seq, answer) {
                    Some(moved) => page.events.push(moved),
                    None => page.damaged += 1,
                }
            }
            if read < some.len() {
                return Ok(page);
            }
        }
        if is_last {
            page.next = None;
        }
        Ok(page)
    }

    /// The place is the cursor of a scan over all keys of the database; in a cluster of one scan after the other, a shard's
    /// over all keys of the node that has it, with the shard in the highest bits.
    pub(super) async fn read_marks_out(&self, from: Option<u64>) -> Result<(Vec<MovedMark>, Option<u64>), StoreError> {
        let shared = &*self.shared;
        let from = from.unwrap_or_default();
        let (shard, cursor) =
            if shared.links.is_one() { (0, from) } else { ((from >> CURSOR_BITS) as usize, from & CURSOR) };
        let pattern = if shared.links.is_one() {
            format!("{{{}:*}}:m:*", self.config.key_prefix)
        } else {
            format!("{}m:*", shared.bases.get(shard))
        };
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_KEYS);
        let answer = shared.ask(shard, scan).await?;
        let Some([cursor, keys]) = replies::array(&answer) else { return Err(strange()) };
        let next: u64 = replies::text(cursor).and_then(|text| text.parse().ok()).ok_or_else(strange)?;
        let names: Vec<&[u8]> = replies::array(keys).unwrap_or_default().iter().filter_map(replies::bytes).collect();
        let gets = names.iter().map(|name| {
            let mut command = redis::cmd("GET");
            command.arg(*name);
            (shard, command)
        });
        let values = shared.every(gets.collect()).await?;
        let marks = names.iter().zip(&values).filter_map(|(name, value)| mark(name, replies::bytes(value)?));
        let next = match (next, shared.links.is_one()) {
            (0, true) => None,
            (0, false) => (shard + 1 < shared.bases.count()).then_some((shard as u64 + 1) << CURSOR_BITS),
            (next, true) => Some(next),
            // A cursor counts what a node holds in the lower bits and its slots above: far fewer than these.
            (next, false) if next <= CURSOR => Some((shard as u64) << CURSOR_BITS | next),
            _ => return Err(strange()),
        };
        Ok((marks.collect(), next))
    }

    pub(super) async fn take_events_in(&self, events: Vec<MovedEvent>) -> Result<u64, StoreError> {
        let shared = &*self.shared;
        let commands = events.iter().map(|moved| shared.take_in(moved)).collect();
        let answers = shared.every(commands).await?;
        let new = answers.iter().filter(|answer| replies::number(answer) == Some(1)).count() as u64;
        for delivery in events.iter().flat_map(|moved| &moved.deliveries).filter(|one| one.state.is_open()) {
            for shard in 0..shared.bases.count() {
                shared.lanes.lane(&delivery.planned.target).wake(shard, delivery.due_at);
            }
        }
        Ok(new)
    }

    pub(super) async fn take_marks_in(&self, marks: Vec<MovedMark>) -> Result<(), StoreError> {
        let (shared, now) = (&*self.shared, self.shared.clock.now());
        let mut commands = Vec::with_capacity(marks.len());
        for MovedMark { key, seq } in marks {
            let left = shared.bounds.marks_kept.saturating_sub(millis(now.since(seq.time())));
            if left > 0 {
                let shard = shared.shard_of_mark(&key);
                let base = shared.bases.get(shard);
                let mut command = redis::cmd("SET");
                command.arg(format!("{base}m:{}", hex::encode(key))).arg(format!("K{}", seq_text(seq)));
                command.arg("NX").arg("PX").arg(left);
                commands.push((shard, command));
            }
        }
        shared.every(commands).await.map(drop)
    }
}

// === impl Shared ===

impl Shared {
    /// Commands, each to its shard, in pipelines of a bounded length, and the answer of each.
    async fn every(&self, commands: Vec<(usize, Cmd)>) -> Result<Vec<Value>, StoreError> {
        let mut answers = Vec::with_capacity(commands.len());
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let some: Vec<(usize, Cmd)> = commands.by_ref().take(PIPELINE_MAX).collect();
            for reply in self.links.all(some).await.map_err(StoreError::Engine)? {
                answers.push(reply.map_err(|error| StoreError::Engine(error.to_string().into()))?);
            }
        }
        Ok(answers)
    }

    /// A command on an event's hash, and its shard.
    fn of_event(&self, command: &str, seq: Seq) -> (usize, Cmd) {
        let mut command = redis::cmd(command);
        command.arg(format!("{}e:{}", self.bases.of(seq), seq_text(seq)));
        (self.bases.shard_of(seq), command)
    }

    /// The oldest events behind one, of all shards.
    async fn oldest(&self, after: Option<Seq>) -> Result<Vec<Seq>, StoreError> {
        let low = after.map_or_else(|| "-".to_owned(), |seq| format!("({}", seq_text(seq)));
        let mut seqs = Vec::new();
        for (shard, base) in self.bases.iter().enumerate() {
            let mut command = redis::cmd("ZRANGEBYLEX");
            command.arg(format!("{base}x")).arg(&low).arg("+").arg("LIMIT").arg(0).arg(PAGE_EVENTS_MAX);
            let found = self.ask(shard, command).await?;
            seqs.extend(replies::array(&found).unwrap_or_default().iter().filter_map(replies::seq));
        }
        seqs.sort_unstable();
        seqs.truncate(PAGE_EVENTS_MAX);
        Ok(seqs)
    }

    /// About how many bytes each of these events has.
    async fn sizes(&self, seqs: &[Seq]) -> Result<Vec<usize>, StoreError> {
        let commands = seqs.iter().map(|seq| {
            let (shard, mut command) = self.of_event("HSTRLEN", *seq);
            command.arg("b");
            (shard, command)
        });
        let answers = self.every(commands.collect()).await?;
        let size = |answer: &Value| usize::try_from(replies::number(answer).unwrap_or_default()).unwrap_or(usize::MAX);
        Ok(answers.iter().map(size).collect())
    }

    fn moved(&self, seq: Seq, hash: Value) -> Option<MovedEvent> {
        let mut fields = fields(hash)?;
        let (head, headers, body) = (fields.remove("h")?, fields.remove("k")?, fields.remove("b")?);
        let received = record::event(&head, headers, body)?;
        let count: u16 = std::str::from_utf8(&fields.remove("c")?).ok()?.parse().ok()?;
        let deliveries = (0..count).map(|ordinal| moved_delivery(ordinal, &mut fields)).collect::<Option<_>>()?;
        Some(MovedEvent { event: Arc::new(Event { id: self.mint.event(seq), seq, received }), deliveries })
    }

    fn take_in(&self, moved: &MovedEvent) -> (usize, Cmd) {
        let (event, received) = (&moved.event, &moved.event.received);
        let mut call = script::TAKE_IN.on(self.bases.of(event.seq));
        call.bytes(seq_text(event.seq)).bytes(record::head(received, fastrand::u64(..)));
        call.bytes(received.headers.as_bytes()).bytes(&received.body);
        call.bytes(received.source_event_id.as_deref().map(|id| self.lookup(id)).unwrap_or_default());
        call.bytes(&*received.source);
        match moved.over_at() {
            Some(at) => call.number(time(at)),
            None => call.bytes(""),
        };
        call.number(moved.deliveries.len() as u64);
        for delivery in &moved.deliveries {
            call.bytes(&*delivery.planned.target).bytes(record::plan(&delivery.planned));
            call.bytes(record::moved_progress(delivery)).number(delivery.made.len() as u64);
            call.number(delivery.made.iter().map(|attempt| record::micros(attempt.duration)).sum());
            for attempt in &delivery.made {
                call.number(attempt.number.into()).bytes(record::attempt(attempt));
            }
        }
        (self.bases.shard_of(event.seq), call.done())
    }
}

/// The fields of a hash, whichever protocol it came by.
fn fields(hash: Value) -> Option<HashMap<String, Vec<u8>>> {
    let pairs: Vec<(Value, Value)> = match hash {
        Value::Map(pairs) => pairs,
        Value::Array(values) => {
            let mut values = values.into_iter();
            std::iter::from_fn(|| values.next().zip(values.next())).collect()
        }
        _ => return None,
    };
    let field = |(name, value): (Value, Value)| match value {
        Value::BulkString(bytes) => Some((replies::text(&name)?.to_owned(), bytes)),
        _ => None,
    };
    pairs.into_iter().map(field).collect()
}

fn moved_delivery(ordinal: u16, fields: &mut HashMap<String, Vec<u8>>) -> Option<MovedDelivery> {
    let planned = record::read_plan(&fields.remove(&format!("p{ordinal:04x}"))?)?;
    let progress = record::progress(&fields.remove(&format!("d{ordinal:04x}"))?)?;
    let Progress { state, attempts, due_at, response_code, response_millis, outcome, dead_reason, .. } = progress;
    let made = (1..=attempts)
        .filter_map(|number| record::read_attempt(number, fields.remove(&format!("a{ordinal:04x}.{number}"))?));
    let made = made.collect();
    Some(MovedDelivery {
        planned: crate::domain::PlannedDelivery { expires_at: progress.expires_at, ..planned },
        state: if state.is_open() { DeliveryState::Pending } else { state },
        dead_reason,
        attempts,
        due_at,
        finished_at: if state.is_open() { Timestamp(0) } else { progress.finished_at },
        response_code,
        response_time: response_millis.map(Duration::from_millis),
        outcome,
        made,
    })
}

/// The mark of a key `{…}:m:HEX`, unless it is only claimed.
fn mark(name: &[u8], value: &[u8]) -> Option<MovedMark> {
    let digits = name.len().checked_sub(32).and_then(|from| name.get(from..))?;
    let key = hex::decode(digits).ok()?.try_into().ok()?;
    Some(MovedMark { key, seq: seq_of(value.strip_prefix(b"K")?.get(..16)?)? })
}

fn strange() -> StoreError {
    StoreError::Engine("redis has answered something strange".into())
}
