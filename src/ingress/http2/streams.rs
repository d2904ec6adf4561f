//! The tasks of a connection's streams: they end with it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::rt::Executor as _;
use pin_project_lite::pin_project;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::limits::{LEFTOVER_BYTES_MAX, LEFTOVER_TIME_MAX};
use super::session::Session;
use crate::deadline::Lateness;
use crate::ingress::server::log_panic;

/// Runs each stream as a task; those that are left are aborted when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Streams {
    tasks: Arc<Mutex<JoinSet<()>>>,
    session: Arc<Session>,
    silence_max: Duration,
}

/// Where the rest of a body goes that nobody reads.
///
/// It lives in the tasks of the streams, and so does not keep them alive.
#[derive(Clone)]
pub(in crate::ingress) struct Leftover {
    tasks: Weak<Mutex<JoinSet<()>>>,
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
        // When it counts as silent, if nothing happens until then.
        silent_at: Instant,
        lateness: Lateness,
    }
}

// === impl Streams ===

impl Streams {
    /// No stream yet. One in which nothing happens for `silence_max` is reset; longer than a service may take.
    pub(super) fn new(session: Arc<Session>, silence_max: Duration) -> Self {
        Self { tasks: Arc::default(), session, silence_max }
    }

    /// For the bodies of their requests.
    pub(super) fn leftover(&self) -> Leftover {
        let Self { tasks, session, silence_max } = self;
        Leftover { tasks: Arc::downgrade(tasks), session: Arc::clone(session), silence_max: *silence_max }
    }
}

// === impl Leftover ===

impl Leftover {
    /// Reads a body to its end and drops it, bounded in bytes and time; where it has none by then its stream is reset
    /// without an error (RFC 9113 section 8.1). A stream in flight until then.
    pub(in crate::ingress) fn read(self, mut body: Incoming) {
        let Self { tasks, session, silence_max } = self;
        // Where the connection has ended there is nothing to read.
        let Some(tasks) = tasks.upgrade() else { return };
        Streams { tasks, session, silence_max }.execute(async move {
            let reading = async {
                let mut left = LEFTOVER_BYTES_MAX;
                while let Some(Ok(frame)) = body.frame().await {
                    let count = frame.data_ref().map_or(0, |data| data.len());
                    match left.checked_sub(count) {
                        Some(rest) => left = rest,
                        None => return,
                    }
                }
            };
            drop(timeout(LEFTOVER_TIME_MAX, reading).await);
        });
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
            let silent_at = Instant::now() + silence_max;
            let sleep = sleep_until(silent_at);
            Awake { stream, sleep, silence_max, silent_at, lateness: Lateness::default() }.await;
            drop(in_flight);
        });
    }
}

// === impl Awake ===

impl<F: Future<Output = ()>> Future for Awake<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let now = Instant::now();
        let next = if this.sleep.is_elapsed() {
            this.lateness.look_again(*this.silent_at, now, 0)
        } else {
            *this.silent_at = now + *this.silence_max;
            Some(*this.silent_at)
        };
        let Some(at) = next else { return Poll::Ready(()) };
        this.sleep.as_mut().reset(at);
        this.sleep.poll(cx)
    }
}
