//! When this process itself stood still: what its destinations noted in such a moment says nothing of the victim.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// How often the watch looks at the clock.
const TICK: Duration = Duration::from_millis(20);

/// A tick that comes so much too late is a stall.
const LATE_MIN: Duration = Duration::from_millis(200);

/// From when until when.
pub(super) type Stall = (Instant, Instant);

/// A watch in the destinations' own runtime.
#[derive(Debug)]
pub(super) struct Watch {
    stalls: Arc<Mutex<Vec<Stall>>>,
    ticks: JoinHandle<()>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn start() -> Self {
        let stalls = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&stalls);
        let ticks = tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                tokio::time::sleep(TICK).await;
                let now = Instant::now();
                if now - last > TICK + LATE_MIN {
                    noted.lock().unwrap().push((last, now));
                }
                last = now;
            }
        });
        Self { stalls, ticks }
    }

    pub(super) fn stalls(&self) -> Vec<Stall> {
        self.stalls.lock().unwrap().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ticks.abort();
    }
}

/// For how long the process stood still between two moments.
pub(super) fn stalled(stalls: &[Stall], from: Instant, until: Instant) -> Duration {
    stalls.iter().map(|stall| stall.1.min(until).saturating_duration_since(stall.0.max(from))).sum()
}
