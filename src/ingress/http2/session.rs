//! How far an HTTP/2 connection has come, shared by its socket, its streams and the task that watches over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::limits::GOODBYE;
use crate::domain::{Reason, Rejection};
use crate::ingress::Config;
use crate::ingress::line::Asked;
use crate::ingress::service::{Arrival, Shared};

/// The state of one connection. Its times are milliseconds since it was accepted.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    accepted: Instant,
    requests: AtomicU64,
    reads: AtomicU64,
    active: AtomicU64,
    idle_since: AtomicU64,
    block_since: AtomicU64,
    write_blocked_since: AtomicU64,
    closing_since: AtomicU64,
    flooded: AtomicBool,
}

/// What follows when a deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Say goodbye (GOAWAY), and let what is in flight finish.
    Goodbye,
    /// Close.
    Close,
}

/// A stream that is in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Session>);

const NEVER: u64 = u64::MAX;

// === impl Session ===

impl Session {
    /// A connection that nothing is known of.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            accepted: shared.progress.accepted(),
            shared,
            requests: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            active: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            block_since: AtomicU64::new(NEVER),
            write_blocked_since: AtomicU64::new(NEVER),
            closing_since: AtomicU64::new(NEVER),
            flooded: AtomicBool::new(false),
        }
    }

    /// Bytes came in.
    pub(super) fn bytes_read(&self) {
        self.reads.fetch_add(1, Relaxed);
    }

    /// How often bytes came in.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    /// A request has come.
    pub(super) fn request_begins(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// A stream is in flight for as long as what this gives lives.
    pub(super) fn stream_begins(self: &Arc<Self>) -> InFlight {
        self.active.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// The fields of a request are on their way, or are not.
    pub(super) fn in_field_block(&self, open: bool) {
        set(&self.block_since, open, || self.now());
    }

    /// The socket takes no more bytes, or takes them again.
    pub(super) fn write_blocked(&self, blocked: bool) {
        set(&self.write_blocked_since, blocked, || self.now());
    }

    /// It was told to end.
    pub(super) fn closes(&self) {
        set(&self.closing_since, true, || self.now());
    }

    /// It sends what is no use to anybody.
    pub(super) fn floods(&self) {
        if !self.flooded.swap(true, Relaxed) {
            self.shared.metrics.http2_violations.count("flood");
            tracing::debug!(peer = %self.shared.peer, "connection closed: too many HTTP/2 frames that bring no work");
        }
    }

    /// We have sent a RST_STREAM or GOAWAY with this code: keeps what the sender did to deserve it, where it did.
    pub(super) fn sent_error(&self, code: u32, of_connection: bool) {
        // RFC 9113 section 7: PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR,
        // ENHANCE_YOUR_CALM. The others (NO_ERROR, CANCEL, REFUSED_STREAM, …) are no complaint.
        let word = match code {
            1 => "PROTOCOL_ERROR",
            3 => "FLOW_CONTROL_ERROR",
            5 if of_connection => "STREAM_CLOSED",
            6 => "FRAME_SIZE_ERROR",
            9 => "COMPRESSION_ERROR",
            11 => "ENHANCE_YOUR_CALM",
            _ => return,
        };
        let violation = match (code, of_connection) {
            (11, _) => "flood",
            (_, true) => "connection_error",
            (_, false) => "stream_error",
        };
        self.shared.metrics.http2_violations.count(violation);
        let what = if of_connection { "connection" } else { "stream" };
        self.keep(Rejection::new(Reason::MalformedRequest, format!("HTTP/2 {what} error {word}")));
    }

    /// h2 has answered 431 by itself.
    pub(super) fn refused_header_list(&self) {
        self.shared.metrics.responses.count(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        self.keep(Rejection::new(Reason::HeadersTooLarge, "header list above twice headers_bytes_max"));
    }

    /// Notes what was answered already, by a frame.
    fn keep(&self, rejection: Rejection) {
        let Shared { peer, ledger, .. } = &*self.shared;
        let arrival = Arrival { peer: *peer, scheme: self.shared.scheme(), began: Instant::now() };
        let asked = Asked { version: Some(http::Version::HTTP_2), ..Asked::default() };
        drop(ledger.refuse_head(rejection, asked, peer.ip().to_canonical(), arrival));
    }

    /// The next deadline and what follows when it passes.
    pub(super) fn deadline(&self, limits: &Config) -> (Instant, Due) {
        let (blocked, block) = (self.write_blocked_since.load(Relaxed), self.block_since.load(Relaxed));
        let (closing, idle) = (self.closing_since.load(Relaxed), self.idle_since.load(Relaxed));
        let is_idle = self.active.load(Relaxed) == 0;
        let mut next = (self.at(self.now()) + limits.request_timeout, None);
        let mut at_most = |deadline: Instant, due: Due| {
            if deadline < next.0 {
                next = (deadline, Some(due));
            }
        };
        if blocked != NEVER {
            at_most(self.at(blocked) + limits.request_timeout, Due::Close);
        }
        if closing != NEVER && is_idle {
            at_most(self.at(closing.max(idle)) + GOODBYE, Due::Close);
        } else if closing == NEVER && is_idle && self.requests.load(Relaxed) == 0 {
            // Also before the preface: a connection that never asks for anything is closed as one of HTTP/1.1 is.
            at_most(self.accepted + limits.header_timeout, Due::Goodbye);
        } else if closing == NEVER && is_idle {
            at_most(self.at(idle) + limits.idle_timeout, Due::Goodbye);
        }
        // After the goodbye, where both are due at once.
        if block != NEVER {
            at_most(self.at(block) + limits.header_timeout, Due::Close);
        }
        match next {
            (deadline, Some(due)) => (deadline, due),
            // Nothing is due; looked at again then, and never reached before.
            (look_again, None) => (look_again, Due::Close),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    fn at(&self, millis: u64) -> Instant {
        self.accepted + Duration::from_millis(millis)
    }
}

/// Since when something is so; never where it is not.
fn set(since: &AtomicU64, is_so: bool, now: impl FnOnce() -> u64) {
    if !is_so {
        since.store(NEVER, Relaxed);
    } else if since.load(Relaxed) == NEVER {
        since.store(now(), Relaxed);
    }
}

// === impl InFlight ===

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Relaxed);
        self.0.active.fetch_sub(1, Relaxed);
    }
}
