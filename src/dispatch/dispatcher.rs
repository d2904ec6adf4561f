//! All lanes: started, changed in place and stopped as the configuration says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::lane::{Lane, Means};
use super::running::{Running, drain};
use super::{Attempts, Destination, pump};
use crate::domain::Clock;
use crate::store::{Store, TargetSettings};
use crate::telemetry::{BreakerState, Cores, Metrics, task};

/// Brings due deliveries to whoever makes attempts, each destination in a lane of its own.
pub struct Dispatcher<S, A: Attempts> {
    means: Arc<Means<S, A>>,
    metrics: Metrics,
    lanes: Mutex<Lanes<S, A>>,
}

struct Lanes<S, A: Attempts> {
    running: HashMap<Arc<str>, Running<S, A>>,
    /// Lanes that were removed, until their last attempt has ended.
    ending: Vec<Running<S, A>>,
    draining: bool,
}

/// What a lane does at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// The destination's name.
    pub name: Arc<str>,
    /// Whether attempts go out.
    pub breaker: BreakerState,
    /// Attempts under way.
    pub in_flight: usize,
    /// At most so many.
    pub concurrency: usize,
    /// Workers that wait, each with a connection that is perhaps still open.
    pub idle: usize,
}

// === impl Dispatcher ===

impl<S: Store, A: Attempts> Dispatcher<S, A> {
    /// A dispatcher without lanes. Attempts are made on `cores`.
    #[must_use]
    pub fn new(store: Arc<S>, attempts: Arc<A>, clock: Clock, metrics: Metrics, cores: Cores) -> Self {
        let lanes = Lanes { running: HashMap::new(), ending: Vec::new(), draining: false };
        Self { means: Arc::new(Means { store, attempts, clock, cores }), metrics, lanes: Mutex::new(lanes) }
    }

    /// Makes these the destinations, each with where its requests go (`None`: it accepts and drops).
    ///
    /// Existing lanes change in place: attempts under way end as they began, everything pending goes by the
    /// new settings. A lane that is not named any more stops after its attempts; the store holds the rest.
    /// Call it within a tokio runtime. After [`drain`](Self::drain) it does nothing.
    pub fn apply(&self, destinations: Vec<(Destination, Option<Arc<A::Endpoint>>)>) {
        let mut lanes = self.lanes();
        if lanes.draining {
            return;
        }
        let targets: Vec<_> = destinations.iter().map(|(destination, _)| target(destination)).collect();
        let gone: Vec<_> =
            lanes.running.keys().filter(|name| !targets.iter().any(|target| target.name == **name)).cloned().collect();
        for name in gone {
            if let Some(running) = lanes.running.remove(&name) {
                running.lane.stop();
                lanes.ending.push(running);
            }
        }
        lanes.ending.retain(|ending| !ending.pump.is_finished());
        self.means.store.set_targets(&targets);
        for (destination, endpoint) in destinations {
            if let Some(running) = lanes.running.get(&destination.name) {
                running.lane.reconfigure(destination, endpoint);
                continue;
            }
            let name = Arc::clone(&destination.name);
            let metrics = self.metrics.destination(&name);
            let lane = Arc::new(Lane::new(Arc::clone(&self.means), metrics, destination, endpoint));
            let pump = task::spawn("lane", pump::run(Arc::clone(&lane)));
            lanes.running.insert(name, Running { lane, pump });
        }
    }

    /// Begins nothing new and waits until every attempt under way has ended, at most until `deadline`. Returns
    /// how many it cut off then: they count as not made and are made again after a restart.
    pub async fn drain(&self, deadline: Instant) -> usize {
        let ending: Vec<_> = {
            let mut lanes = self.lanes();
            lanes.draining = true;
            let running: Vec<_> = lanes.running.drain().map(|(_, running)| running).collect();
            lanes.ending.drain(..).chain(running).collect()
        };
        drain(ending, deadline).await
    }

    /// What every lane does at the moment, by name.
    #[must_use]
    pub fn states(&self) -> Vec<LaneStatus> {
        let mut states: Vec<_> = self.lanes().running.values().map(|running| running.lane.status()).collect();
        states.sort_by(|one, other| one.name.cmp(&other.name));
        states
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes<S, A>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lanes that nobody drained stop after what is under way.
impl<S, A: Attempts> Drop for Dispatcher<S, A> {
    fn drop(&mut self) {
        let lanes = self.lanes.get_mut().unwrap_or_else(PoisonError::into_inner);
        for running in lanes.running.values() {
            running.lane.stop();
        }
    }
}

fn target(destination: &Destination) -> TargetSettings {
    TargetSettings {
        name: Arc::clone(&destination.name),
        queue_max: destination.queue_max,
        paused: destination.paused,
        in_flight_max: destination.concurrency_shared.then_some(destination.concurrency.get() as u64),
        ordered: destination.ordered,
    }
}
