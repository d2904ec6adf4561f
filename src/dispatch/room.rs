//! How many attempts of all webhooks may be under way at once, so that thousands of them cannot use up the machine.
//!
//! Those that keep failing share a part of it: dead ones, which hold their places until the time-out, never take the
//! place of a healthy one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Failing webhooks get one place in so many.
const FAILING_PART: usize = 4;

/// The places of all lanes that are made on demand.
#[derive(Debug)]
pub(super) struct Room {
    healthy: Arc<Semaphore>,
    failing: Arc<Semaphore>,
    /// How many idle connections may stay open.
    idle_max: usize,
    idle: AtomicUsize,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    failing: bool,
}

/// An idle connection that may stay open, until it is dropped.
#[derive(Debug)]
pub(super) struct Idle(Arc<Room>);

// === impl Room ===

impl Room {
    pub(super) fn new(attempts_max: usize) -> Self {
        let failing = (attempts_max / FAILING_PART).max(1);
        Self {
            healthy: Arc::new(Semaphore::new(attempts_max.saturating_sub(failing).max(1))),
            failing: Arc::new(Semaphore::new(failing)),
            idle_max: attempts_max,
            idle: AtomicUsize::new(0),
        }
    }

    /// Waits for the first of `most` places, and takes as many of the others as are free.
    pub(super) async fn places(&self, most: usize, failing: bool) -> Vec<Place> {
        let of = if failing { &self.failing } else { &self.healthy };
        // Never closed.
        let first = Arc::clone(of).acquire_owned().await.into_iter();
        let others = std::iter::from_fn(|| Arc::clone(of).try_acquire_owned().ok());
        first.chain(others).take(most).map(|permit| Place { _permit: permit, failing }).collect()
    }

    /// Whether somebody else may be waiting for a place.
    pub(super) fn is_full(&self, failing: bool) -> bool {
        let of = if failing { &self.failing } else { &self.healthy };
        of.available_permits() == 0
    }

    /// Leave for an idle connection to stay open.
    pub(super) fn idle(self: &Arc<Self>) -> Option<Idle> {
        let add = |idle| (idle < self.idle_max).then_some(idle + 1);
        self.idle.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).ok()?;
        Some(Idle(Arc::clone(self)))
    }
}

// === impl Place, Idle ===

impl Place {
    /// Whether it is one of those for failing webhooks.
    pub(super) fn is_for_failing(&self) -> bool {
        self.failing
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failing_webhooks_never_take_the_places_of_healthy_ones() {
        let room = Room::new(8);
        let failing = room.places(100, true).await;
        assert_eq!(failing.len(), 2);
        assert!(room.is_full(true) && !room.is_full(false));
        let healthy = room.places(100, false).await;
        assert_eq!(healthy.len(), 6);
        drop(failing);
        assert!(!room.is_full(true) && room.is_full(false));
    }

    #[test]
    fn idle_connections_are_bounded() {
        let room = Arc::new(Room::new(4));
        let idle: Vec<_> = std::iter::from_fn(|| room.idle()).collect();
        assert_eq!(idle.len(), 4);
        drop(idle);
        assert!(room.idle().is_some());
    }
}
