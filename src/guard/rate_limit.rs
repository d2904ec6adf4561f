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
//! is keyed at random: nobody can aim at a neighbour's place.

use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderName;

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

/// The clients that one limit remembers unless told otherwise: 65,536, 1.5 MiB when all are there.
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
