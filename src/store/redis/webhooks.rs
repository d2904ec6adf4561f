//! Webhooks: not kept by this engine.
//!
//! A gateway has its webhooks in memory, and nothing would tell it of those that another gateway registered. So
//! `config` refuses outbound mode with this engine, and the verbs say the same to whoever asks all the same.

use super::engine::Shared;
use crate::domain::WebhookId;
use crate::store::StoreError;

/// What every verb of webhooks answers.
pub(super) const UNSUPPORTED: StoreError =
    StoreError::Unsupported("outbound mode needs the embedded store in this version");

/// What a pause answers: nothing would tell a gateway of what another one has paused.
pub(super) const PAUSES_UNSUPPORTED: StoreError =
    StoreError::Unsupported("pausing needs the embedded store in this version");

/// An id, which is ours like all others.
pub(super) fn next_id(shared: &Shared) -> WebhookId {
    shared.mint.webhook(shared.sequence.next(&shared.clock, shared.next_shard()))
}
