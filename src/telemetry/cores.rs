//! The threads that connections and attempts live on: one for each core, with a runtime of its own.
//!
//! Whoever begins on a core stays there: its socket is polled, its timers run and its neighbours wake it on the same
//! thread, whose caches know it. Nothing is stolen, so that nothing has to be shared out: measured at 256 connections,
//! 5 to 10 % more events on a quiet machine, and a fifth on a busy one, than with the work-stealing runtime, on which
//! everything else runs.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, available_parallelism};

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::home::Home;

/// Deals tasks to the cores, each to the one that has the fewest.
///
/// [`Cores::default`] has no threads of its own: everything stays on the runtime that asks.
#[derive(Clone, Debug, Default)]
pub struct Cores(Option<Deal>);

#[derive(Clone, Debug)]
struct Deal {
    threads: Arc<Threads>,
    /// How many each of the threads has of this deal.
    dealt: Arc<[AtomicUsize]>,
}

/// They end when nobody has them any more, and drop what still runs on them.
#[derive(Debug)]
struct Threads {
    handles: Vec<Handle>,
    _running: Vec<oneshot::Sender<()>>,
}

/// One task's place in the count.
struct Dealt {
    dealt: Arc<[AtomicUsize]>,
    core: usize,
}

// === impl Cores ===

impl Cores {
    /// A thread for each core that this process may use.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start() -> io::Result<Self> {
        Self::of(available_parallelism()?)
    }

    /// So many threads.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn of(threads: NonZeroUsize) -> io::Result<Self> {
        let started: io::Result<(Vec<_>, Vec<_>)> = (0..threads.get()).map(thread).collect();
        let (handles, running) = started?;
        Ok(Self(Some(Deal::of(Arc::new(Threads { handles, _running: running })))))
    }

    /// The same threads for another kind of task, which is counted, and so spread, by itself.
    #[must_use]
    pub fn for_others(&self) -> Self {
        Self(self.0.as_ref().map(|deal| Deal::of(Arc::clone(&deal.threads))))
    }

    /// Whether tasks stay on the runtime that starts them.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.0.is_none()
    }

    /// Starts a task of `tasks` on the core that has the fewest; within a runtime.
    pub fn spawn_in(&self, tasks: &mut JoinSet<()>, task: impl Future<Output = ()> + Send + 'static) {
        let Some(deal) = &self.0 else {
            tasks.spawn(task);
            return;
        };
        let place = deal.place();
        match deal.threads.handles.get(place.core) {
            Some(handle) => tasks.spawn_on(
                async move {
                    task.await;
                    drop(place);
                },
                handle,
            ),
            None => tasks.spawn(task),
        };
    }
}

// === impl Deal ===

impl Deal {
    fn of(threads: Arc<Threads>) -> Self {
        let dealt = threads.handles.iter().map(|_| AtomicUsize::new(0)).collect();
        Self { threads, dealt }
    }

    /// Two that ask at once may get the same: nothing but balance depends on it.
    fn place(&self) -> Dealt {
        let counts = self.dealt.iter().map(|dealt| dealt.load(Ordering::Relaxed)).enumerate();
        let core = counts.min_by_key(|(_, count)| *count).map_or(0, |(core, _)| core);
        if let Some(dealt) = self.dealt.get(core) {
            dealt.fetch_add(1, Ordering::Relaxed);
        }
        Dealt { dealt: Arc::clone(&self.dealt), core }
    }
}

// === impl Dealt ===

impl Drop for Dealt {
    fn drop(&mut self) {
        if let Some(dealt) = self.dealt.get(self.core) {
            dealt.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Starts the thread of a core; it ends when the sender is dropped.
fn thread(core: usize) -> io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (running, ended) = oneshot::channel();
    let work = async move {
        tokio::select! {
            biased;
            _ = ended => {}
            () = Home::of(core).serve() => {}
        }
    };
    Builder::new().name(format!("core-{core}")).spawn(move || runtime.block_on(work))?;
    Ok((handle, running))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use tokio::sync::Semaphore;

    use super::*;

    /// The thread's name, which tells the same as [`Home::core_here`].
    fn name() -> String {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        assert_eq!(
            Home::core_here().map(|core| format!("core-{core}")),
            name.starts_with("core-").then(|| name.clone())
        );
        name
    }

    /// Starts tasks that stay until the semaphore has permits; says on which threads they began.
    async fn begin(
        cores: &Cores,
        tasks: &mut JoinSet<()>,
        count: u32,
        leave: &Arc<Semaphore>,
    ) -> HashMap<String, usize> {
        let began = Arc::new((Mutex::new(HashMap::new()), Semaphore::new(0)));
        for _ in 0..count {
            let (began, leave) = (Arc::clone(&began), Arc::clone(leave));
            cores.spawn_in(tasks, async move {
                *began.0.lock().unwrap().entry(name()).or_default() += 1;
                began.1.add_permits(1);
                leave.acquire().await.unwrap().forget();
            });
        }
        drop(began.1.acquire_many(count).await.unwrap());
        let threads = began.0.lock().unwrap();
        threads.clone()
    }

    #[tokio::test]
    async fn tasks_are_spread_over_threads_of_their_own_and_places_that_become_free_are_dealt_again() {
        let cores = Cores::of(NonZeroUsize::new(3).unwrap()).unwrap();
        let (mut tasks, leave) = (JoinSet::new(), Arc::new(Semaphore::new(0)));
        let even: HashMap<_, _> = (0..3).map(|core| (format!("core-{core}"), 4)).collect();
        assert_eq!(begin(&cores, &mut tasks, 12, &leave).await, even);
        leave.add_permits(12);
        while tasks.join_next().await.is_some() {}
        assert_eq!(begin(&cores, &mut tasks, 12, &leave).await, even);
        // Counted apart: what the others have does not matter.
        let others = cores.for_others();
        assert_eq!(begin(&others, &mut JoinSet::new(), 3, &leave).await.len(), 3);
    }

    #[tokio::test]
    async fn without_threads_tasks_stay_where_they_were_started() {
        let (mut tasks, leave) = (JoinSet::new(), Arc::new(Semaphore::new(2)));
        let began = begin(&Cores::default(), &mut tasks, 2, &leave).await;
        assert_eq!(began, HashMap::from([(name(), 2)]));
        assert!(Cores::default().is_here());
    }

    #[tokio::test]
    async fn threads_that_nobody_has_end_and_drop_what_ran_on_them() {
        let cores = Cores::of(NonZeroUsize::MIN).unwrap();
        let mut tasks = JoinSet::new();
        cores.spawn_in(&mut tasks, std::future::pending());
        drop(cores);
        assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
    }
}
