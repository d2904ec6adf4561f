//! Whether the gateway should get traffic, apart from what the store says of itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::Timestamp;

/// Set by app, shown by `/readyz`; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    started: AtomicBool,
    draining: AtomicBool,
    relaxed: AtomicBool,
    reload: RwLock<Reload>,
}

/// What became of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// When the running configuration was loaded.
    pub loaded_at: Option<Timestamp>,
    /// Why the last change was refused, and when; `None` after one that was taken.
    pub refused: Option<(Timestamp, Arc<str>)>,
}

// === impl Readiness ===

impl Readiness {
    /// A gateway that is still starting: not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything listens.
    pub fn set_started(&self) {
        self.0.started.store(true, Ordering::Release);
    }

    /// No new traffic from now on; there is no way back.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// The store acknowledges before it has synced (`durability: relaxed`): said wherever somebody looks.
    pub fn set_relaxed(&self, relaxed: bool) {
        self.0.relaxed.store(relaxed, Ordering::Release);
    }

    /// A configuration was taken.
    pub fn config_loaded(&self, at: Timestamp) {
        *self.0.reload.write().unwrap_or_else(PoisonError::into_inner) = Reload { loaded_at: Some(at), refused: None };
    }

    /// A changed configuration was refused; the old one stays. `why` is for people and holds no secret.
    pub fn config_refused(&self, at: Timestamp, why: &str) {
        self.0.reload.write().unwrap_or_else(PoisonError::into_inner).refused = Some((at, why.into()));
    }

    /// Whether everything listens.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.0.started.load(Ordering::Acquire)
    }

    /// Whether it is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Whether the store acknowledges before it has synced.
    #[must_use]
    pub fn is_relaxed(&self) -> bool {
        self.0.relaxed.load(Ordering::Acquire)
    }

    /// What became of the configuration.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.0.reload.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
