//! What attempts say of a webhook: gone, failing for days, or well again.

use std::sync::PoisonError;
use std::time::Duration;

use super::webhooks::Webhooks;
use crate::domain::{Attempt, DisabledBy, OutcomeClass, Timestamp, WebhookId};
use crate::store::Store;

/// What follows from an attempt for its webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    AsBefore,
    /// It takes no more events.
    Disable(DisabledBy),
    /// It has failed for so long that a restart must not forget it; `None`: it is well again.
    Note(Option<Timestamp>),
}

/// Failing for longer than this is written down.
const NOTED_AFTER: Duration = Duration::from_secs(3600);

/// The status by which an endpoint says that it will never be there again (RFC 9110 section 15.5.11).
const GONE: u16 = 410;

// === impl Webhooks ===

impl<S: Store> Webhooks<S> {
    /// What an attempt means for its webhook.
    #[must_use]
    pub fn judge(&self, id: WebhookId, attempt: &Attempt) -> Verdict {
        let Some(webhook) = self.get(id) else { return Verdict::AsBefore };
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = webhook.webhook.failing_since;
        if attempt.outcome == OutcomeClass::Succeeded {
            failing.remove(&id);
            return if noted.is_some() { Verdict::Note(None) } else { Verdict::AsBefore };
        }
        let ended_at = attempt.started_at.plus(attempt.duration);
        let since = *failing.entry(id).or_insert(noted.unwrap_or(ended_at));
        if attempt.status == Some(GONE) {
            return Verdict::Disable(DisabledBy::Gone);
        }
        let lasts = ended_at.since(since);
        if lasts >= self.limits.load().disable_after {
            Verdict::Disable(DisabledBy::Failing)
        } else if lasts >= NOTED_AFTER && noted.is_none() {
            Verdict::Note(Some(since))
        } else {
            Verdict::AsBefore
        }
    }

    pub(super) fn forget_failing(&self, id: WebhookId) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
