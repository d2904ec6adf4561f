//! Time limits of what comes over a socket: what has come is read before the limit counts.
//!
//! After a pause of the whole process (it was stopped, starved, moved to another machine) timers are due and sockets are
//! full at the same moment. The runtime knows of a socket what the kernel (epoll) has told it, and until it is told of
//! new bytes a read finds nothing; but a stop ends the waiting for the kernel without any news (`epoll_wait` gives
//! `EINTR`, signal(7)), and then the timers have their turn. So a limit that has passed is looked at again before it
//! counts. In every turn the runtime asks the kernel first and the timers afterwards: by the next look what had come is
//! on its way to its reader. A second look lets a reader in another task have its turn.
//!
//! While more is read the looking goes on, for a bounded time: who drips gains nothing.
//!
//! Polled behind whatever it limits, never before.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A limit that has passed counts after so many looks in a row at which nothing more had come.
const LOOKS: u8 = 2;

/// The time from look to look: what a machine that goes on after a pause may need to bring the bytes that waited for it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// For so long after a limit was found to have passed, bytes that are read begin the looking anew.
const READING_MAX: Duration = Duration::from_millis(500);

/// What is known of a limit that has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness(Option<Noticed>);

#[derive(Clone, Copy, Debug)]
struct Noticed {
    deadline: Instant,
    at: Instant,
    came: u64,
    looks: u8,
    next: Instant,
}

pin_project! {
    /// A time limit that costs nothing per use.
    ///
    /// A timer that is set and removed for every request would take a lock twice. Deadlines of one connection
    /// only move forward, so the timer stays where it was set and looks again when it fires too early: at most
    /// once in a `timeout`.
    pub(crate) struct Deadline {
        at: Instant,
        #[pin]
        timer: Sleep,
        lateness: Lateness,
    }
}

/// The time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Late;

/// The outcome of `work`, which ends at `deadline`.
pub(crate) async fn within<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, Late> {
    within_while(deadline, || 0, work).await
}

/// The same where `came` tells how much `work` has read so far, in any unit that grows.
pub(crate) async fn within_while<T>(
    deadline: Instant,
    came: impl Fn() -> u64,
    work: impl Future<Output = T>,
) -> Result<T, Late> {
    let (mut work, mut limit) = (pin!(work), pin!(Deadline::new(deadline)));
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        // Also where the work has used up the task's budget: a timer that waits for some would never fire.
        let limit = poll_fn(|context| limit.as_mut().poll_passed(context, came()));
        pin!(unconstrained(limit)).poll(context).map(|()| Err(Late))
    })
    .await
}

// === impl Lateness ===

impl Lateness {
    /// When to look again at a `deadline` that has passed; `None`: it counts. `came` is how much was read so far.
    pub(crate) fn look_again(&mut self, deadline: Instant, now: Instant, came: u64) -> Option<Instant> {
        let fresh = Noticed { deadline, at: now, came, looks: 0, next: now };
        let noticed = match &mut self.0 {
            Some(noticed) if noticed.deadline == deadline => noticed,
            other => other.insert(fresh),
        };
        if came != noticed.came && now < noticed.at + READING_MAX {
            (noticed.came, noticed.looks) = (came, 0);
        }
        // Whoever is polled for another reason has not asked the kernel meanwhile.
        if now >= noticed.next {
            if noticed.looks == LOOKS {
                return None;
            }
            noticed.looks += 1;
            noticed.next = now + LOOK_EVERY;
        }
        Some(noticed.next)
    }
}

// === impl Deadline ===

impl Deadline {
    pub(crate) fn new(at: Instant) -> Self {
        Self { at, timer: sleep_until(at), lateness: Lateness::default() }
    }

    pub(crate) fn move_to(self: Pin<&mut Self>, at: Instant) {
        let mut this = self.project();
        *this.at = at;
        if at < this.timer.deadline() {
            this.timer.as_mut().reset(at);
        }
    }

    /// Ready when the time is over; `came` is how much was read so far, in any unit that grows.
    pub(crate) fn poll_passed(self: Pin<&mut Self>, context: &mut Context<'_>, came: u64) -> Poll<()> {
        let mut this = self.project();
        loop {
            ready!(this.timer.as_mut().poll(context));
            let next = if *this.at > this.timer.deadline() {
                Some(*this.at)
            } else {
                this.lateness.look_again(*this.at, Instant::now(), came)
            };
            match next {
                Some(at) => this.timer.as_mut().reset(at),
                None => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_after_two_looks_at_which_nothing_had_come() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        // Now and what has come, and when to look again.
        let check = |looks: &[(u64, u64, Option<u64>)]| {
            let mut lateness = Lateness::default();
            for (now, came, again) in looks {
                assert_eq!(lateness.look_again(start, at(*now), *came), again.map(at), "{now}, {came} of {looks:?}");
            }
        };
        check(&[(0, 7, Some(50)), (50, 7, Some(100)), (100, 7, None), (150, 8, Some(200))]);
        check(&[(0, 7, Some(50)), (50, 8, Some(100)), (100, 8, Some(150)), (150, 8, None)]);
        check(&[(0, 7, Some(50)), (50, 7, Some(100)), (100, 9, Some(150)), (150, 9, Some(200)), (200, 9, None)]);
        // Polled too early.
        check(&[(0, 7, Some(50)), (20, 7, Some(50)), (50, 7, Some(100)), (99, 7, Some(100)), (100, 7, None)]);
        // Stopped once more between two looks.
        check(&[(0, 7, Some(50)), (9000, 7, Some(9050)), (9050, 7, None)]);
    }

    #[test]
    fn who_drips_all_the_time_gains_a_bounded_time() {
        let start = Instant::now();
        let mut lateness = Lateness::default();
        let mut now = start;
        for came in 0..1000 {
            match lateness.look_again(start, now, came) {
                Some(at) => now = at,
                None => break,
            }
        }
        assert!(now - start <= READING_MAX + LOOK_EVERY * u32::from(LOOKS), "{:?}", now - start);
    }

    #[test]
    fn another_limit_is_another_matter() {
        let start = Instant::now();
        let mut lateness = Lateness::default();
        for looks in 0.. {
            if lateness.look_again(start, start + LOOK_EVERY * looks, 0).is_none() {
                break;
            }
        }
        assert!(lateness.look_again(start + LOOK_EVERY, start + LOOK_EVERY, 0).is_some());
    }

    // On the machine's time: the deadlines themselves are what is tested.
    #[tokio::test]
    async fn a_deadline_passes_when_it_was_last_moved_to() {
        const TENTH: Duration = Duration::from_millis(100);
        let start = Instant::now();
        let mut deadline = pin!(Deadline::new(start + TENTH));
        deadline.as_mut().move_to(start + 3 * TENTH);
        poll_fn(|context| deadline.as_mut().poll_passed(context, 0)).await;
        assert!(start.elapsed() >= 3 * TENTH, "later than the timer was first set for");
        deadline.as_mut().move_to(start + 600 * TENTH);
        deadline.as_mut().move_to(start + 4 * TENTH);
        poll_fn(|context| deadline.as_mut().poll_passed(context, 0)).await;
        let elapsed = start.elapsed();
        assert!(elapsed >= 4 * TENTH && elapsed < 600 * TENTH, "earlier than the timer was set for");
    }

    #[tokio::test]
    async fn work_that_is_done_at_a_look_is_in_time_and_work_that_never_is_ends() {
        let passed = Instant::now();
        for polls in 1..=3 {
            let mut left = polls;
            let work = poll_fn(|_| {
                left -= 1;
                if left == 0 { Poll::Ready("done") } else { Poll::Pending }
            });
            assert_eq!(within(passed, work).await, Ok("done"), "{polls}");
        }
        assert_eq!(within(passed, std::future::pending::<()>()).await, Err(Late));
    }
}
