//! Logs, the access log, tasks, and every metric's name and unit in one file.
//!
//! Nothing in here decides anything: stages are handed what they count with ([`SourceMetrics`],
//! [`DestinationMetrics`], …) when the configuration is loaded, so that the hot path is one atomic add.
//!
//! - No secret, no id and no raw path ever becomes a metric's label: labels come from the configuration.
//! - A slow reader of a log never makes a request wait: what does not fit is dropped and counted.

pub mod handles;
pub mod histogram;
pub mod metrics;
pub mod process;
pub mod task;

pub use handles::{
    BreakerState, DestinationMetrics, GatewayMetrics, IngressMetrics, LaneGauges, RetentionMetrics, SourceMetrics,
    StoreMetrics,
};
pub use histogram::Histogram;
pub use metrics::Metrics;
