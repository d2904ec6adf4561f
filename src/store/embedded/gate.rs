//! Whether admissions may pass, and the sentence that says why not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::AdmitError;

/// Asked by every admission, set by the threads that find something wrong.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Fast path: nothing is wrong.
    shut: AtomicBool,
    reasons: Mutex<Reasons>,
    /// Records that could not be verified since the start.
    pub(super) damaged_records: AtomicU64,
}

#[derive(Debug, Default)]
struct Reasons {
    /// A write or sync failed: nothing is acknowledged until the engine is opened anew.
    failed: Option<Arc<str>>,
    /// Passes by itself when there is space again.
    full: Option<Arc<str>>,
    closed: bool,
    /// The index cannot be written: events are kept and delivered, lists are old.
    index: Option<Arc<str>>,
}

// === impl Gate ===

impl Gate {
    /// Whether an event may be admitted now.
    pub(super) fn admit(&self) -> Result<(), AdmitError> {
        if self.shut.load(Ordering::Acquire) { self.refusal().map_or(Ok(()), Err) } else { Ok(()) }
    }

    /// Whether a mark may be claimed now: a full store is no reason not to pass an event on.
    pub(super) fn claim_mark(&self) -> Result<(), AdmitError> {
        match self.admit() {
            Ok(()) | Err(AdmitError::Full(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the journal can still be written: full is no reason to stop settling.
    pub(super) fn usable(&self) -> Result<(), AdmitError> {
        if !self.shut.load(Ordering::Acquire) {
            return Ok(());
        }
        let failed = self.lock().failed.clone();
        failed.map_or(Ok(()), |reason| Err(AdmitError::Unavailable(reason)))
    }

    /// From now on nothing is acknowledged; the first reason stands.
    pub(super) fn fail(&self, reason: String) {
        tracing::error!(reason, "the store has failed and closed itself");
        let mut reasons = self.lock();
        reasons.failed.get_or_insert_with(|| reason.into());
        self.shut.store(true, Ordering::Release);
    }

    /// There is no space, or there is again.
    pub(super) fn set_full(&self, reason: Option<String>) {
        let mut reasons = self.lock();
        if reasons.full.is_some() != reason.is_some() {
            match &reason {
                Some(reason) => tracing::warn!(reason, "the store is full"),
                None => tracing::info!("the store has space again"),
            }
        }
        reasons.full = reason.map(Arc::from);
        self.shut.store(reasons.is_shut(), Ordering::Release);
    }

    /// The index could not be written, or can be again.
    pub(super) fn set_index_trouble(&self, reason: Option<String>) {
        self.lock().index = reason.map(Arc::from);
    }

    /// Whether the index could not be written when it was tried last.
    pub(super) fn is_index_troubled(&self) -> bool {
        self.lock().index.is_some()
    }

    /// No more admissions: the engine is closing.
    pub(super) fn close(&self) {
        let mut reasons = self.lock();
        reasons.closed = true;
        self.shut.store(true, Ordering::Release);
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().full.is_some()
    }

    /// What is wrong, a sentence each.
    pub(super) fn reasons(&self) -> Vec<Arc<str>> {
        let reasons = self.lock();
        let closed = reasons.closed.then(|| Arc::from("the store is closed"));
        let found = [&reasons.failed, &reasons.full, &reasons.index];
        found.into_iter().flatten().cloned().chain(closed).collect()
    }

    fn refusal(&self) -> Option<AdmitError> {
        let reasons = self.lock();
        match (&reasons.failed, &reasons.full) {
            (Some(failed), _) => Some(AdmitError::Unavailable(Arc::clone(failed))),
            (None, _) if reasons.closed => Some(AdmitError::Unavailable("it is closing".into())),
            (None, full) => full.clone().map(AdmitError::Full),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reasons> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reasons {
    fn is_shut(&self) -> bool {
        self.failed.is_some() || self.full.is_some() || self.closed
    }
}
