//! Whether the server has room: what it said when it was last looked at, and whether it has refused since.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The server's memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Our own bound, where there is one.
    bytes_max: Option<u64>,
    used: AtomicU64,
    /// The lower one of ours and the server's; 0: none.
    bound: AtomicU64,
    full: Mutex<Option<Arc<str>>>,
}

// === impl Memory ===

impl Memory {
    pub(super) fn new(bytes_max: Option<u64>) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    /// What the server says now; its own refusals are forgotten where there is room again.
    pub(super) fn note(&self, used: u64, servers_max: u64) {
        self.used.store(used, Ordering::Relaxed);
        let servers = (servers_max > 0).then_some(servers_max);
        let bound = [self.bytes_max, servers].into_iter().flatten().min();
        self.bound.store(bound.unwrap_or(0), Ordering::Relaxed);
        let reason = match self.bytes_max {
            Some(max) if used > max => Some(format!("redis uses {used} bytes of store.bytes_max {max}")),
            _ if servers.is_some_and(|max| used > max) => {
                Some(format!("redis is at its maxmemory of {servers_max} bytes: raise it, or shorten store.retention"))
            }
            _ => None,
        };
        self.set(reason.map(Arc::from));
    }

    /// The server refused a write for lack of memory.
    pub(super) fn refused(&self) -> Arc<str> {
        let reason: Arc<str> = "redis is out of memory: raise its maxmemory, or shorten store.retention".into();
        self.set(Some(Arc::clone(&reason)));
        reason
    }

    /// Why no more may be kept.
    pub(super) fn full(&self) -> Option<Arc<str>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// So near to the bound that what is over must go before its time.
    pub(super) fn is_nearly_full(&self) -> bool {
        let bound = self.bound.load(Ordering::Relaxed);
        bound > 0 && self.used() > bound - bound / 16
    }

    fn set(&self, reason: Option<Arc<str>>) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*full, &reason) {
            (None, Some(reason)) => tracing::warn!(reason = &**reason, "the store is full"),
            (Some(_), None) => tracing::info!("the store has space again"),
            _ => {}
        }
        *full = reason;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_what_either_bound_says() {
        let memory = Memory::new(Some(1000));
        memory.note(900, 0);
        assert_eq!((memory.full(), memory.is_nearly_full()), (None, false));
        memory.note(950, 0);
        assert_eq!((memory.full(), memory.is_nearly_full()), (None, true));
        memory.note(1001, 0);
        assert!(memory.full().is_some_and(|reason| reason.contains("bytes_max")));
        memory.note(700, 600);
        assert!(memory.full().is_some_and(|reason| reason.contains("maxmemory")));
        memory.note(100, 600);
        memory.refused();
        assert!(memory.full().is_some());
        memory.note(100, 600);
        assert_eq!((memory.full(), memory.used()), (None, 100));
    }
}
