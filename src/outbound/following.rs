//! What other gateways at the same store have done to webhooks.

use std::time::Duration;

use super::changes::WebhookError;
use super::webhooks::Webhooks;
use crate::domain::WebhookId;
use crate::store::{Store, WebhooksChanged};

/// Between two tries to read what has changed.
const AGAIN: Duration = Duration::from_secs(1);

// === impl Webhooks ===

impl<S: Store> Webhooks<S> {
    /// Goes along with what other gateways do, until the future is dropped.
    pub async fn follow(&self) {
        loop {
            let mut changed = self.store.changed_webhooks().await;
            while let Err(error) = self.look_at(&changed).await {
                tracing::warn!(%error, "what other gateways have done to webhooks cannot be read yet");
                tokio::time::sleep(AGAIN).await;
                changed = WebhooksChanged::All;
            }
        }
    }

    async fn look_at(&self, changed: &WebhooksChanged) -> Result<(), WebhookError> {
        // What is changed here meanwhile is not overwritten by what was read before.
        let _change = self.changes.lock().await;
        match changed {
            WebhooksChanged::These(ids) => {
                for id in ids {
                    self.look_again(*id).await?;
                }
            }
            WebhooksChanged::All => {
                let all = self.store.webhooks().await?;
                let gone = self.ids().into_iter().filter(|id| !all.iter().any(|webhook| webhook.id == *id));
                gone.for_each(|id| self.remove(id));
                for webhook in all {
                    self.put_where_new(webhook)?;
                }
            }
        }
        Ok(())
    }

    /// Takes over how a webhook stands in the store. The caller holds `changes`.
    pub(super) async fn look_again(&self, id: WebhookId) -> Result<(), WebhookError> {
        match self.store.webhook(id).await? {
            Some(webhook) => self.put_where_new(webhook),
            None => {
                if self.get(id).is_some() {
                    self.remove(id);
                }
                Ok(())
            }
        }
    }
}
