//! The connections to one app that nobody uses, on a shelf for each core.
//!
//! - What was opened on a core is taken up there first: over another core's connection every answer would come by way of
//!   that core, which has to wake this one.
//! - Where a core has none of its own it takes one of the others', so that an app never sees more connections than it has
//!   had requests at a time. A plain one moves: from then on this core is the one that hears of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::time::Instant;

use super::connection::Connection;
use crate::telemetry::Home;

/// Idle connections to one app.
pub(super) struct Idle {
    shelves: Box<[Shelf]>,
}

/// Those of one core; the one that was used last comes last. Apart from the others in memory, so that no core waits for
/// what another has changed.
#[derive(Default)]
#[repr(align(128))]
struct Shelf(Mutex<Vec<Connection>>);

/// Connections beyond this are closed after their answer; all shelves together.
const CONNECTIONS_MAX: usize = 256;

// === impl Idle ===

impl Idle {
    /// None yet, and a shelf for each core that this process may use.
    pub(super) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { shelves: (0..cores).map(|_| Shelf::default()).collect() }
    }

    /// Takes one that is of use at `now`, of this core where it has any; others that are met are closed.
    pub(super) fn take(&self, now: Instant) -> Option<Connection> {
        let here = Home::core_here();
        let count = self.shelves.len();
        let own = place(here, count);
        let (behind, before) = self.shelves.split_at_checked(own).unwrap_or((&[], &self.shelves));
        for shelf in before.iter().chain(behind) {
            // Each is taken off before it is looked at: nobody waits for that.
            while let Some(connection) = shelf.take() {
                if connection.is_of_use(now)
                    && let Some(connection) = connection.for_core(here)
                {
                    return Some(connection);
                }
            }
        }
        None
    }

    /// Puts one back on the shelf of its core, where there is room.
    pub(super) fn give_back(&self, connection: Connection) {
        let count = self.shelves.len();
        let Some(shelf) = self.shelves.get(place(connection.core(), count)) else { return };
        let mut own = shelf.lock();
        if own.len() >= CONNECTIONS_MAX / count.max(1) {
            // A core may have the room of others too. One lock at a time: two that come at once may put down one too many.
            drop(own);
            if self.shelves.iter().map(|shelf| shelf.lock().len()).sum::<usize>() >= CONNECTIONS_MAX {
                return;
            }
            own = shelf.lock();
        }
        own.push(connection);
    }

    /// Closes those for which `keep` says no.
    pub(super) fn retain(&self, mut keep: impl FnMut(&mut Connection) -> bool) {
        self.shelves.iter().for_each(|shelf| shelf.lock().retain_mut(&mut keep));
    }
}

/// Which of `count` shelves is a core's. What runs on no core has the first.
fn place(core: Option<usize>, count: usize) -> usize {
    core.unwrap_or_default() % count.max(1)
}

// === impl Shelf ===

impl Shelf {
    fn take(&self) -> Option<Connection> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::{mpsc, oneshot};
    use tokio::task::JoinSet;

    use super::super::client_tests::Sink;
    use super::super::connection::Outgoing;
    use super::super::connector::Connector;
    use super::super::upstream::APPS;
    use super::*;
    use crate::telemetry::Cores;

    /// A task on a core that does one piece of work after the other.
    struct OnCore(mpsc::Sender<Work>);

    type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

    impl OnCore {
        fn start(cores: &Cores, tasks: &mut JoinSet<()>) -> Self {
            let (sender, mut receiver) = mpsc::channel::<Work>(1);
            cores.spawn_in(tasks, async move {
                while let Some(work) = receiver.recv().await {
                    work.await;
                }
            });
            Self(sender)
        }

        async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
            let (tell, told) = oneshot::channel();
            let work = async move { drop(tell.send(work.await)) };
            assert!(self.0.send(Box::pin(work)).await.is_ok(), "the core's task is there");
            told.await.unwrap()
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    async fn opened(sink: &Sink) -> Connection {
        let url = sink.endpoint().url;
        let opened = Connector::default().connect(&url, &APPS, soon()).await.unwrap();
        Connection::over(opened, &url, &APPS, soon())
    }

    /// A request over the connection, and its answer's body.
    async fn asked(connection: &mut Connection) -> Vec<u8> {
        let request = Outgoing { head: b"GET / HTTP/1.1\r\nhost: app\r\n\r\n", body: b"", is_head: false };
        let Ok(exchanged) = connection.exchange(request, 100, soon()).await else { panic!("no answer") };
        exchanged.answer.body.to_vec()
    }

    /// An app, two cores, and a shelf for each, whatever machine this is.
    async fn fixture() -> (Arc<Sink>, Arc<Idle>, [OnCore; 2], JoinSet<()>) {
        let sink = Sink::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").await;
        let cores = Cores::of(NonZeroUsize::new(2).unwrap()).unwrap();
        let mut tasks = JoinSet::new();
        let on = [(); 2].map(|()| OnCore::start(&cores, &mut tasks));
        // The cores live as long as somebody has them.
        tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(cores);
        });
        let idle = Idle { shelves: [(); 2].map(|()| Shelf::default()).into() };
        (Arc::new(sink), Arc::new(idle), on, tasks)
    }

    /// Opens a connection on a core and puts it on its shelf.
    async fn shelved(sink: &Arc<Sink>, idle: &Arc<Idle>, on: &OnCore) {
        let (sink, idle) = (Arc::clone(sink), Arc::clone(idle));
        on.run(async move { idle.give_back(opened(&sink).await) }).await;
    }

    #[tokio::test]
    async fn a_core_takes_its_own_first_and_then_what_others_have() {
        let (sink, idle, [first, second], _tasks) = fixture().await;
        shelved(&sink, &idle, &second).await;
        shelved(&sink, &idle, &first).await;
        let taken = {
            let idle = Arc::clone(&idle);
            second.run(async move {
                let (mut own, mut other) = (idle.take(Instant::now()).unwrap(), idle.take(Instant::now()).unwrap());
                assert!(idle.take(Instant::now()).is_none());
                let answers = [asked(&mut own).await, asked(&mut other).await];
                assert_eq!(answers, [b"OK"; 2]);
                let cores = [own.core(), other.core()];
                idle.give_back(own);
                idle.give_back(other);
                cores
            })
        };
        assert_eq!(taken.await, [Some(1), Some(1)], "the other core's has moved here");
        assert_eq!(sink.counts(), (2, 2), "and is the same connection");
        let (sink, idle) = (Arc::clone(&sink), Arc::clone(&idle));
        let back = first.run(async move {
            let mut connection = idle.take(Instant::now()).unwrap();
            asked(&mut connection).await;
            (connection.core(), sink.counts())
        });
        assert_eq!(back.await, (Some(0), (2, 3)), "as often as it is wanted elsewhere");
    }

    #[tokio::test]
    async fn another_cores_connection_that_the_app_has_closed_is_not_taken() {
        let (closing, mut closed) = mpsc::channel(1);
        let closes = Sink::start(move |peer| {
            let closing = closing.clone();
            async move {
                drop(peer);
                assert!(closing.send(()).await.is_ok());
            }
        });
        let closes = Arc::new(closes.await);
        let (_, idle, [first, second], _tasks) = fixture().await;
        shelved(&closes, &idle, &first).await;
        closed.recv().await.unwrap();
        let taken = second.run(async move { idle.take(Instant::now()).is_some() });
        assert!(!taken.await);
    }

    #[tokio::test]
    async fn no_more_are_kept_than_there_may_be_whichever_core_they_are_of() {
        let (sink, idle, [first, _], _tasks) = fixture().await;
        let (sink, shelves) = (Arc::clone(&sink), Arc::clone(&idle));
        let work = async move {
            for _ in 0..=CONNECTIONS_MAX {
                shelves.give_back(opened(&sink).await);
            }
        };
        first.run(work).await;
        let mut kept = 0;
        idle.retain(|_| {
            kept += 1;
            true
        });
        assert_eq!(kept, CONNECTIONS_MAX, "one core has the room of both");
    }
}
