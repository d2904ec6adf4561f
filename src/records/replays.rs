//! Many deliveries once more, as one piece of work that says how far it is.
//!
//! Works through the list of a filter from the newest on; what is in flight is passed over. In memory only: a restart
//! ends it where it was, and what was asked for again by then is durable. The last [`KEPT_MAX`] can be looked at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::Seq;
use crate::store::query::PAGE_ROWS_MAX;
use crate::store::{DeliveryFilter, PageRequest, Store, StoreError};
use crate::telemetry::task;

/// So many are remembered.
pub const KEPT_MAX: usize = 100;

/// So many may be under way at once.
pub const RUNNING_MAX: usize = 4;

/// One of them.
#[derive(Debug)]
pub struct Replay {
    /// From 1, since the start.
    pub number: u64,
    /// Whose deliveries.
    pub project: Arc<str>,
    /// Only counted, not sent.
    pub dry_run: bool,
    state: watch::Sender<ReplayState>,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayState {
    /// Deliveries that the filter found so far.
    pub matched: u64,
    /// Of them, sent again.
    pub redelivered: u64,
    /// Of them, passed over: in flight, or gone meanwhile.
    pub skipped: u64,
    /// Nothing more will happen.
    pub done: bool,
    /// Why it ended early.
    pub error: Option<Arc<str>>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Replays {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    replays: VecDeque<Arc<Replay>>,
}

// === impl Replays ===

impl Replays {
    /// Starts one; `None` where [`RUNNING_MAX`] are under way. The filter must name the project.
    pub fn start<S: Store>(
        &self,
        store: &Arc<S>,
        project: Arc<str>,
        filter: DeliveryFilter,
        dry_run: bool,
    ) -> Option<Arc<Replay>> {
        let replay = {
            let mut kept = self.kept();
            let running = kept.replays.iter().filter(|replay| !replay.state.borrow().done).count();
            if running >= RUNNING_MAX {
                return None;
            }
            kept.last += 1;
            let replay = Arc::new(Replay {
                number: kept.last,
                project,
                dry_run,
                state: watch::channel(ReplayState::default()).0,
            });
            kept.replays.push_back(Arc::clone(&replay));
            while kept.replays.len() > KEPT_MAX {
                kept.replays.pop_front();
            }
            replay
        };
        let (store, working) = (Arc::clone(store), Arc::clone(&replay));
        task::spawn("replay", async move { working.run(&*store, filter).await });
        Some(replay)
    }

    /// One of a project.
    #[must_use]
    pub fn get(&self, project: &str, number: u64) -> Option<Arc<Replay>> {
        self.kept().replays.iter().find(|replay| replay.number == number && *replay.project == *project).cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Replay ===

impl Replay {
    /// How far it is.
    #[must_use]
    pub fn state(&self) -> ReplayState {
        self.state.borrow().clone()
    }

    /// Waits until it has ended.
    pub async fn done(&self) {
        // The sender is ours: it does not go while we look.
        drop(self.state.subscribe().wait_for(|state| state.done).await);
    }

    async fn run<S: Store>(&self, store: &S, filter: DeliveryFilter) {
        let outcome = self.work(store, filter).await;
        self.state.send_modify(|state| {
            state.done = true;
            state.error = outcome.err().map(|error| error.to_string().into());
        });
        let ReplayState { matched, redelivered, skipped, .. } = self.state();
        tracing::info!(number = self.number, dry_run = self.dry_run, matched, redelivered, skipped, "replay ended");
    }

    async fn work<S: Store>(&self, store: &S, filter: DeliveryFilter) -> Result<(), StoreError> {
        let mut after: Option<(Seq, u16)> = None;
        loop {
            let page = store.deliveries(filter.clone(), PageRequest { limit: PAGE_ROWS_MAX, after }).await?;
            let last = page.stopped_at.or(page.rows.last().map(|row| row.id));
            let ids: Vec<_> = page.rows.iter().map(|row| row.id).collect();
            let matched = ids.len();
            // A page at once: its deliveries share what durability costs.
            let again = if self.dry_run { Vec::new() } else { store.redeliver_many(ids).await };
            self.state.send_modify(|state| {
                state.matched += matched as u64;
                state.redelivered += again.iter().filter(|again| again.is_ok()).count() as u64;
                state.skipped += again.iter().filter(|again| again.is_err()).count() as u64;
            });
            for again in again {
                if let Err(error @ (StoreError::Engine(_) | StoreError::Damaged(_))) = again {
                    return Err(error);
                }
            }
            match last {
                Some(id) if page.has_more => after = Some((id.seq(), id.ordinal())),
                _ => return Ok(()),
            }
        }
    }
}
