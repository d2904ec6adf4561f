//! How many requests proxy-mode sources have passed on, for good: written down now and then, so that no request waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::store::Store;
use crate::telemetry::Metrics;

/// A crash loses what was passed on for so long.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Writes down what these sources have passed on since it was last written down.
pub fn write_down<'a, S: Store>(store: &S, metrics: &Metrics, sources: impl IntoIterator<Item = &'a Arc<str>>) {
    for source in sources {
        let count = metrics.source(source).take_passed_on();
        if count > 0 {
            store.count_passed_on(source, count);
        }
    }
}

/// Does so until the task is dropped.
pub async fn run<S: Store>(store: Arc<S>, metrics: Metrics, sources: impl Fn() -> Vec<Arc<str>>) {
    loop {
        sleep(WRITE_EVERY).await;
        write_down(&*store, &metrics, &sources());
    }
}
