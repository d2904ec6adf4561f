//! Lets go of what retention no longer asks for, a small step at a time, so that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use crate::store::{Retention, Store, StoreError, Swept};
use crate::telemetry::RetentionMetrics;

/// Between two steps while there is more: the writer serves senders in between.
const STEP_PAUSE: Duration = Duration::from_millis(20);

/// Between two looks where there was nothing.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The same where `bytes_max` is set: senders that are refused wait for the next step to make room.
const LOOK_PAUSE_BOUNDED: Duration = Duration::from_millis(100);

/// After the first failure; doubled after each further one.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait after failures.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Sweeps until the task is dropped. `retention` is asked before each step, so that a reload counts at once.
pub async fn run<S: Store>(
    store: Arc<S>,
    retention: impl Fn() -> Retention + Send + Sync + 'static,
    metrics: RetentionMetrics,
) {
    let mut failures = 0;
    loop {
        let asked = retention();
        let swept = store.sweep(asked).await;
        count(&metrics, &swept);
        failures = if swept.is_err() { failures + 1 } else { 0 };
        tokio::time::sleep(pause(&swept, asked, failures)).await;
    }
}

fn count(metrics: &RetentionMetrics, swept: &Result<Swept, StoreError>) {
    match swept {
        Ok(swept) => {
            metrics.events.inc_by(swept.events);
            metrics.rejections.inc_by(swept.rejections);
            metrics.bytes.inc_by(swept.bytes);
        }
        Err(error) => {
            metrics.failures.inc();
            tracing::warn!(%error, "a step of retention failed");
        }
    }
}

fn pause(swept: &Result<Swept, StoreError>, retention: Retention, failures: u32) -> Duration {
    match swept {
        Ok(swept) if swept.more => STEP_PAUSE,
        Ok(_) if retention.bytes_max.is_some() => LOOK_PAUSE_BOUNDED,
        Ok(_) => LOOK_PAUSE,
        Err(_) => FAILURE_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(FAILURE_PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_and_work_goes_on_in_steps() {
        let day = Duration::from_secs(86_400);
        let unbounded = Retention { events: day, rejections: day, bytes_max: None };
        let bounded = Retention { bytes_max: Some(1), ..unbounded };
        let failed = || Err(StoreError::Engine("broken".into()));
        let waits: Vec<u64> = (1..=12).map(|failures| pause(&failed(), bounded, failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30]);
        assert_eq!(pause(&failed(), unbounded, u32::MAX), FAILURE_PAUSE_MAX);
        assert_eq!(pause(&Ok(Swept { more: true, ..Swept::default() }), bounded, 0), STEP_PAUSE);
        assert_eq!(pause(&Ok(Swept::default()), unbounded, 0), LOOK_PAUSE);
        assert_eq!(pause(&Ok(Swept::default()), bounded, 0), LOOK_PAUSE_BOUNDED);
    }
}
