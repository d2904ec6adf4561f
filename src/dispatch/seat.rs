//! Where an idle worker waits for what it shall do next: one lock, one waker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::room::Place;
use crate::store::Claim;

/// A worker's place in its lane.
#[derive(Debug, Default)]
pub(super) struct Seat(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    call: Option<Call>,
    waker: Option<Waker>,
}

/// What an idle worker is called for.
#[derive(Debug)]
pub(super) enum Call {
    Deliver(Box<Handed>),
    /// Nothing more: close the connection and end.
    Retire,
}

/// A delivery for a worker, with its place where places are counted.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) claim: Claim,
    pub(super) place: Option<Place>,
}

/// Idle workers, the one that was busy last on top: its connection is the warmest.
#[derive(Debug, Default)]
pub(super) struct Bench(Vec<(Arc<Seat>, Instant)>);

// === impl Seat ===

impl Seat {
    pub(super) fn call(&self, call: Call) {
        let waker = {
            let mut inner = self.lock();
            inner.call = Some(call);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll_called(&self, context: &mut Context<'_>) -> Poll<Call> {
        let mut inner = self.lock();
        if let Some(call) = inner.call.take() {
            return Poll::Ready(call);
        }
        match &mut inner.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Bench ===

impl Bench {
    pub(super) fn sit_down(&mut self, seat: Arc<Seat>, now: Instant) {
        self.0.push((seat, now));
    }

    /// The one that was busy last.
    pub(super) fn take(&mut self) -> Option<Arc<Seat>> {
        self.0.pop().map(|(seat, _)| seat)
    }

    /// Those that have been idle since before `before`.
    pub(super) fn take_idle_since(&mut self, before: Instant) -> Vec<Arc<Seat>> {
        let idle = self.0.partition_point(|(_, since)| *since < before);
        self.0.drain(..idle).map(|(seat, _)| seat).collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<Arc<Seat>> {
        self.0.drain(..).map(|(seat, _)| seat).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
