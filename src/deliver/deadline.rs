//! A time-out that costs nothing per attempt.
//!
//! A timer that is set and removed for every request would take a lock twice. Deadlines of one connection
//! only move forward, so the timer stays where it was set and looks again when it fires too early: at most
//! once in a `timeout`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

pub(super) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

// === impl Deadline ===

impl Deadline {
    pub(super) fn new(at: Instant) -> Self {
        Self { at, timer: Box::pin(sleep_until(at)) }
    }

    pub(super) fn move_to(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    pub(super) fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.at <= self.timer.deadline() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    // On the machine's time: the deadlines themselves are what is tested.
    #[tokio::test]
    async fn a_deadline_passes_when_it_was_last_moved_to() {
        const TENTH: Duration = Duration::from_millis(100);
        let start = Instant::now();
        let mut deadline = Deadline::new(start + TENTH);
        deadline.move_to(start + 3 * TENTH);
        poll_fn(|context| deadline.poll_passed(context)).await;
        assert!(start.elapsed() >= 3 * TENTH, "later than the timer was first set for");
        deadline.move_to(start + 600 * TENTH);
        deadline.move_to(start + 4 * TENTH);
        poll_fn(|context| deadline.poll_passed(context)).await;
        let elapsed = start.elapsed();
        assert!(elapsed >= 4 * TENTH && elapsed < 600 * TENTH, "earlier than the timer was set for");
    }
}
