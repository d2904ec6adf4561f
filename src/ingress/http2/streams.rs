//! The tasks of a connection's streams: they end with it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};

use super::session::Session;
use crate::ingress::server::log_panic;

/// Runs each stream as a task; those that are left are aborted when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Streams {
    tasks: Arc<Mutex<JoinSet<()>>>,
    session: Arc<Session>,
    silence_max: Duration,
}

pin_project! {
    /// A stream that ends when nothing has happened in it for too long: its sender does not open the window for the
    /// answer, and no timer of ours or of hyper's would ever end it.
    struct Awake<F> {
        #[pin]
        stream: F,
        #[pin]
        sleep: Sleep,
        silence_max: Duration,
    }
}

// === impl Streams ===

impl Streams {
    /// No stream yet. One in which nothing happens for `silence_max` is reset; longer than a service may take.
    pub(super) fn new(session: Arc<Session>, silence_max: Duration) -> Self {
        Self { tasks: Arc::default(), session, silence_max }
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let in_flight = self.session.stream_begins();
        let silence_max = self.silence_max;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            log_panic(ended);
        }
        tasks.spawn(async move {
            Awake { stream, sleep: sleep(silence_max), silence_max }.await;
            drop(in_flight);
        });
    }
}

// === impl Awake ===

impl<F: Future<Output = ()>> Future for Awake<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.stream.poll(cx).is_ready() || this.sleep.is_elapsed() {
            return Poll::Ready(());
        }
        this.sleep.as_mut().reset(Instant::now() + *this.silence_max);
        this.sleep.poll(cx)
    }
}
