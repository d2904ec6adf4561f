//! The replay window: a signed time must be near the machine's wall clock, in the past and in the future;
//! 401 otherwise.
//!
//! The signature guard before it leaves the time in [`Facts::signed_at`]; a request without one (a scheme
//! that signs no time) passes. The edges belong to the window. Inside the window, a copy is told by dedup.
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, body::Body, extract::Request, routing::post};
//! use hookward::domain::{Clock, Facts};
//! use hookward::guard::{ReplayWindow, ReplayWindowLayer, replay_window};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let clock = Clock::machine();
//! let guard = ReplayWindow::new(replay_window::Config::default(), clock.clone());
//! let app = Router::new().route("/", post(|| async { "OK" })).layer(ReplayWindowLayer::new(guard));
//!
//! let signed_before = |age: Duration| {
//!     let facts = Facts { signed_at: Some(clock.wall().minus(age)), ..Facts::default() };
//!     Request::post("/").extension(facts).body(Body::empty())
//! };
//! assert_eq!(app.clone().oneshot(signed_before(Duration::from_secs(290))?).await?.status(), 200);
//! assert_eq!(app.oneshot(signed_before(Duration::from_secs(310))?).await?.status(), 401);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::time::Duration;

use super::layer::{Guard, GuardLayer, Head};
use super::signature::TOLERANCE_DEFAULT;
use crate::domain::{Clock, Facts, Reason, Rejection};

/// The replay window as a tower layer.
pub type ReplayWindowLayer = GuardLayer<ReplayWindow>;

/// `sources.*.verify.tolerance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How far the signed time may be from now, both ways.
    pub tolerance: Duration,
}

/// The guard.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    tolerance: Duration,
    clock: Clock,
}

// === impl Config ===

impl Default for Config {
    /// 300 s.
    fn default() -> Self {
        Self { tolerance: TOLERANCE_DEFAULT }
    }
}

// === impl ReplayWindow ===

impl ReplayWindow {
    /// The guard by this clock's wall time.
    #[must_use]
    pub fn new(config: Config, clock: Clock) -> Self {
        Self { tolerance: config.tolerance, clock }
    }
}

impl<B> Guard<B> for ReplayWindow {
    fn check(&self, _head: Head<'_>, _body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        let Some(signed_at) = facts.signed_at else { return Ok(()) };
        let now = self.clock.wall();
        let (age, lead) = (now.since(signed_at), signed_at.since(now));
        let (reason, off, side) = if age > self.tolerance {
            (Reason::TimestampTooOld, age, "old")
        } else if lead > self.tolerance {
            (Reason::TimestampInFuture, lead, "ahead")
        } else {
            return Ok(());
        };
        let detail =
            format!("signed at {signed_at}, {} s {side}; {} s are tolerated", off.as_secs(), self.tolerance.as_secs());
        Err(Rejection::new(reason, detail))
    }

    fn name(&self) -> &'static str {
        "replay_window"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    #[track_caller]
    fn check(signed_at: Option<u64>, expected: Result<(), Reason>) {
        let guard = ReplayWindow::new(Config::default(), Clock::manual(NOW));
        let mut facts = Facts { signed_at: signed_at.map(Timestamp), ..Facts::default() };
        let request = http::Request::new(());
        let answer = guard.check(Head::of(&request), &(), &mut facts);
        assert_eq!(answer.map_err(|rejection| rejection.reason), expected, "{signed_at:?}");
    }

    #[test]
    fn the_window_is_closed_on_both_sides() {
        check(None, Ok(()));
        check(Some(NOW.0), Ok(()));
        check(Some(NOW.0 - 300_000), Ok(()));
        check(Some(NOW.0 - 300_001), Err(Reason::TimestampTooOld));
        check(Some(NOW.0 + 300_000), Ok(()));
        check(Some(NOW.0 + 300_001), Err(Reason::TimestampInFuture));
        check(Some(0), Err(Reason::TimestampTooOld));
        check(Some(u64::MAX), Err(Reason::TimestampInFuture));
    }
}
