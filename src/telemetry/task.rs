//! The one place that starts tasks: each has a name, and a panic in one is logged and counted, never silent.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

/// Panics since the start of the process, for the scrape.
static PANICKED: AtomicU64 = AtomicU64::new(0);

pin_project! {
    struct Named<F> {
        name: &'static str,
        #[pin]
        future: F,
    }
}

pin_project! {
    /// What [`caught`] gives.
    #[must_use = "nothing happens until it is awaited"]
    pub struct Caught<F> {
        #[pin]
        named: Named<F>,
    }
}

/// A future panicked; the log says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a defect in hookward: a task panicked, the log says where")]
pub struct Panicked;

/// Starts a task. Dropping the handle leaves it running; a panic ends the task, is logged under `name`
/// and shows as an error of the handle.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[allow(clippy::disallowed_methods, reason = "the one place where tasks are started")]
    tokio::spawn(Named { name, future })
}

/// A future to await in the task that asks. A panic in it is logged and counted as if it were a task of its
/// own, and is the error ([`Panicked`]); whatever the future had borrowed may be half changed then.
pub fn caught<F: Future>(name: &'static str, future: F) -> Caught<F> {
    Caught { named: Named { name, future } }
}

/// How many tasks have panicked since the start of the process.
#[must_use]
pub fn panicked() -> u64 {
    PANICKED.load(Ordering::Relaxed)
}

// === impl Named, Caught ===

impl<F: Future> Named<F> {
    /// Polls the future; a panic is logged and counted.
    fn poll_logged(self: Pin<&mut Self>, context: &mut Context<'_>) -> Result<Poll<F::Output>, Box<dyn Any + Send>> {
        let this = self.project();
        // What is half done after a panic is dropped with the future: nobody polls it again.
        catch_unwind(AssertUnwindSafe(|| this.future.poll(context))).inspect_err(|panic| {
            PANICKED.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = *this.name, panic = said(&**panic), "a task panicked");
        })
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.poll_logged(context).unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().named.poll_logged(context) {
            Ok(poll) => poll.map(Ok),
            Err(_logged) => Poll::Ready(Err(Panicked)),
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_counted_and_reaches_the_handle() {
        let before = panicked();
        let error = spawn("breaks", async { panic!("on purpose") }).await.unwrap_err();
        assert!(error.is_panic());
        assert!(panicked() > before);
        assert_eq!(spawn("works", async { 7 }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_panic_can_be_caught_where_it_is_awaited() {
        let before = panicked();
        assert_eq!(caught("breaks", async { panic!("on purpose") }).await.map(|()| 7), Err(Panicked));
        assert!(panicked() > before);
        assert_eq!(caught("works", async { 7 }).await, Ok(7));
    }
}
