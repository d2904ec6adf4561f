//! A histogram of two atomic adds, without a lock: the hot path of every event passes several.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Counts observations in fixed buckets; clones share the counts.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Upper bounds, ascending, in the raw unit; above the last lies the bucket of everything else.
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// Raw units in one unit that is shown: a million microseconds in a second.
    raw_per_shown: f64,
}

/// Bounds of what happens inside the gateway or in one request, in microseconds: 100 µs to 30 s.
pub const REQUEST_MICROS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// Bounds of what may last as long as a retry schedule, in microseconds: 1 ms to 2 days.
pub const SCHEDULE_MICROS: &[u64] = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
    172_800_000_000,
];

/// Bounds of how many events share a commit.
pub const BATCH_EVENTS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096];

/// Bounds of how many bytes share a commit.
pub const BATCH_BYTES: &[u64] =
    &[1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28];

// === impl Histogram ===

impl Histogram {
    /// A histogram of durations: `bounds` in microseconds, shown in seconds.
    #[must_use]
    pub fn of_durations(bounds: &'static [u64]) -> Self {
        Self::new(bounds, 1e6)
    }

    /// A histogram of numbers, shown as they are.
    #[must_use]
    pub fn of_numbers(bounds: &'static [u64]) -> Self {
        Self::new(bounds, 1.0)
    }

    fn new(bounds: &'static [u64], raw_per_shown: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { bounds, counts, sum: AtomicU64::new(0), raw_per_shown }))
    }

    /// Counts a duration, to the microsecond.
    pub fn observe(&self, duration: Duration) {
        self.observe_number(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts a number in the raw unit.
    pub fn observe_number(&self, value: u64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
            self.0.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// The mean of what was observed, as it is shown; `None` before the first observation.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let sum = self.0.sum.load(Ordering::Relaxed) as f64 / self.0.raw_per_shown;
        Some(self.count()).filter(|count| *count > 0).map(|count| sum / count as f64)
    }

    /// How many observations were made.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = self.0.bounds.iter().map(|bound| *bound as f64 / self.0.raw_per_shown).chain([f64::INFINITY]);
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.0.sum.load(Ordering::Relaxed) as f64 / self.0.raw_per_shown;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
