//! A lane with its pump, and how lanes end.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Attempts;
use super::lane::Lane;
use crate::store::Store;

/// A lane and the task that runs it.
pub(super) struct Running<S, A: Attempts> {
    pub(super) lane: Arc<Lane<S, A>>,
    pub(super) pump: JoinHandle<()>,
}

/// Stops lanes and waits until each attempt under way has ended, at most until `deadline`. Returns how many it cut off
/// then.
pub(super) async fn drain<S: Store, A: Attempts>(ending: Vec<Running<S, A>>, deadline: Instant) -> usize {
    for Running { lane, .. } in &ending {
        lane.stop();
    }
    let mut cut = 0;
    for Running { lane, mut pump } in ending {
        if timeout_at(deadline, &mut pump).await.is_err() {
            cut += lane.status().in_flight;
            pump.abort();
        }
    }
    cut
}
