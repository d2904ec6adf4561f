//! Logs, the access log, tasks, and every metric's name and unit in one file.
//!
//! Nothing in here decides anything: stages are handed what they count with ([`SourceMetrics`],
//! [`DestinationMetrics`], …) when the configuration is loaded, so that the hot path is one atomic add.
//!
//! - No secret, no id and no raw path ever becomes a metric's label: labels come from the configuration.
//! - A slow reader of a log never makes a request wait: what does not fit is dropped and counted.
//! - Whatever a sender writes, no entry of a log can be forged and no terminal driven.
//!
//! Reading order: [`metrics`] (the catalogue) and [`handles`] with [`counters`] (who counts what), [`logging`] and
//! [`access`] over [`lines`], [`trace`] (what ties lines together), [`readiness`], [`task`], [`cores`] with [`home`],
//! [`tail`] (what happens, for those who look on).

pub mod access;
pub mod cores;
pub mod counters;
pub mod escape;
pub mod handles;
pub mod histogram;
pub mod home;
pub mod lines;
pub mod logging;
pub mod metrics;
pub mod process;
pub mod readiness;
pub mod tail;
pub mod task;
pub mod trace;

pub use access::{AccessLine, AccessLog};
pub use cores::Cores;
pub use counters::{ByReason, Protocol, Protocols};
pub use handles::{
    BreakerState, DestinationMetrics, FeedMetrics, GatewayMetrics, IngressMetrics, LaneGauges, Responses,
    RetentionMetrics, SourceMetrics, StoreMetrics,
};
pub use histogram::Histogram;
pub use home::Home;
pub use lines::LinesWriter;
pub use metrics::Metrics;
pub use readiness::Readiness;
pub use tail::Tail;
pub use trace::{RequestId, TraceId};
