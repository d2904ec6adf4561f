//! Rates that all gateways keep together.

use std::time::Duration;

use tokio::sync::oneshot;

use super::engine::Redis;
use super::jobs::TurnJob;
use crate::domain::Turn;
use crate::store::StoreError;

// === impl Redis ===

impl Redis {
    /// Takes a turn, in one pipeline with all who ask at the same time.
    pub(super) async fn take_one_turn(&self, turn: Turn) -> Result<Duration, StoreError> {
        let shared = &self.shared;
        let shard = usize::try_from(turn.client % shared.bases.count() as u64).unwrap_or_default();
        shared.links.of(shard).live().map_err(StoreError::Engine)?;
        let (waiter, taken) = oneshot::channel();
        shared.outbox(shard).turn(TurnJob { turn, waiter });
        let taken = taken.await.unwrap_or_else(|_| Err("the store is closed".into()));
        taken.map_err(StoreError::Engine)
    }
}
