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

/// Waits for all of them at once.
pub(crate) async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut done: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (slot, place) in pending.iter_mut().zip(&mut done) {
            if let Some(future) = slot
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *place = Some(value);
                *slot = None;
            }
        }
        if pending.iter().any(Option::is_some) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(done.drain(..).map(Option::unwrap).collect())
    })
    .await
}
