//! Waking what lives on a core from another thread: many at once, for one call to the kernel.
//!
//! A runtime that sleeps in the kernel is called by a write to a file of its own, and tokio writes one for each task
//! that another thread wakes. A thread that ends the waiting of a whole batch, as a store's does after a sync, leaves
//! the wakers at the core's [`Home`] instead: the first one calls, and the core wakes all that it finds.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

thread_local! {
    /// The core that this thread serves.
    static HERE: OnceCell<Home> = const { OnceCell::new() };
}

/// The core on which a task lives.
#[derive(Clone, Debug, Default)]
pub struct Home {
    core: usize,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    wakers: Vec<Waker>,
    /// Calls the core.
    bell: Option<Waker>,
}

// === impl Home ===

impl Home {
    /// The core of this number.
    pub(super) fn of(core: usize) -> Self {
        Self { core, ..Self::default() }
    }

    /// Which core's thread asks, counted from 0; `None` on every other thread.
    #[must_use]
    pub fn core_here() -> Option<usize> {
        HERE.with(|here| here.get().map(|home| home.core))
    }

    /// The home of the tasks that run on this thread; `None` where the thread is no core's.
    #[must_use]
    pub fn here() -> Option<Self> {
        HERE.with(|here| here.get().cloned())
    }

    /// Wakes a task that lives here, soon.
    pub fn wake(&self, waker: Waker) {
        let bell = {
            let mut waiting = self.lock();
            waiting.wakers.push(waker);
            // Whoever left the first one has called already, and it is still to be fetched.
            if waiting.wakers.len() == 1 { waiting.bell.take() } else { None }
        };
        if let Some(bell) = bell {
            bell.wake();
        }
    }

    /// From now on this thread's tasks live here; never completes, and wakes them while it is polled.
    pub(super) async fn serve(self) {
        HERE.with(|here| drop(here.set(self.clone())));
        let mut woken = Vec::new();
        poll_fn(|context| {
            loop {
                {
                    let mut waiting = self.lock();
                    std::mem::swap(&mut waiting.wakers, &mut woken);
                    if woken.is_empty() {
                        waiting.bell.get_or_insert_with(|| context.waker().clone());
                        return Poll::<()>::Pending;
                    }
                }
                woken.drain(..).for_each(Waker::wake);
            }
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Counted {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn however_many_are_woken_the_core_is_called_once_until_it_has_looked() {
        let (home, core, task) = (Home::default(), Arc::new(Counted::default()), Arc::new(Counted::default()));
        let waker = Waker::from(Arc::clone(&core));
        let mut context = Context::from_waker(&waker);
        let mut serving = pin!(home.clone().serve());
        for round in 1..=3 {
            assert!(serving.as_mut().poll(&mut context).is_pending());
            assert_eq!((core.count(), task.count()), (round - 1, 10 * (round - 1)));
            for _ in 0..10 {
                home.wake(Waker::from(Arc::clone(&task)));
            }
            assert_eq!((core.count(), task.count()), (round, 10 * (round - 1)), "the core wakes them, not we");
        }
        assert!(serving.as_mut().poll(&mut context).is_pending());
        assert_eq!(task.count(), 30);
    }

    #[test]
    fn what_is_left_before_the_core_first_looks_is_not_forgotten() {
        let (home, task) = (Home::default(), Arc::new(Counted::default()));
        home.wake(Waker::from(Arc::clone(&task)));
        let mut serving = pin!(home.serve());
        assert!(serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(task.count(), 1);
    }

    #[test]
    fn a_thread_is_the_home_of_what_runs_on_it_from_when_it_serves() {
        assert!(Home::here().is_none());
        let home = Home::default();
        let mut serving = pin!(home.clone().serve());
        assert!(serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(Home::here().is_some_and(|here| Arc::ptr_eq(&here.waiting, &home.waiting)));
    }
}
