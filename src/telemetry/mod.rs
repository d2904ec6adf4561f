//! Logs, and every metric's name and unit in one file.

pub mod metrics;
