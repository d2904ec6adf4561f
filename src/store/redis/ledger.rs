//! The ledger of rejections: a bounded queue here, written now and then; a bounded list in the first shard.
//!
//! Strangers decide how much is rejected, so nothing here ever waits or grows: what is too much is dropped and counted.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::engine::{Redis, Shared};
use super::errand::Errand;
use super::key::seq_text;
use super::newest::Range;
use super::{record, replies};
use crate::domain::{Reason, RejectionId, Seq, Timestamp};
use crate::store::query::PAGE_ROWS_MAX;
use crate::store::{Page, PageRequest, RejectedRequest, RejectionFilter, RejectionRow, StoreError};
use crate::telemetry::StoreMetrics;

/// Entries that wait to be written.
const QUEUE_ENTRIES_MAX: usize = 2048;
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// Between two writings.
const WRITE: Duration = Duration::from_millis(200);

/// Entries of one look, and of all looks for one page.
const LOOK_ROWS: usize = 256;
const ROWS_VISITED_MAX: usize = 5_000;

/// Where everything of the ledger is.
const SHARD: usize = 0;

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Ledger {
    queue: Mutex<Queue>,
    metrics: StoreMetrics,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<(Seq, Vec<u8>)>,
    bytes: usize,
    /// Of each source by the reason of a refusal; none for what its app answered.
    counts: HashMap<(Arc<str>, Option<Reason>), u64>,
}

/// An entry without the body, which stands behind it.
#[derive(Deserialize, Serialize)]
struct Entry<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Cow<'a, str>>,
    reason: Cow<'a, str>,
    detail: Cow<'a, str>,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<Cow<'a, str>>,
    line: Cow<'a, str>,
    headers: Cow<'a, str>,
}

/// Writes now and then, until the task is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        sleep(WRITE).await;
        if shared.links.of(SHARD).is_up() {
            shared.outbox(SHARD).run_all(shared.ledger.drain());
        }
    }
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(metrics: StoreMetrics) -> Self {
        Self { queue: Mutex::default(), metrics }
    }

    /// Everything that waits, as errands.
    pub(super) fn drain(&self) -> Vec<Errand> {
        let Queue { entries, counts, .. } = std::mem::take(&mut *self.lock());
        let notes = entries.into_iter().map(|(seq, entry)| Errand::Note { seq, entry });
        let counts = counts.into_iter().map(|((source, reason), by)| {
            let name = match reason {
                Some(reason) => format!("rejected:{}:{source}", reason.code()),
                None => format!("passed:{source}"),
            };
            Errand::Count { name: name.into(), by }
        });
        notes.chain(counts).collect()
    }

    /// Counts requests that the app of a source answered.
    pub(super) fn count_passed_on(&self, source: &Arc<str>, count: u64) {
        *self.lock().counts.entry((Arc::clone(source), None)).or_default() += count;
    }

    fn note(&self, seq: Seq, request: &RejectedRequest) {
        let entry = written(request);
        let mut queue = self.lock();
        if let Some(source) = &request.source {
            *queue.counts.entry((Arc::clone(source), Some(request.rejection.reason))).or_default() += 1;
        }
        if queue.entries.len() >= QUEUE_ENTRIES_MAX || queue.bytes + entry.len() > QUEUE_BYTES_MAX {
            drop(queue);
            self.metrics.rejections_dropped.inc();
            return;
        }
        queue.bytes += entry.len();
        queue.entries.push_back((seq, entry));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Redis ===

impl Redis {
    pub(super) fn note_rejection(&self, request: &RejectedRequest) -> RejectionId {
        let seq = self.shared.sequence.next(&self.shared.clock, SHARD);
        self.shared.ledger.note(seq, request);
        self.shared.mint.rejection(seq)
    }

    pub(super) async fn list_rejections(
        &self,
        filter: RejectionFilter,
        page: PageRequest,
    ) -> Result<Page<RejectionRow>, StoreError> {
        let shared = &*self.shared;
        shared.outbox(SHARD).run_all(shared.ledger.drain());
        shared.outbox(SHARD).flush().await.map_err(StoreError::Engine)?;
        let limit = page.limit.clamp(1, PAGE_ROWS_MAX);
        let mut range = Range::between(filter.created_gte, filter.created_lte);
        if let Some((seq, _)) = page.after {
            range = range.older_than(&seq_text(seq));
        }
        let (mut rows, mut visited) = (Vec::new(), 0);
        loop {
            let found = shared.entries(&range).await?;
            let last = found.last().map(|(seq, _)| *seq);
            let is_end = found.len() < LOOK_ROWS;
            for (seq, entry) in found {
                visited += 1;
                let row = read(&entry, shared.mint.rejection(seq));
                rows.extend(row.filter(|row| fits(row, &filter)));
                if rows.len() > limit {
                    rows.truncate(limit);
                    return Ok(Page { rows, has_more: true, stopped_at: None });
                }
            }
            let Some(last) = last.filter(|_| !is_end) else {
                return Ok(Page { rows, has_more: false, stopped_at: None });
            };
            if visited >= ROWS_VISITED_MAX {
                return Ok(Page { rows, has_more: true, stopped_at: Some(shared.mint.rejection(last)) });
            }
            range.below = format!("({}", seq_text(last));
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Some entries, newest first.
    async fn entries(&self, range: &Range) -> Result<Vec<(Seq, Vec<u8>)>, StoreError> {
        let base = self.bases.get(SHARD);
        let seqs = self.ask(SHARD, range.read(&format!("{base}y"), LOOK_ROWS)).await?;
        let seqs: Vec<&Value> = replies::array(&seqs).unwrap_or_default().iter().collect();
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("HMGET");
        command.arg(format!("{base}j"));
        for seq in &seqs {
            command.arg(replies::bytes(seq).unwrap_or_default());
        }
        let entries = self.ask(SHARD, command).await?;
        let entries = replies::array(&entries).unwrap_or_default().iter();
        let entries = entries.map(|entry| replies::bytes(entry).unwrap_or_default().to_vec());
        Ok(seqs.into_iter().filter_map(replies::seq).zip(entries).collect())
    }
}

fn written(request: &RejectedRequest) -> Vec<u8> {
    let mut bytes = record::json(&Entry {
        source: request.source.as_deref().map(Cow::from),
        reason: request.rejection.reason.code().into(),
        detail: (&*request.rejection.detail).into(),
        at: request.at.0,
        client: request.client.map(|client| client.to_string().into()),
        line: (&*request.request_line).into(),
        headers: (&*request.headers).into(),
    });
    bytes.push(b'\n');
    bytes.extend_from_slice(&request.body);
    bytes
}

fn read(bytes: &[u8], id: RejectionId) -> Option<RejectionRow> {
    let end = memchr::memchr(b'\n', bytes)?;
    let entry: Entry<'_> = serde_json::from_slice(bytes.get(..end)?).ok()?;
    let reason = Reason::ALL.iter().copied().find(|reason| reason.code() == entry.reason);
    let boxed = |text: Option<Cow<'_, str>>| text.map(|text| Box::from(&*text));
    Some(RejectionRow {
        id,
        source: boxed(entry.source),
        reason: reason.unwrap_or(Reason::Internal),
        detail: (&*entry.detail).into(),
        at: Timestamp(entry.at),
        client: boxed(entry.client),
        request_line: (&*entry.line).into(),
        headers: (&*entry.headers).into(),
        body: Bytes::copy_from_slice(bytes.get(end + 1..)?),
    })
}

fn fits(row: &RejectionRow, filter: &RejectionFilter) -> bool {
    filter.source.as_ref().is_none_or(|source| row.source.as_ref() == Some(source))
        && filter.reason.is_none_or(|reason| row.reason == reason)
}
