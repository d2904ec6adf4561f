//! The clock of the open loop: random moments of a fixed mean rate, and a timer that wakes for each of them.
//!
//! The timer is a timerfd with an absolute time, in nanoseconds, in the same epoll as the sockets. A wake-up takes the
//! kernel some microseconds that differ from one to the next, so the timer is set to ring [`LEAD_NANOS`] early and the
//! rest is spent polling the sockets. How late each arrival was all the same is kept and reported.

use hdrhistogram::Histogram;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// How long before an arrival the timer rings. Longer spins take a core from what is measured.
const LEAD_NANOS: u64 = 30_000;

/// What the timer is called in the epoll.
pub(crate) const TIMER: u64 = u64::MAX;

/// Arrivals of a Poisson process.
pub(crate) struct Pacer {
    timer: OwnedFd,
    /// The moment that the timer is set to.
    set_to: u64,
    random: fastrand::Rng,
    mean_gap_nanos: f64,
    /// When the next arrival is due; the fraction keeps the mean exact.
    due: f64,
    late: Histogram<u64>,
}

impl Pacer {
    /// Arrivals at `rate` a second from `start` on; the same for the same `seed`. Its timer rings in `poll`.
    pub(crate) fn new(poll: &OwnedFd, rate: u64, seed: u64, start: u64) -> Self {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .expect("a timerfd");
        // Edge-triggered: setting the timer again takes the ring back, so it need not be read.
        epoll::add(poll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN | epoll::EventFlags::ET)
            .expect("the timer in the epoll");
        let mut pacer = Self {
            timer,
            set_to: 0,
            random: fastrand::Rng::with_seed(seed),
            mean_gap_nanos: 1e9 / rate as f64,
            due: start as f64,
            late: histogram(),
        };
        pacer.advance();
        pacer
    }

    /// When the next arrival is due, in nanoseconds of the monotonic clock.
    pub(crate) fn due(&self) -> u64 {
        self.due as u64
    }

    /// Goes on to the arrival after this one.
    pub(crate) fn advance(&mut self) {
        self.due -= (1.0 - self.random.f64()).ln() * self.mean_gap_nanos;
    }

    /// Keeps how late an arrival was noticed.
    pub(crate) fn record_late(&mut self, nanos: u64) {
        self.late.saturating_record(nanos.max(1));
    }

    /// Lateness of the arrivals so far, in nanoseconds.
    pub(crate) fn late(&self) -> &Histogram<u64> {
        &self.late
    }

    /// Whether there is time to sleep before the next arrival; the timer is set then.
    pub(crate) fn sleeps(&mut self, now: u64) -> bool {
        let ring = self.due().saturating_sub(LEAD_NANOS);
        if ring <= now {
            return false;
        }
        if ring != self.set_to {
            self.set_to = ring;
            let at = |nanos: u64| Timespec {
                tv_sec: i64::try_from(nanos / 1_000_000_000).expect("a moment of this machine"),
                tv_nsec: i64::try_from(nanos % 1_000_000_000).expect("less than a second"),
            };
            let once = Itimerspec { it_interval: at(0), it_value: at(ring) };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once).expect("the timer set");
        }
        true
    }
}

/// For nanoseconds up to a minute, in steps of 0.1 %.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds of a histogram")
}
