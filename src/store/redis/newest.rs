//! Members of a sorted set of every shard, newest first: what lists are read from.

use std::collections::VecDeque;

use redis::Cmd;

use super::engine::Shared;
use super::key::{Key, seq_text};
use super::replies;
use crate::domain::{Seq, Timestamp};
use crate::store::StoreError;

/// Members of one look.
const LOOK_ROWS: usize = 128;

/// A bound between members, as Redis writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// Only what is older.
    pub(super) below: String,
    /// Nothing that is older.
    pub(super) low: String,
}

/// A walk through one set of all shards.
pub(super) struct Newest {
    suffix: &'static str,
    shards: Vec<Shard>,
}

struct Shard {
    range: Range,
    found: VecDeque<Key>,
    is_over: bool,
}

// === impl Range ===

impl Range {
    /// Everything that came between two times, both included.
    pub(super) fn between(gte: Option<Timestamp>, lte: Option<Timestamp>) -> Self {
        let low = gte.map_or_else(|| "-".to_owned(), |at| format!("[{}", seq_text(Seq::first_at(at))));
        let below = lte.map_or_else(
            || "+".to_owned(),
            |at| format!("({}", seq_text(Seq::first_at(Timestamp(at.0.saturating_add(1))))),
        );
        Self { below, low }
    }

    /// And older than this member. An open bound comes before "no bound" in the order of text, too.
    pub(super) fn older_than(mut self, member: &str) -> Self {
        self.below = self.below.min(format!("({member}"));
        self
    }

    /// The command that reads the newest members.
    pub(super) fn read(&self, key: &str, most: usize) -> Cmd {
        let mut command = redis::cmd("ZREVRANGEBYLEX");
        command.arg(key).arg(&self.below).arg(&self.low).arg("LIMIT").arg(0).arg(most);
        command
    }

    /// Whether a key's event is in it.
    pub(super) fn holds(&self, key: Key) -> bool {
        let member = key.member();
        let above_low = self.low.strip_prefix('[').is_none_or(|low| *member >= *low);
        above_low && self.below.strip_prefix('(').is_none_or(|below| *member < *below)
    }
}

// === impl Newest ===

impl Newest {
    pub(super) fn new(shared: &Shared, suffix: &'static str, range: &Range) -> Self {
        let shard = |_: &str| Shard { range: range.clone(), found: VecDeque::new(), is_over: false };
        Self { suffix, shards: shared.bases.iter().map(shard).collect() }
    }

    /// Some more, newest first; none at the end.
    pub(super) async fn next(&mut self, shared: &Shared) -> Result<Vec<Key>, StoreError> {
        for ((at, base), shard) in shared.bases.iter().enumerate().zip(&mut self.shards) {
            if shard.found.is_empty() && !shard.is_over {
                let found = shared.ask(at, shard.range.read(&format!("{base}{}", self.suffix), LOOK_ROWS)).await?;
                let members = replies::array(&found).unwrap_or_default();
                shard.is_over = members.len() < LOOK_ROWS;
                shard.found = members.iter().filter_map(|member| Key::from_text(replies::bytes(member)?)).collect();
                if let Some(last) = members.last().and_then(replies::text) {
                    shard.range.below = format!("({last}");
                }
            }
        }
        let mut some = Vec::new();
        // Up to where one of them has to be read on: only then is it known what comes next.
        while self.shards.iter().all(|shard| shard.is_over || !shard.found.is_empty()) {
            let newest = self.shards.iter_mut().filter(|shard| !shard.found.is_empty());
            let Some(newest) = newest.max_by_key(|shard| shard.found.front().copied()) else { break };
            some.extend(newest.found.pop_front());
        }
        Ok(some)
    }
}
