//! The rate limit: so many requests of one client in a span of time, and no more; 429 with `Retry-After`.
//!
//! GCRA (a leaky bucket without a timer): `requests` in `per` as a steady rate, and `burst` at once after a
//! rest. What counts as one client is settable ([`By`]): the address (an IPv6 client is its /64, because it
//! owns all of it), the whole source, or a header's value. Limits by source or header stand after the
//! signature, so that strangers cannot exhaust them.
//!
//! The table has a fixed number of places (`keys_max`) and never grows. When a new key finds its set of
//! eight places full, the one that is closest to idle is forgotten: that client starts with a fresh burst.
//! So under an explosion of keys the limit gets milder for some, and memory does not move. Where keys land
//! is keyed at random: nobody can aim at a neighbour's place. Time is counted in milliseconds.
//!
//! ```
//! use std::net::IpAddr;
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//! use axum::{Router, body::Body, extract::Request, routing::post};
//! use hookward::domain::{Clock, Facts};
//! use hookward::guard::{RateLimit, RateLimitLayer, rate_limit};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let twice_a_minute = rate_limit::Config::new(NonZeroU32::MIN.saturating_add(1), Duration::from_secs(60), rate_limit::By::Ip);
//! let guard = RateLimit::new(&twice_a_minute, Clock::machine());
//! let app = Router::new().route("/", post(|| async { "OK" })).layer(RateLimitLayer::new(guard));
//!
//! let from = |address: [u8; 4]| {
//!     let facts = Facts { client: Some(IpAddr::from(address)), ..Facts::default() };
//!     Request::post("/").extension(facts).body(Body::empty())
//! };
//! assert_eq!(app.clone().oneshot(from([192, 0, 2, 1])?).await?.status(), 200);
//! assert_eq!(app.clone().oneshot(from([192, 0, 2, 1])?).await?.status(), 200);
//! let third = app.clone().oneshot(from([192, 0, 2, 1])?).await?;
//! assert_eq!((third.status().as_u16(), third.headers()["retry-after"].to_str()?), (429, "30"));
//! assert_eq!(app.oneshot(from([192, 0, 2, 2])?).await?.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod table;

use std::hash::Hasher;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use http::HeaderName;
use siphasher::sip::SipHasher13;

use self::table::Table;
use super::layer::{Guard, GuardLayer, Head};
use crate::domain::{Clock, Facts, Reason, Rejection};

/// The rate limit as a tower layer.
pub type RateLimitLayer = GuardLayer<RateLimit>;

/// `sources.*.rate_limit`, one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// As many requests as this …
    pub requests: NonZeroU32,
    /// … in this time, as a steady rate; above zero, at most [`PER_MAX`].
    pub per: Duration,
    /// As many at once after a rest; the configuration's default is `requests`.
    pub burst: NonZeroU32,
    /// What counts as one client.
    pub by: By,
    /// The most clients that are remembered at once, rounded up to a multiple of eight; see
    /// [`KEYS_MAX_DEFAULT`].
    pub keys_max: usize,
}

/// What counts as one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The client's address; IPv6 by /64.
    Ip,
    /// Everybody who sends to the source together.
    Source,
    /// The value of a header; requests without it count together.
    Header(HeaderName),
}

/// The guard.
#[derive(Debug)]
pub struct RateLimit {
    by: By,
    limiter: RateLimiter<u64, Table, Ticks, NoOpMiddleware<Nanos>>,
    clock: Ticks,
    hasher: SipHasher13,
}

/// The clock as the bucket reads it.
#[derive(Clone, Debug)]
struct Ticks(Clock);

/// The clients that one limit remembers unless told otherwise: 65,536, 1 MiB when all are there.
pub const KEYS_MAX_DEFAULT: usize = 65_536;

/// The longest span of a limit: a day.
pub const PER_MAX: Duration = Duration::from_secs(86_400);

// === impl Config ===

impl Config {
    /// `requests` in `per`, all of them at once if they like.
    #[must_use]
    pub fn new(requests: NonZeroU32, per: Duration, by: By) -> Self {
        Self { requests, per, burst: requests, by, keys_max: KEYS_MAX_DEFAULT }
    }
}

// === impl RateLimit ===

impl RateLimit {
    /// The guard with an empty table.
    #[must_use]
    pub fn new(config: &Config, clock: Clock) -> Self {
        const NANOSECOND: Duration = Duration::from_nanos(1);
        let interval = (config.per.min(PER_MAX) / config.requests.get()).max(NANOSECOND);
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(config.requests));
        let keys_max = if config.by == By::Source { 1 } else { config.keys_max };
        let clock = Ticks(clock);
        Self {
            by: config.by.clone(),
            limiter: RateLimiter::new(
                quota.allow_burst(bounded(config.burst, interval)),
                Table::new(keys_max),
                clock.clone(),
            ),
            clock,
            hasher: SipHasher13::new_with_keys(fastrand::u64(..), fastrand::u64(..)),
        }
    }

    /// What the request counts under.
    fn key(&self, head: Head<'_>, facts: &Facts) -> u64 {
        let mut hasher = self.hasher;
        match &self.by {
            By::Ip => match facts.client.map(|client| client.to_canonical()) {
                Some(IpAddr::V4(client)) => hasher.write(&client.octets()),
                Some(IpAddr::V6(client)) => hasher.write(&(client.to_bits() >> 64).to_be_bytes()),
                None => {}
            },
            By::Source => {}
            By::Header(name) => head.headers.get_all(name).iter().for_each(|value| {
                hasher.write(value.as_bytes());
                hasher.write_u8(0);
            }),
        }
        hasher.finish()
    }
}

impl<B> Guard<B> for RateLimit {
    fn check(&self, head: Head<'_>, _body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        self.limiter.check_key(&self.key(head, facts)).map_err(|until| {
            let wait = until.wait_time_from(governor::clock::Clock::now(&self.clock));
            let what = match &self.by {
                By::Ip => "the client's address".into(),
                By::Source => "the source".into(),
                By::Header(name) => format!("this value of {name}"),
            };
            Rejection::new(Reason::RateLimited, format!("{what} sends too fast")).retry_after(wait)
        })
    }

    fn name(&self) -> &'static str {
        "rate_limit"
    }
}

/// The burst, bounded so that nobody counts further than 30 years ahead.
fn bounded(burst: NonZeroU32, interval: Duration) -> NonZeroU32 {
    const NANOSECONDS_MAX: u128 = 1_000_000_000_000_000_000;
    let burst_max = u32::try_from(NANOSECONDS_MAX / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
    NonZeroU32::new(burst_max).map_or(NonZeroU32::MIN, |burst_max| burst.min(burst_max))
}

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.now().0.saturating_mul(1_000_000))
    }
}

#[cfg(test)]
#[path = "rate_limit/tests.rs"]
mod tests;
