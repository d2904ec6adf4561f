//! Stage 4: which delivery is due: lanes per destination, retry, breaker.

pub mod attempts;
pub mod destination;

pub use attempts::Attempts;
pub use destination::{BreakerSettings, Destination, RateLimit};
