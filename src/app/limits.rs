//! The seam between a source's rate limits and the store, which counts for all gateways that share it.

use std::sync::Arc;

use crate::domain::Turn;
use crate::guard::rate_limit::{Counter, Taking};
use crate::store::Store;
use crate::telemetry::SourceMetrics;

/// Counts in the store.
pub(super) struct Counts<S> {
    store: Arc<S>,
    metrics: Arc<SourceMetrics>,
}

// === impl Counts ===

impl<S> Counts<S> {
    /// For the limits of one source.
    pub(super) fn new(store: Arc<S>, metrics: Arc<SourceMetrics>) -> Self {
        Self { store, metrics }
    }
}

impl<S: Store> Counter for Counts<S> {
    fn take(&self, turn: Turn) -> Taking {
        let (store, metrics) = (Arc::clone(&self.store), Arc::clone(&self.metrics));
        Box::pin(async move {
            let taken = store.take_turn(turn).await;
            if taken.is_err() {
                metrics.limits_alone.inc();
            }
            taken.ok()
        })
    }
}
