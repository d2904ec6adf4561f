//! Events that were admitted here a moment ago, so that a delivery's first attempt need not read them back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Event, Seq};

/// Bytes of bodies and headers that are kept.
const BYTES_MAX: usize = 32 << 20;

/// Events that are kept.
const EVENTS_MAX: usize = 8192;

/// The youngest events.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_seq: HashMap<Seq, Entry>,
    /// In the order in which they came; some are gone by now.
    order: VecDeque<Seq>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    event: Arc<Event>,
    /// First attempts that are still to come.
    uses: usize,
}

// === impl Cache ===

impl Cache {
    /// Keeps an event for as many claims as it has deliveries, unless others push it out.
    pub(super) fn keep(&self, event: &Arc<Event>, uses: usize) {
        let bytes = size(event);
        if uses == 0 || bytes > BYTES_MAX / 16 {
            return;
        }
        let mut kept = self.lock();
        let kept = &mut *kept;
        kept.bytes += bytes;
        kept.order.push_back(event.seq);
        kept.by_seq.insert(event.seq, Entry { event: Arc::clone(event), uses });
        while kept.bytes > BYTES_MAX || kept.order.len() > EVENTS_MAX {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some(entry) = kept.by_seq.remove(&oldest) {
                kept.bytes -= size(&entry.event);
            }
        }
    }

    /// The event, if it is still there; gone after its last use.
    pub(super) fn take(&self, seq: Seq) -> Option<Arc<Event>> {
        let mut kept = self.lock();
        let entry = kept.by_seq.get_mut(&seq)?;
        let event = Arc::clone(&entry.event);
        entry.uses -= 1;
        if entry.uses == 0 {
            kept.by_seq.remove(&seq);
            kept.bytes -= size(&event);
        }
        Some(event)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(event: &Event) -> usize {
    event.received.body.len() + event.received.headers.as_bytes().len()
}
