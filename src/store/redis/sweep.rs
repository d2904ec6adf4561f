//! Retention: what is over goes with its time, or before it where the server's memory is nearly full. What is open is in
//! no list from which anything goes.

use super::engine::Redis;
use super::key::{seq_text, time};
use super::{replies, script};
use crate::domain::Seq;
use crate::store::{Retention, StoreError, Swept};

/// What one step removes from one shard: the server does nothing else meanwhile.
const STEP_EVENTS: u64 = 200;
const STEP_REJECTIONS: u64 = 500;

// === impl Redis ===

impl Redis {
    pub(super) async fn sweep_step(&self, retention: Retention) -> Result<Swept, StoreError> {
        let (shared, now) = (&*self.shared, self.shared.clock.now());
        let oldest = Seq::first_at(now.minus(retention.rejections));
        let mut swept = Swept::default();
        for (shard, base) in shared.bases.iter().enumerate() {
            let is_nearly_full = shared.links.of(shard).memory.is_nearly_full();
            let before = if is_nearly_full { now } else { now.minus(retention.events) };
            let mut call = script::SWEEP.on(base);
            call.number(time(before)).number(STEP_EVENTS).bytes(seq_text(oldest)).number(STEP_REJECTIONS);
            let value = shared.ask(shard, call.done()).await?;
            let answer = replies::array(&value).unwrap_or_default();
            let number = |at: usize| answer.get(at).and_then(replies::number).unwrap_or(0);
            swept.events += number(0);
            swept.rejections += number(1);
            swept.bytes += number(2);
            swept.more |= number(0) >= STEP_EVENTS && !is_nearly_full || number(1) >= STEP_REJECTIONS;
        }
        Ok(swept)
    }
}
