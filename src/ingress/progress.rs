//! How far a connection has come, shared by the three parts that live in its task: the socket that sees the
//! bytes, the service that sees the requests, and the driver that holds the one timer.
//!
//! All three run in the same task, so that plain relaxed loads and stores are enough.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::Config;
use super::drain::{Drain, Stage};
use crate::domain::Rejection;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For its first byte.
    Fresh,
    /// For the rest of a head.
    Head,
    /// For the answer to a request: for its body or for the service.
    Serving,
    /// For the first byte of the next request.
    Idle,
}

/// What the driver has to do when a deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Answer 408 and close: the head did not come in time.
    Head,
    /// Let the request in flight end with 408 or 503.
    Request,
    /// Close without a word: nothing was asked, or the sender does not read.
    Quiet,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Progress {
    accepted: Instant,
    phase: AtomicU8,
    /// When the phase began, but for a head: from when its deadline counts.
    since: AtomicU64,
    /// When the first byte of the request was here.
    began: AtomicU64,
    write_blocked_since: AtomicU64,
    expired: AtomicBool,
    /// The answer that is under way has no end of its own.
    endless: AtomicBool,
    /// It speaks HTTP/2.
    speaks_http2: AtomicBool,
    requests: AtomicU64,
    reads: AtomicU64,
    wire: Wire,
}

/// What the bytes on the wire said, as far as they have been read.
#[derive(Debug)]
struct Wire {
    heads: AtomicU64,
    bodies: AtomicU64,
    in_head: AtomicBool,
    bad_head: AtomicU64,
    bad: OnceLock<Rejection>,
}

/// No time: the socket takes what is written to it.
const NEVER: u64 = u64::MAX;

/// An idle connection stays open this long after the gateway began to drain, so that a busy sender's next
/// request does not cross our close.
pub(super) const DRAIN_QUIET: Duration = Duration::from_secs(1);

/// No connection lives longer, whatever is sent over it: 30 days.
const ENDLESS: Duration = Duration::from_secs(30 * 24 * 3600);

// === impl Progress ===

impl Progress {
    /// A connection that was accepted then.
    pub(super) fn new(accepted: Instant) -> Self {
        Self {
            accepted,
            phase: AtomicU8::new(Phase::Fresh as u8),
            since: AtomicU64::new(0),
            began: AtomicU64::new(0),
            write_blocked_since: AtomicU64::new(NEVER),
            expired: AtomicBool::new(false),
            endless: AtomicBool::new(false),
            speaks_http2: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            wire: Wire {
                heads: AtomicU64::new(0),
                bodies: AtomicU64::new(0),
                in_head: AtomicBool::new(false),
                bad_head: AtomicU64::new(NEVER),
                bad: OnceLock::new(),
            },
        }
    }

    /// When the connection was accepted.
    pub(super) fn accepted(&self) -> Instant {
        self.accepted
    }

    /// What it waits for.
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Fresh,
            1 => Phase::Head,
            2 => Phase::Serving,
            _ => Phase::Idle,
        }
    }

    /// Bytes came in: where a request was awaited, its head has begun.
    pub(super) fn bytes_read(&self) {
        self.reads.store(self.reads() + 1, Relaxed);
        match self.phase() {
            // The time before the first byte counts against the head: `since` stays the time of the accept.
            Phase::Fresh => {
                self.began.store(self.now(), Relaxed);
                self.phase.store(Phase::Head as u8, Relaxed);
            }
            Phase::Idle => self.begin(Phase::Head),
            Phase::Head | Phase::Serving => {}
        }
    }

    /// How often bytes came in.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    /// What the scanner has counted: complete heads, complete requests, whether it stands inside a head.
    pub(super) fn scanned(&self, heads: u64, bodies: u64, in_head: bool) {
        self.wire.heads.store(heads, Relaxed);
        self.wire.bodies.store(bodies, Relaxed);
        self.wire.in_head.store(in_head, Relaxed);
    }

    /// The head with this number, from 0, must be refused; the first such finding stands.
    pub(super) fn bad_head(&self, number: u64, rejection: Rejection) {
        if self.wire.bad.set(rejection).is_ok() {
            self.wire.bad_head.store(number, Relaxed);
        }
    }

    /// Why the request with this number must be refused, where the bytes on the wire demand it.
    pub(super) fn refusal_of(&self, number: u64) -> Option<&Rejection> {
        if self.wire.bad_head.load(Relaxed) <= number { self.wire.bad.get() } else { None }
    }

    /// Whether the request with this number has come whole.
    pub(super) fn is_whole(&self, number: u64) -> bool {
        self.wire.bodies.load(Relaxed) > number
    }

    /// Requests that went to the service so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// When the first byte of the request was here; the connection's own time where none has come.
    pub(super) fn began(&self) -> Instant {
        self.at(self.began.load(Relaxed))
    }

    /// A head is complete and its request goes to the service; its number, from 0, and when its first byte came.
    pub(super) fn request_begins(&self) -> (u64, Instant) {
        let number = self.requests.load(Relaxed);
        self.requests.store(number + 1, Relaxed);
        match self.phase() {
            Phase::Head => self.phase.store(Phase::Serving as u8, Relaxed),
            // Pipelined: its bytes came while the request before it was served.
            Phase::Fresh | Phase::Idle | Phase::Serving => self.begin(Phase::Serving),
        }
        (number, self.began())
    }

    /// The answer to the request in flight has no end of its own: only whoever reads it too slowly is cut off.
    pub(super) fn answer_is_endless(&self) {
        self.endless.store(true, Relaxed);
    }

    /// The service has answered the request with this number.
    pub(super) fn request_ends(&self, number: u64) {
        self.expired.store(false, Relaxed);
        self.endless.store(false, Relaxed);
        let next_begun = self.wire.heads.load(Relaxed) > number + 1 || self.wire.in_head.load(Relaxed);
        if next_begun {
            self.begin(Phase::Head);
        } else {
            self.enter(Phase::Idle, self.now());
        }
    }

    /// The socket takes no more bytes, or takes them again.
    pub(super) fn write_blocked(&self, blocked: bool) {
        if !blocked {
            self.write_blocked_since.store(NEVER, Relaxed);
        } else if self.write_blocked_since.load(Relaxed) == NEVER {
            self.write_blocked_since.store(self.now(), Relaxed);
        }
    }

    /// Whether an answer is stuck in front of a sender that does not read.
    pub(super) fn is_write_blocked(&self) -> bool {
        self.write_blocked_since.load(Relaxed) != NEVER
    }

    /// Asks the request in flight to end.
    pub(super) fn expire(&self) {
        self.expired.store(true, Relaxed);
    }

    /// Whether the request in flight was asked to end.
    pub(super) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    /// The first bytes were the preface of HTTP/2.
    pub(super) fn speaks_http2(&self) {
        self.speaks_http2.store(true, Relaxed);
    }

    /// Whether the connection must be driven as one of HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.speaks_http2.load(Relaxed)
    }

    /// The next deadline and what follows when it passes.
    pub(super) fn deadline(&self, limits: &Config, drain: &Drain) -> (Instant, Overdue) {
        let phase = self.phase();
        let blocked = self.write_blocked_since.load(Relaxed);
        if blocked != NEVER {
            return (self.at(blocked) + limits.request_timeout, Overdue::Quiet);
        }
        let since = self.at(self.since.load(Relaxed));
        let (deadline, overdue) = match phase {
            Phase::Serving if self.endless.load(Relaxed) => (self.accepted + ENDLESS, Overdue::Quiet),
            Phase::Serving => (self.began() + limits.request_timeout, Overdue::Request),
            Phase::Fresh | Phase::Head => (since + limits.header_timeout, Overdue::Head),
            Phase::Idle => (since + limits.idle_timeout, Overdue::Quiet),
        };
        let is_waiting = matches!(phase, Phase::Fresh | Phase::Idle);
        match (drain.stage(), drain.began()) {
            (Stage::Draining, Some(began)) if is_waiting => {
                (deadline.min(since.max(began) + DRAIN_QUIET), Overdue::Quiet)
            }
            (Stage::Cut, _) if phase != Phase::Serving => (since, Overdue::Quiet),
            (Stage::Cut, _) => (since, Overdue::Request),
            _ => (deadline, overdue),
        }
    }

    /// A request begins here and now.
    fn begin(&self, phase: Phase) {
        let now = self.now();
        self.began.store(now, Relaxed);
        self.enter(phase, now);
    }

    fn enter(&self, phase: Phase, now: u64) {
        self.since.store(now, Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    fn at(&self, millis: u64) -> Instant {
        self.accepted + Duration::from_millis(millis)
    }
}
