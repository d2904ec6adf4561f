//! Shutting down without cutting anybody off: open, draining, cut.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;
use tokio::time::Instant;

/// How far the shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not begun.
    Open,
    /// No new connections; each answer closes its connection.
    Draining,
    /// The time is over: what is in flight gets 503.
    Cut,
}

/// The stage, readable without a lock, and a signal that wakes every connection when it changes.
#[derive(Debug)]
pub(super) struct Drain {
    stage: AtomicU8,
    began: OnceLock<Instant>,
    changed: watch::Sender<()>,
}

// === impl Drain ===

impl Drain {
    /// Open.
    pub(super) fn new() -> Self {
        Self { stage: AtomicU8::new(0), began: OnceLock::new(), changed: watch::Sender::new(()) }
    }

    /// The stage now.
    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Open,
            1 => Stage::Draining,
            _ => Stage::Cut,
        }
    }

    /// When the draining began.
    pub(super) fn began(&self) -> Option<Instant> {
        self.began.get().copied()
    }

    /// Begins to drain.
    pub(super) fn begin(&self) {
        self.began.get_or_init(Instant::now);
        self.enter(1);
    }

    /// Ends what is in flight.
    pub(super) fn cut(&self) {
        self.began.get_or_init(Instant::now);
        self.enter(2);
    }

    /// Wakes the task that polls it at each change of the stage; never completes.
    pub(super) async fn wakes(&self) {
        let mut changed = self.changed.subscribe();
        while changed.changed().await.is_ok() {}
    }

    /// Waits until what is in flight is ended.
    pub(super) async fn is_cut(&self) {
        let mut changed = self.changed.subscribe();
        while self.stage() != Stage::Cut && changed.changed().await.is_ok() {}
    }

    fn enter(&self, stage: u8) {
        self.stage.store(stage, Ordering::Release);
        self.changed.send_replace(());
    }
}
