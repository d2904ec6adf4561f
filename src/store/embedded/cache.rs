//! Young events stay in memory until they are delivered, as long as there is room set aside for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::domain::{Event, NewEvent};

/// Bytes of events that are kept in memory at most; the others are read back from the journal.
const CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The room for young events.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    used: Arc<AtomicUsize>,
}

/// An event that takes room until nobody needs it.
#[derive(Debug)]
pub(super) struct Cached {
    pub(super) event: Arc<Event>,
    bytes: usize,
    cache: Cache,
}

// === impl Cache ===

impl Cache {
    /// Keeps the event if there is room.
    pub(super) fn keep(&self, event: &Arc<Event>) -> Option<Arc<Cached>> {
        let bytes = weight(&event.received);
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > CACHE_BYTES_MAX {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        Some(Arc::new(Cached { event: Arc::clone(event), bytes, cache: self.clone() }))
    }
}

impl Drop for Cached {
    fn drop(&mut self) {
        self.cache.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What an event takes in memory, roughly.
fn weight(received: &NewEvent) -> usize {
    1024 + received.body.len() + received.headers.as_bytes().len()
}
