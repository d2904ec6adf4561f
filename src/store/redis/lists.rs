//! Events, as lists and one by one. A page looks at a bounded number of rows and says where to go on.

use std::sync::Arc;

use redis::Value;

use super::engine::{Redis, Shared};
use super::key::{Key, seq_text};
use super::newest::{Newest, Range};
use super::record::Head;
use super::replies;
use crate::domain::{Event, EventId, Seq};
use crate::store::query::PAGE_ROWS_MAX;
use crate::store::{EventFilter, EventRow, Page, PageRequest, StoreError};

/// Rows that one page looks at.
pub(super) const ROWS_VISITED_MAX: usize = 5_000;

/// Events that may have the same sender's id.
const SAME_ID_MAX: usize = 1_000;

// === impl Redis ===

impl Redis {
    pub(super) async fn list_events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Page<EventRow>, StoreError> {
        let shared = &*self.shared;
        let limit = page.limit.clamp(1, PAGE_ROWS_MAX);
        let mut range = Range::between(filter.created_gte, filter.created_lte);
        if let Some((seq, _)) = page.after {
            range = range.older_than(&seq_text(seq));
        }
        let mut same_id = match &filter.source_event_id {
            Some(id) => Some(shared.with_id(id, &range).await?),
            None => None,
        };
        let mut newest = Newest::new(shared, "x", &range);
        let (mut rows, mut visited) = (Vec::new(), 0);
        loop {
            let some = match &mut same_id {
                Some(keys) => std::mem::take(keys),
                None => newest.next(shared).await?,
            };
            let Some(last) = some.last().copied() else { break };
            for row in shared.event_rows(&some).await?.into_iter().flatten().filter(|row| fits(row, &filter)) {
                if rows.len() >= limit {
                    return Ok(Page { rows, has_more: true, stopped_at: None });
                }
                rows.push(row);
            }
            visited += some.len();
            if visited >= ROWS_VISITED_MAX {
                return Ok(Page { rows, has_more: true, stopped_at: Some(shared.mint.event(last.seq)) });
            }
        }
        Ok(Page { rows, has_more: false, stopped_at: None })
    }

    pub(super) async fn read_one_event(&self, id: EventId) -> Result<Arc<Event>, StoreError> {
        let (seq, _) = self.shared.own_event(id)?;
        let found = self.shared.read_events(std::iter::once(seq)).await?.pop().flatten();
        if let Some(event) = found {
            return Ok(event);
        }
        match self.shared.event_rows(&[Key { seq, ordinal: 0 }]).await?.pop().flatten() {
            Some(_) => Err(StoreError::Damaged("its parts do not fit together".into())),
            None => Err(StoreError::NotFound),
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Events with a sender's id, newest first.
    async fn with_id(&self, id: &str, range: &Range) -> Result<Vec<Key>, StoreError> {
        let hash = self.lookup(id);
        let same = Range { below: format!("({hash}g"), low: format!("[{hash}") };
        let mut keys = Vec::new();
        for (shard, base) in self.bases.iter().enumerate() {
            let found = self.ask(shard, same.read(&format!("{base}i"), SAME_ID_MAX)).await?;
            let seqs = replies::array(&found).unwrap_or_default().iter();
            keys.extend(seqs.filter_map(|member| Key::from_text(replies::bytes(member)?.get(hash.len()..)?)));
        }
        keys.retain(|key| range.holds(*key));
        keys.sort_unstable_by(|left, right| right.cmp(left));
        Ok(keys)
    }

    async fn event_rows(&self, keys: &[Key]) -> Result<Vec<Option<EventRow>>, StoreError> {
        let commands = keys.iter().map(|key| {
            let shard = self.bases.shard_of(key.seq);
            let mut command = redis::cmd("HMGET");
            command.arg(format!("{}e:{}", self.bases.get(shard), seq_text(key.seq))).arg("h").arg("c");
            (shard, command)
        });
        let answers = self.links.all(commands.collect()).await.map_err(StoreError::Engine)?;
        let mut rows = Vec::with_capacity(keys.len());
        for (key, answer) in keys.iter().zip(answers) {
            let value = answer.map_err(|error| StoreError::Engine(error.to_string().into()))?;
            rows.push(self.event_row(key.seq, &value));
        }
        Ok(rows)
    }

    fn event_row(&self, seq: Seq, value: &Value) -> Option<EventRow> {
        let [head, deliveries] = replies::array(value)? else { return None };
        let head: Head<'_> = serde_json::from_slice(replies::bytes(head)?).ok()?;
        Some(EventRow {
            id: self.mint.event(seq),
            source: head.source.into(),
            project: head.project.into(),
            source_event_id: head.id.map(|id| Box::from(&*id)),
            event_type: head.event_type.map(|name| Box::from(&*name)),
            received_at: seq.time(),
            body_bytes: head.bytes,
            deliveries: u16::try_from(replies::number(deliveries)?).unwrap_or(u16::MAX),
        })
    }
}

fn fits(row: &EventRow, filter: &EventFilter) -> bool {
    let is =
        |wanted: &Option<Box<str>>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
    is(&filter.project, Some(&row.project))
        && is(&filter.source, Some(&row.source))
        && is(&filter.event_type, row.event_type.as_deref())
        && is(&filter.source_event_id, row.source_event_id.as_deref())
}
