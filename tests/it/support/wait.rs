//! Waiting for what another process does: look often, give up loudly.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a test waits for something that a healthy gateway does at once; generous, because machines are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until `look` gives something, and fails the test after [`PATIENCE`], saying what was awaited.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// Looks until `look` gives something, and fails the test when `patience` ends, saying what was awaited.
pub(crate) async fn eventually_within<T>(
    patience: Duration,
    what: impl Debug,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain for {what:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
