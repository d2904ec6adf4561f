//! What a person has paused: sources, whose events are kept and wait, and destinations, whose deliveries are held.
//!
//! A pause is durable before it is answered and outlives restarts and reloads, also for a name that is not in the
//! configuration at the moment. Where several gateways share a store each goes along with what the others pause.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::attempts::Deliveries;
use crate::deliver::Endpoint;
use crate::dispatch::{Destination, Dispatcher};
use crate::domain::Holding;
use crate::domain::holding::moment_of;
use crate::store::{Paused, Store, StoreError};
use crate::telemetry::task;

/// What is paused, and who must know.
pub(super) struct Pauses<S: Store> {
    store: Arc<S>,
    dispatcher: Arc<Dispatcher<S, Deliveries>>,
    /// One change at a time.
    changes: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    paused: HashSet<Paused>,
    /// Of every source that was ever asked for.
    holdings: HashMap<Arc<str>, Arc<Holding>>,
    /// As the configuration has them.
    destinations: Vec<Configured>,
}

/// A destination, and where its requests go.
type Configured = (Destination, Option<Arc<Endpoint>>);

/// What came in at the moment in which its source was resumed, and whose sender went away then, is released after so long.
const RELEASED_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Between two tries to read what another gateway has paused.
const AGAIN: Duration = Duration::from_secs(1);

// === impl Pauses ===

impl<S: Store> Pauses<S> {
    /// What the store knows; what waits for sources that are not paused any more goes.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn load(
        store: &Arc<S>,
        dispatcher: &Arc<Dispatcher<S, Deliveries>>,
    ) -> Result<Arc<Self>, StoreError> {
        let paused: HashSet<Paused> = store.pauses().await?.into_iter().collect();
        let moments: Vec<_> = paused.iter().filter_map(source_of).map(moment_of).collect();
        let releasing = Arc::clone(store);
        task::spawn("release", async move { releasing.release_held(|moment| !moments.contains(&moment)).await });
        let known = Known { paused, ..Known::default() };
        Ok(Arc::new(Self {
            store: Arc::clone(store),
            dispatcher: Arc::clone(dispatcher),
            changes: tokio::sync::Mutex::default(),
            known: Mutex::new(known),
        }))
    }

    /// Whether this source is paused, for those who keep its events; the same after a reload.
    pub(super) fn holding(&self, source: &Arc<str>) -> Arc<Holding> {
        let mut known = self.known();
        let is_paused = known.paused.contains(&Paused::Source(Arc::clone(source)));
        let holding = known.holdings.entry(Arc::clone(source)).or_insert_with(|| {
            let holding = Holding::of(source);
            holding.set(is_paused);
            Arc::new(holding)
        });
        Arc::clone(holding)
    }

    pub(super) fn is_paused(&self, what: &Paused) -> bool {
        self.known().paused.contains(what)
    }

    /// Makes these the destinations; those that are paused are held.
    pub(super) fn apply(&self, destinations: Vec<Configured>) {
        let mut known = self.known();
        known.destinations = destinations;
        self.dispatch(&known);
    }

    /// Pauses something, or resumes it.
    ///
    /// # Errors
    /// The store did not keep that; it stands as before then.
    pub(super) async fn set(&self, what: Paused, paused: bool) -> Result<(), StoreError> {
        let _change = self.changes.lock().await;
        self.store.keep_pause(&what, paused).await?;
        let changed = {
            let mut known = self.known();
            if paused { known.paused.insert(what.clone()) } else { known.paused.remove(&what) }
        };
        if changed {
            tracing::info!(?what, paused, "paused or resumed by a person");
        }
        self.stands(&what, paused).await;
        Ok(())
    }

    /// Goes along with what other gateways pause and resume, until the future is dropped.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            self.store.changed_pauses().await;
            while let Err(error) = self.look_again().await {
                tracing::warn!(%error, "what other gateways have paused cannot be read yet");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    async fn look_again(&self) -> Result<(), StoreError> {
        // What is changed here meanwhile is not overwritten by what was read before.
        let _change = self.changes.lock().await;
        let now: HashSet<Paused> = self.store.pauses().await?.into_iter().collect();
        let before = std::mem::replace(&mut self.known().paused, now.clone());
        for what in now.symmetric_difference(&before) {
            let paused = now.contains(what);
            tracing::info!(?what, paused, "paused or resumed at another gateway");
            self.stands(what, paused).await;
        }
        Ok(())
    }

    /// Lets everybody know how something stands.
    async fn stands(&self, what: &Paused, paused: bool) {
        {
            let known = self.known();
            match what {
                Paused::Source(name) => {
                    if let Some(holding) = known.holdings.get(name) {
                        holding.set(paused);
                    }
                }
                Paused::Destination(_) => self.dispatch(&known),
            }
        }
        if let (Paused::Source(name), false) = (what, paused) {
            self.release(name).await;
        }
    }

    async fn release(&self, source: &str) {
        let moment = moment_of(source);
        let released = self.store.release_held(|held| held == moment).await;
        tracing::info!(source, released, "deliveries go that waited for their source");
        let (store, is_paused) = (Arc::clone(&self.store), self.known().holdings.get(source).cloned());
        task::spawn("release", async move {
            tokio::time::sleep(RELEASED_AGAIN_AFTER).await;
            if is_paused.is_none_or(|holding| !holding.is_on()) {
                store.release_held(|held| held == moment).await;
            }
        });
    }

    fn dispatch(&self, known: &Known) {
        let destinations = known.destinations.iter().map(|(destination, endpoint)| {
            let mut destination = destination.clone();
            destination.paused = known.paused.contains(&Paused::Destination(Arc::clone(&destination.name)));
            (destination, endpoint.clone())
        });
        self.dispatcher.apply(destinations.collect());
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn source_of(paused: &Paused) -> Option<&str> {
    match paused {
        Paused::Source(name) => Some(name),
        Paused::Destination(_) => None,
    }
}
