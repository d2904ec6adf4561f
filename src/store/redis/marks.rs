//! Marks of events that are passed on and not kept: claimed under a lease, then committed or released.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::engine::Redis;
use super::errand::Errand;
use super::jobs::{MarkFound, MarkJob};
use crate::store::{AdmitError, DedupMark, MarkClaim, MarkClaimed};

// === impl Redis ===

impl Redis {
    pub(super) async fn claim_one_mark(
        &self,
        source: &Arc<str>,
        mark: DedupMark,
        lease: Duration,
    ) -> Result<MarkClaimed, AdmitError> {
        let shared = &self.shared;
        let shard = shared.shard_of_mark(&mark.key);
        shared.usable(shard)?;
        let seq = shared.sequence.next(&shared.clock, shard);
        let ends_at = shared.clock.now().plus(lease);
        let (waiter, found) = oneshot::channel();
        shared.outbox(shard).mark(MarkJob { source: Arc::clone(source), mark, seq, ends_at, lease, waiter });
        let found = found.await.unwrap_or_else(|_| Err(AdmitError::Unavailable("it is closed".into())))?;
        if found == MarkFound::Ours {
            self.claimed_marks().insert((mark.key, seq));
        }
        let ours = MarkClaim { event: shared.mint.event(seq), key: mark.key };
        Ok(found.shown(ours, |first| shared.mint.event(first)))
    }

    pub(super) fn commit_one_mark(&self, claim: &MarkClaim) {
        let (mark, seq) = (claim.key, claim.event.seq());
        self.end_mark(claim, Errand::CommitMark { mark, seq });
    }

    pub(super) fn release_one_mark(&self, claim: &MarkClaim) {
        let (mark, seq) = (claim.key, claim.event.seq());
        self.end_mark(claim, Errand::ReleaseMark { mark, seq });
    }

    fn end_mark(&self, claim: &MarkClaim, errand: Errand) {
        self.claimed_marks().remove(&(claim.key, claim.event.seq()));
        self.shared.outbox(self.shared.shard_of_mark(&claim.key)).run(errand);
    }

    pub(super) fn claimed_marks(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::HashSet<([u8; 16], crate::domain::Seq)>> {
        self.shared.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
