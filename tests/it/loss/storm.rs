//! A sender at full speed on several connections: repeats some ids, and sends again what was not acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::ledger::{Ledger, body};
use crate::support::{SECRET, Sender};

/// Kept-alive connections of the sender.
const CONNECTIONS: usize = 16;

/// How long a sender waits after a failure.
const PAUSE: Duration = Duration::from_millis(10);

/// How long it may take until everything that was left is acknowledged.
const RESEND_MAX: Duration = Duration::from_secs(60);

/// A sender that runs until it is stopped.
#[derive(Debug)]
pub(super) struct Storm {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

// === impl Storm ===

impl Storm {
    pub(super) fn start(address: SocketAddr, ledger: &Arc<Ledger>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (ledger, stop) = (Arc::clone(ledger), Arc::clone(&stop));
            tasks.spawn(async move {
                let mut sender = Sender::to(address, "/in", SECRET);
                while !stop.load(Ordering::Relaxed) {
                    send(&mut sender, &ledger, ledger.next()).await;
                }
            });
        }
        Self { stop, tasks }
    }

    /// Ends after the requests that are under way.
    pub(super) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
    }
}

/// Sends again what was not acknowledged, until everything is.
pub(super) async fn resend(address: SocketAddr, ledger: &Arc<Ledger>) {
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let ledger = Arc::clone(ledger);
        tasks.spawn(async move {
            let mut sender = Sender::to(address, "/in", SECRET);
            let start = Instant::now();
            while let Some(number) = ledger.next_unacknowledged() {
                send(&mut sender, &ledger, number).await;
                assert!(
                    start.elapsed() < RESEND_MAX,
                    "a gateway that is ready does not acknowledge what is sent again"
                );
            }
        });
    }
    tasks.join_all().await;
}

/// Sends one event; whether it was acknowledged.
pub(super) async fn send(sender: &mut Sender, ledger: &Ledger, number: usize) -> bool {
    ledger.requested(number);
    let body = body(number);
    let asked_at = Instant::now();
    let answer = sender.try_send(&body).await;
    let acknowledged = ledger.answered(number, asked_at, &answer);
    if !acknowledged {
        tokio::time::sleep(PAUSE).await;
    }
    acknowledged
}
