//! Marks of events that are passed on and not kept: claimed under a lease, then committed or released.
//!
//! A claim is memory and nothing else. A committed mark counts at once and is written behind, as outcomes are: a crash
//! before that leaves no mark, and the sender's next copy is passed on again.

use std::sync::Arc;
use std::time::Duration;

use super::Embedded;
use super::dedup::{Begun, Dedup, Verdict};
use super::encode;
use super::record::Mark;
use crate::domain::Seq;
use crate::store::{AdmitError, DedupMark, MarkClaim, MarkClaimed};

/// A mark that is looked up: given up unless it turns out to be new.
struct Ticket<'a> {
    dedup: &'a Dedup,
    key: [u8; 16],
    seq: Seq,
    verdict: Option<Verdict>,
}

// === impl Embedded ===

impl Embedded {
    pub(super) async fn claim_one_mark(
        &self,
        source: &Arc<str>,
        mark: DedupMark,
        lease: Duration,
    ) -> Result<MarkClaimed, AdmitError> {
        self.gate.claim_mark()?;
        let DedupMark { key, window } = mark;
        let (seq, now) = (self.next_seq(), self.clock.now());
        let first = match self.dedup.claim(key, window, seq, now, now.plus(lease)) {
            Begun::InFlight => return Ok(MarkClaimed::InFlight),
            Begun::Duplicate(first) => Some(first),
            Begun::First if !self.dedup.may_be_stored(&key, window, now) => None,
            Begun::First => {
                let mut ticket = Ticket { dedup: &self.dedup, key, seq, verdict: Some(Verdict::Abandoned) };
                let first = self.stored_mark(mark, now).await?;
                ticket.verdict = first.map(Verdict::Committed);
                first
            }
        };
        let Some(first) = first else {
            return Ok(MarkClaimed::Ours(MarkClaim { event: self.mint.event(seq), key }));
        };
        self.ledger.count_copy(source, now);
        Ok(MarkClaimed::Duplicate(self.mint.event(first)))
    }

    pub(super) fn commit_one_mark(&self, claim: &MarkClaim) {
        let (key, seq) = (claim.key, claim.event.seq());
        self.dedup.commit(&key, seq);
        self.journal.append_lazy(&encode::marks(&[Mark { key, seq }]));
    }

    pub(super) fn release_one_mark(&self, claim: &MarkClaim) {
        self.dedup.unclaim(&claim.key, claim.event.seq(), &Verdict::Abandoned);
    }
}

// === impl Ticket ===

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(verdict) = &self.verdict {
            self.dedup.unclaim(&self.key, self.seq, verdict);
        }
    }
}
