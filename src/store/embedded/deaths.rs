//! Which events may have dead deliveries: asked by every duplicate, for a duplicate starts them again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::key::Key;
use crate::domain::Seq;

/// Deaths that the index does not hold yet, and how many it holds.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    recent: Mutex<BTreeSet<Key>>,
    indexed: AtomicI64,
}

// === impl Deaths ===

impl Deaths {
    /// A delivery has just died.
    pub(super) fn add(&self, key: Key) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    /// The index holds these now, and so many in all.
    pub(super) fn indexed(&self, keys: &[Key], dead: i64) {
        self.indexed.store(dead, Ordering::Release);
        if keys.is_empty() {
            return;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            recent.remove(key);
        }
    }

    /// Whether the index holds any.
    pub(super) fn any_indexed(&self) -> bool {
        self.indexed.load(Ordering::Acquire) > 0
    }

    /// Whether a delivery of this event died so recently that the index does not know.
    pub(super) fn is_recent(&self, seq: Seq) -> bool {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.range(Key { seq, ordinal: 0 }..=Key { seq, ordinal: u16::MAX }).next().is_some()
    }
}
