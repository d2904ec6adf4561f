//! The answer that an admission waits for, from the writer's thread to the task that asked.
//!
//! As a oneshot channel, but for how the task is woken: one that lives on a core is left at the core's [`Home`], for
//! the writer answers a batch at a time.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::store::AdmitError;
use crate::telemetry::Home;

/// What became of an admission.
pub(super) type Kept = Result<(), AdmitError>;

/// Whoever answers.
#[derive(Debug)]
pub(super) struct Waiter(Option<Shared>);

/// Whoever waits; an answer that nobody gives is that the engine is closed.
#[derive(Debug)]
pub(super) struct Awaited(Shared);

type Shared = Arc<Mutex<State>>;

#[derive(Debug)]
enum State {
    /// Nobody has asked yet.
    Fresh,
    Asked(Waker, Option<Home>),
    Answered(Kept),
}

/// The two ends of an answer.
pub(super) fn awaited() -> (Waiter, Awaited) {
    let shared = Arc::new(Mutex::new(State::Fresh));
    (Waiter(Some(Arc::clone(&shared))), Awaited(shared))
}

// === impl Waiter ===

impl Waiter {
    /// Answers; where nobody waits any more, for nothing.
    pub(super) fn tell(mut self, kept: Kept) {
        self.answer(kept);
    }

    fn answer(&mut self, kept: Kept) {
        let Some(shared) = self.0.take() else { return };
        let before = std::mem::replace(&mut *lock(&shared), State::Answered(kept));
        match before {
            State::Asked(waker, Some(home)) => home.wake(waker),
            State::Asked(waker, None) => waker.wake(),
            State::Fresh | State::Answered(_) => {}
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.answer(Err(AdmitError::Unavailable("it is closed".into())));
        }
    }
}

// === impl Awaited ===

impl Future for Awaited {
    type Output = Kept;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Kept> {
        let mut state = lock(&self.0);
        match &mut *state {
            State::Answered(kept) => return Poll::Ready(kept.clone()),
            State::Asked(waker, _) if waker.will_wake(context.waker()) => {}
            State::Fresh | State::Asked(..) => *state = State::Asked(context.waker().clone(), Home::here()),
        }
        Poll::Pending
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_whether_it_asked_before_or_after() {
        let (waiter, early) = awaited();
        waiter.tell(Ok(()));
        assert!(early.await.is_ok());
        let (waiter, awaited) = awaited();
        let asking = crate::telemetry::task::spawn("asking", awaited);
        tokio::task::yield_now().await;
        std::thread::spawn(move || waiter.tell(Err(AdmitError::Full("no space".into()))));
        assert!(matches!(asking.await.unwrap(), Err(AdmitError::Full(_))));
    }

    #[tokio::test]
    async fn an_answer_that_nobody_gives_is_a_refusal_and_one_that_nobody_awaits_is_dropped() {
        let (waiter, refused) = awaited();
        drop(waiter);
        assert!(matches!(refused.await, Err(AdmitError::Unavailable(_))));
        let (waiter, gone) = awaited();
        drop(gone);
        waiter.tell(Ok(()));
    }
}
