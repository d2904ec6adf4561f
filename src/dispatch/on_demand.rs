//! Lanes for thousands of webhooks: one is made when something of it is due, and ends when it has been idle.
//!
//! A webhook without deliveries costs nothing here: no task, no worker, no connection. The store names those that have
//! something due, and one that was named is ours until it is given back. All of them share a room of places.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lane::{Lane, Means};
use super::room::Room;
use super::running::{Running, drain};
use super::{Attempts, Destination, pump};
use crate::domain::Clock;
use crate::store::{Store, TargetSettings};
use crate::telemetry::{Cores, DestinationMetrics, Metrics, task};

/// The name under which the deliveries of all webhooks are counted: no metric has a label for each.
pub const COUNTED_AS: &str = "(webhooks)";

/// By then what another gateway did to a webhook is known here too.
const KNOWN_SOON: Duration = Duration::from_millis(200);

/// What becomes of a webhook's deliveries.
pub enum Resolved<E> {
    /// They are made.
    Ready(Box<Destination>, Arc<E>),
    /// They wait.
    Paused,
    /// They are cancelled: the webhook is deleted or disabled.
    Gone,
}

/// Asked for a webhook by its target's name.
pub type Resolver<E> = Box<dyn Fn(&str) -> Resolved<E> + Send + Sync>;

/// Brings the due deliveries of webhooks to whoever makes attempts.
pub struct OnDemand<S, A: Attempts>(Arc<Shared<S, A>>);

struct Shared<S, A: Attempts> {
    means: Arc<Means<S, A>>,
    metrics: Arc<DestinationMetrics>,
    room: Arc<Room>,
    resolve: Resolver<A::Endpoint>,
    lanes: Mutex<Lanes<S, A>>,
}

struct Lanes<S, A: Attempts> {
    running: HashMap<Arc<str>, Running<S, A>>,
    draining: bool,
}

// === impl OnDemand ===

impl<S: Store, A: Attempts> OnDemand<S, A> {
    /// Nothing is made before [`run`](Self::run). At most `attempts_max` attempts are under way at once, on `cores`.
    #[must_use]
    pub fn new(
        store: Arc<S>,
        attempts: Arc<A>,
        clock: Clock,
        metrics: &Metrics,
        cores: Cores,
        attempts_max: NonZeroUsize,
        resolve: Resolver<A::Endpoint>,
    ) -> Self {
        Self(Arc::new(Shared {
            means: Arc::new(Means { store, attempts, clock, cores }),
            metrics: metrics.destination(COUNTED_AS),
            room: Arc::new(Room::new(attempts_max.get())),
            resolve,
            lanes: Mutex::new(Lanes { running: HashMap::new(), draining: false }),
        }))
    }

    /// Makes what is due, until the future is dropped.
    pub async fn run(&self) {
        loop {
            for target in self.0.means.store.stirred().await {
                Shared::wake(&self.0, target);
            }
        }
    }

    /// Something about a webhook has changed: what is pending goes by the new settings, or not at all.
    pub fn changed(&self, target: &str) {
        let lanes = self.0.lanes();
        let Some(running) = lanes.running.get(target) else { return };
        match (self.0.resolve)(target) {
            Resolved::Ready(destination, endpoint) => running.lane.reconfigure(*destination, Some(endpoint)),
            Resolved::Paused => {}
            Resolved::Gone => running.lane.stop(),
        }
    }

    /// The same of every webhook that has a lane.
    pub fn changed_all(&self) {
        let running: Vec<_> = self.0.lanes().running.keys().cloned().collect();
        running.iter().for_each(|target| self.changed(target));
    }

    /// Begins nothing new and waits until every attempt under way has ended, at most until `deadline`. Returns how many
    /// it cut off then: they are made again after a restart.
    pub async fn drain(&self, deadline: Instant) -> usize {
        let ending: Vec<_> = {
            let mut lanes = self.0.lanes();
            lanes.draining = true;
            lanes.running.drain().map(|(_, running)| running).collect()
        };
        drain(ending, deadline).await
    }

    /// How many webhooks have a lane at the moment.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.0.lanes().running.len()
    }
}

// === impl Shared ===

impl<S: Store, A: Attempts> Shared<S, A> {
    /// A webhook has something due, and is ours.
    fn wake(shared: &Arc<Self>, target: Arc<str>) {
        let mut lanes = shared.lanes();
        if lanes.draining || lanes.running.contains_key(&target) {
            return;
        }
        let store = &shared.means.store;
        match (shared.resolve)(&target) {
            Resolved::Ready(destination, endpoint) => {
                let means = Arc::clone(&shared.means);
                let metrics = Arc::clone(&shared.metrics);
                let lane = Lane::on_demand(means, metrics, *destination, endpoint, Arc::clone(&shared.room));
                let lane = Arc::new(lane);
                let pump = task::spawn("webhook", Self::pump(Arc::clone(shared), Arc::clone(&lane)));
                lanes.running.insert(target, Running { lane, pump });
            }
            Resolved::Paused => {
                store.set_target(&TargetSettings {
                    name: Arc::clone(&target),
                    queue_max: u64::MAX,
                    paused: true,
                    in_flight_max: None,
                    ordered: false,
                });
                store.rest(&target);
            }
            Resolved::Gone => {
                let shared = Arc::clone(shared);
                task::spawn("cancelling", async move {
                    if shared.is_gone(&target).await {
                        shared.cancel(&target).await;
                    } else {
                        sleep(KNOWN_SOON).await;
                    }
                    shared.means.store.rest(&target);
                });
            }
        }
    }

    /// A lane's pump until it has been idle; then the webhook is given back.
    async fn pump(shared: Arc<Self>, lane: Arc<Lane<S, A>>) {
        pump::run(Arc::clone(&lane)).await;
        let was_ours = {
            let mut lanes = shared.lanes();
            !lanes.draining && lanes.running.remove(&lane.name).is_some()
        };
        if was_ours {
            shared.means.store.rest(&lane.name);
        }
    }

    /// Whether a webhook that is not known here takes no deliveries indeed: another gateway may have registered it a
    /// moment ago, or switched it on.
    async fn is_gone(&self, target: &str) -> bool {
        let Ok(id) = target.parse() else { return true };
        match self.means.store.webhook(id).await {
            Ok(webhook) => webhook.is_none_or(|webhook| !webhook.state.takes_events()),
            Err(error) => {
                tracing::warn!(webhook = target, %error, "it cannot be read whether there is such a webhook");
                false
            }
        }
    }

    async fn cancel(&self, target: &str) {
        match self.means.store.cancel_all(target).await {
            Ok(cancelled) if cancelled > 0 => {
                tracing::info!(webhook = target, cancelled, "deliveries of a webhook that takes none were cancelled");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(webhook = target, %error, "deliveries could not be cancelled"),
        }
    }
}

impl<S, A: Attempts> Shared<S, A> {
    fn lanes(&self) -> MutexGuard<'_, Lanes<S, A>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
