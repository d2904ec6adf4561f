//! Customers' webhooks: a hash of the first shard, and a note of which of them changed when.
//!
//! Every gateway has all of them in memory. A change is kept only where the webhook still stands as the gateway that
//! changes it has read it; a counter that every look asks for tells the others that there is something new.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redis::Value;
use tokio::sync::Notify;

use super::engine::{Redis, Shared};
use super::{replies, script};
use crate::domain::{Webhook, WebhookId};
use crate::store::{StoreError, WebhooksChanged, WrittenWebhook};

/// Webhooks of which the last change is noted: whoever was away for more of them reads all.
const CHANGES_MAX: u64 = 10_000;

/// Where all of them are.
const SHARD: usize = 0;

/// What a gateway knows of the webhooks' changes.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// Up to which change it has looked.
    seen: AtomicU64,
    /// Up to which there are changes.
    last: AtomicU64,
    /// Somebody has read the webhooks: their changes matter.
    follows: AtomicBool,
    changed: Notify,
}

// === impl Redis ===

impl Redis {
    pub(super) async fn write_webhook(&self, webhook: &Webhook, was: Option<&Webhook>) -> Result<(), StoreError> {
        let was = was.map_or_else(String::new, text_of);
        self.shared.write_webhook(webhook.id, &text_of(webhook), &was).await
    }

    pub(super) async fn write_webhook_gone(&self, id: WebhookId) -> Result<(), StoreError> {
        self.shared.write_webhook(id, "", "*").await
    }

    pub(super) async fn read_webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let mut command = redis::cmd("HGET");
        command.arg(self.shared.hooks_key("")).arg(id.to_string());
        let found = self.shared.ask(SHARD, command).await?;
        replies::bytes(&found).map(read).transpose()
    }

    pub(super) async fn read_webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let shared = &*self.shared;
        // First the counter: what changes meanwhile is looked at once more.
        let version = shared.hooks_version().await?;
        let mut command = redis::cmd("HVALS");
        command.arg(shared.hooks_key(""));
        let found = shared.ask(SHARD, command).await?;
        let texts = replies::array(&found).unwrap_or_default().iter().filter_map(replies::bytes);
        let mut webhooks = texts.map(read).collect::<Result<Vec<_>, _>>()?;
        webhooks.sort_by_key(|webhook| webhook.id.seq());
        shared.hooks.seen.store(version, Ordering::Release);
        shared.hooks.follows.store(true, Ordering::Release);
        Ok(webhooks)
    }

    pub(super) async fn await_changed_webhooks(&self) -> WebhooksChanged {
        let hooks = &self.shared.hooks;
        loop {
            let changed = hooks.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that nothing that comes after the look is missed.
            changed.as_mut().enable();
            if hooks.last.load(Ordering::Acquire) != hooks.seen.load(Ordering::Acquire)
                && let Ok(changes) = self.shared.changes_of_webhooks().await
            {
                return changes;
            }
            changed.await;
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Whether there are changes that nobody here has looked at yet.
    pub(super) async fn look_for_changed_webhooks(&self) {
        if !self.hooks.follows.load(Ordering::Acquire) {
            return;
        }
        let Ok(version) = self.hooks_version().await else { return };
        self.hooks.last.store(version, Ordering::Release);
        if version != self.hooks.seen.load(Ordering::Acquire) {
            self.hooks.changed.notify_waiters();
        }
    }

    async fn changes_of_webhooks(&self) -> Result<WebhooksChanged, StoreError> {
        let (version, key) = (self.hooks_version().await?, self.hooks_key(":changes"));
        let seen = self.hooks.seen.load(Ordering::Acquire);
        let mut count = redis::cmd("ZCARD");
        count.arg(&key);
        let noted = replies::number(&self.ask(SHARD, count).await?).unwrap_or_default();
        // A counter that went back: the server has lost what it had.
        if version < seen || noted >= CHANGES_MAX {
            self.hooks.seen.store(version, Ordering::Release);
            return Ok(WebhooksChanged::All);
        }
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(&key).arg(format!("({seen}")).arg("+inf");
        let found = self.ask(SHARD, command).await?;
        let ids = replies::array(&found).unwrap_or_default().iter().filter_map(|id| replies::text(id)?.parse().ok());
        let ids = ids.collect();
        self.hooks.seen.store(version, Ordering::Release);
        Ok(WebhooksChanged::These(ids))
    }

    async fn write_webhook(&self, id: WebhookId, text: &str, was: &str) -> Result<(), StoreError> {
        let mut call = script::WEBHOOK.on(self.bases.get(SHARD));
        call.bytes(id.to_string()).bytes(text).bytes(was).number(CHANGES_MAX);
        let answer = self.ask(SHARD, call.done()).await?;
        match replies::text(&answer) {
            Some("ok") => Ok(()),
            Some("changed") => Err(StoreError::Conflict("the webhook was changed meanwhile".into())),
            _ => Err(StoreError::Engine("redis has answered something strange".into())),
        }
    }

    async fn hooks_version(&self) -> Result<u64, StoreError> {
        let mut command = redis::cmd("GET");
        command.arg(self.hooks_key(":version"));
        match self.ask(SHARD, command).await? {
            Value::Nil => Ok(0),
            version => replies::number(&version)
                .ok_or_else(|| StoreError::Engine("redis has answered something strange".into())),
        }
    }

    fn hooks_key(&self, suffix: &str) -> String {
        format!("{}hooks{suffix}", self.bases.get(SHARD))
    }

    /// An id, which is ours like all others.
    pub(super) fn next_webhook_id(&self) -> WebhookId {
        self.mint.webhook(self.sequence.next(&self.clock, self.next_shard()))
    }
}

fn text_of(webhook: &Webhook) -> String {
    // Text and numbers only: it cannot fail.
    serde_json::to_string(&WrittenWebhook::new(webhook)).unwrap_or_default()
}

fn read(text: &[u8]) -> Result<Webhook, StoreError> {
    let damaged = |reason: String| StoreError::Damaged(format!("a webhook cannot be read back: {reason}").into());
    let written: WrittenWebhook = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    written.read().map_err(damaged)
}
