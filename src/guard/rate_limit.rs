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
//! Several gateways can keep a limit together ([`RateLimit::together`], [`TogetherLayer`]).
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
mod together;

use std::hash::Hasher;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use http::HeaderName;
use siphasher::sip::SipHasher13;

use self::table::Table;
pub use self::together::{Counter, Taking, TogetherLayer};
use super::layer::{Guard, GuardLayer, Head};
use crate::domain::{Clock, Facts, Reason, Rejection, Turn};

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
    together: Option<Together>,
}

/// What a limit needs that several gateways keep together.
struct Together {
    counter: Arc<dyn Counter>,
    /// What the limit is called where it is counted.
    name: Arc<str>,
    interval: Duration,
    burst: u32,
    /// Until when clients are refused that were refused.
    refused: Table,
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

    /// The time between two requests at the steady rate.
    fn interval(&self) -> Duration {
        const NANOSECOND: Duration = Duration::from_nanos(1);
        (self.per.min(PER_MAX) / self.requests.get()).max(NANOSECOND)
    }
}

// === impl RateLimit ===

impl RateLimit {
    /// The guard with an empty table.
    #[must_use]
    pub fn new(config: &Config, clock: Clock) -> Self {
        let interval = config.interval();
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
            together: None,
        }
    }

    /// The same, kept together with other gateways: counted by `counter` under this `name`. All of them must have the same
    /// `hash_key`. A [`TogetherLayer`] asks it; as a guard it counts for this gateway alone.
    #[must_use]
    pub fn together(self, config: &Config, name: Arc<str>, hash_key: [u8; 16], counter: Arc<dyn Counter>) -> Self {
        const MICROSECOND: Duration = Duration::from_micros(1);
        let interval = config.interval().max(MICROSECOND);
        let keys_max = if config.by == By::Source { 1 } else { config.keys_max };
        let together = Together {
            counter,
            name,
            interval,
            burst: bounded(config.burst, interval).get(),
            refused: Table::new(keys_max),
        };
        Self { hasher: SipHasher13::new_with_key(&hash_key), together: Some(together), ..self }
    }

    /// Whether several gateways keep it together.
    #[must_use]
    pub fn is_kept_together(&self) -> bool {
        self.together.is_some()
    }

    /// Refuses whoever was refused before and whose time has not come yet.
    fn refused_before(&self, key: u64) -> Option<Rejection> {
        let now = governor::clock::Clock::now(&self.clock);
        let look = |until: Option<Nanos>| Err::<((), Nanos), _>(until.filter(|until| *until > now));
        let until = self.together.as_ref()?.refused.measure_and_replace(&key, look).err()??;
        Some(self.refusal(Duration::from_nanos(u64::from(until) - u64::from(now))))
    }

    /// Takes a turn where all gateways count, or here where nobody can tell.
    async fn take(&self, key: u64) -> Result<(), Rejection> {
        let Some(together) = &self.together else { return self.count(key) };
        let (limit, interval, burst) = (Arc::clone(&together.name), together.interval, together.burst);
        match together.counter.take(Turn { limit, client: key, interval, burst }).await {
            Some(Duration::ZERO) => Ok(()),
            Some(wait) => {
                let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                let until = u64::from(governor::clock::Clock::now(&self.clock)).saturating_add(nanos);
                let note = |_| Ok::<_, ()>(((), Nanos::from(until)));
                together.refused.measure_and_replace(&key, note).unwrap_or(());
                Err(self.refusal(wait))
            }
            None => self.count(key),
        }
    }

    /// Takes a turn of this gateway's own.
    fn count(&self, key: u64) -> Result<(), Rejection> {
        self.limiter
            .check_key(&key)
            .map_err(|until| self.refusal(until.wait_time_from(governor::clock::Clock::now(&self.clock))))
    }

    fn refusal(&self, wait: Duration) -> Rejection {
        let what = match &self.by {
            By::Ip => "the client's address".into(),
            By::Source => "the source".into(),
            By::Header(name) => format!("this value of {name}"),
        };
        Rejection::new(Reason::RateLimited, format!("{what} sends too fast")).retry_after(wait)
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
        self.count(self.key(head, facts))
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

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "rate_limit/tests.rs"]
mod tests;
