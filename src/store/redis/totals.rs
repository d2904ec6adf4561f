//! What is counted for good: by the scripts, with what they count, so that nothing counts twice or is forgotten.

use std::time::Duration;

use redis::Value;

use super::engine::Redis;
use super::replies;
use crate::domain::Reason;
use crate::store::{StoreError, TargetTotals, Totals};

// === impl Redis ===

impl Redis {
    /// Everything that was ever counted, the last moment included.
    pub(super) async fn add_up(&self) -> Result<Totals, StoreError> {
        let shared = &*self.shared;
        shared.outbox(0).run_all(shared.ledger.drain());
        let mut totals = Totals::default();
        for (shard, (base, outbox)) in shared.bases.iter().zip(shared.outboxes()).enumerate() {
            outbox.flush().await.map_err(StoreError::Engine)?;
            let mut command = redis::cmd("HGETALL");
            command.arg(format!("{base}t"));
            let found = shared.ask(shard, command).await?;
            for pair in pairs(&found) {
                add(&mut totals, pair);
            }
        }
        Ok(totals)
    }

    pub(super) async fn add_up_target(&self, target: &str) -> Result<TargetTotals, StoreError> {
        Ok(self.add_up().await?.targets.remove(target).unwrap_or_default())
    }
}

fn pairs(value: &Value) -> Vec<(&str, u64)> {
    let values = replies::array(value).unwrap_or_default();
    values
        .chunks_exact(2)
        .filter_map(|pair| Some((replies::text(pair.first()?)?, replies::number(pair.get(1)?)?)))
        .collect()
}

/// Adds one count under its name: `kind:name`, and `rejected:reason:name`.
fn add(totals: &mut Totals, (name, count): (&str, u64)) {
    let Some((kind, name)) = name.split_once(':') else { return };
    match kind {
        "accepted" => totals.source(name).accepted += count,
        "unrouted" => totals.source(name).unrouted += count,
        "passed" => totals.source(name).passed_on += count,
        "duplicates" => totals.source(name).duplicates += count,
        "rejected" => {
            let Some((code, source)) = name.split_once(':') else { return };
            let reason = Reason::ALL.iter().copied().find(|reason| reason.code() == code);
            if let Some(reason) = reason {
                *totals.source(source).rejected.entry(reason).or_default() += count;
            }
        }
        "attempts" => totals.target(name).attempts += count,
        "micros" => totals.target(name).attempt_time += Duration::from_micros(count),
        "succeeded" => totals.target(name).succeeded += count,
        "dead" => totals.target(name).dead += count,
        "cancelled" => totals.target(name).cancelled += count,
        "expired" => totals.target(name).expired += count,
        _ => {}
    }
}
