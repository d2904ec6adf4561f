//! The memory that all bodies share while they are held.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use prometheus_client::metrics::gauge::Gauge;

/// A bound in bytes over the bodies of all requests; clones share it.
#[derive(Clone, Debug)]
pub struct BodyBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The metric is the count itself: it costs nothing and cannot differ.
    used: Gauge,
    max: AtomicUsize,
}

/// A part of the budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: BodyBudget,
    bytes: usize,
}

// === impl BodyBudget ===

impl BodyBudget {
    /// At most `bytes_max` bytes of bodies at a time.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self::shown_by(bytes_max, Gauge::default())
    }

    /// The same, with what is held shown by `used`, in bytes; nothing else may set that gauge.
    #[must_use]
    pub fn shown_by(bytes_max: usize, used: Gauge) -> Self {
        Self(Arc::new(Inner { used, max: AtomicUsize::new(bytes_max) }))
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn used(&self) -> usize {
        usize::try_from(self.0.used.get()).unwrap_or_default()
    }

    /// Changes the bound; bodies that are held already stay.
    pub fn set_max(&self, bytes_max: usize) {
        self.0.max.store(bytes_max, Relaxed);
    }

    /// A share of nothing yet.
    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

// === impl Share ===

impl Share {
    /// Raises the share to `bytes`, or leaves it where there is no room.
    #[must_use]
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let max = self.budget.0.max.load(Relaxed);
        let before = self.budget.0.used.inc_by(gauge(more));
        let taken = usize::try_from(before).unwrap_or_default().saturating_add(more);
        if more > 0 && taken > max {
            self.budget.0.used.dec_by(gauge(more));
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.used.dec_by(gauge(self.bytes));
    }
}

/// A gauge holds `i64`; more than that does not fit a memory.
fn gauge(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_does_not_fit_takes_nothing_and_a_dropped_one_gives_back() {
        let budget = BodyBudget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.grow_to(6));
        assert!(!other.grow_to(5));
        assert_eq!(budget.used(), 6);
        assert!(other.grow_to(4));
        assert!(!one.grow_to(7));
        drop(one);
        assert_eq!(budget.used(), 4);
        assert!(other.grow_to(10));
        budget.set_max(3);
        assert!(other.grow_to(2), "what is held already stays");
        drop(other);
        assert_eq!(budget.used(), 0);
    }
}
