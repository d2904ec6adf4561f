//! Notices: events of our own about webhooks, emitted in the operator's project as any event is.
//!
//! Durable, signed, retried and in the delivery log like the others; the operator registers webhooks for them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::to_raw_value;

use super::emit::Emission;
use super::event::StandardEvent;
use super::webhooks::Webhooks;
use crate::domain::{DisabledBy, Webhook};
use crate::store::Store;

/// The type of the event that says that a webhook was disabled by what it answered.
pub const WEBHOOK_DISABLED: &str = "webhook.disabled";

/// What the event says.
#[derive(Serialize)]
struct Disabled<'a> {
    webhook: About<'a>,
    reason: &'static str,
    notice: &'static str,
    failing_since: Option<String>,
    disabled_at: String,
}

/// Which webhook: nothing that could be a secret.
#[derive(Serialize)]
struct About<'a> {
    id: String,
    project: &'a str,
    url: &'a str,
    description: Option<&'a str>,
    metadata: BTreeMap<&'a str, &'a str>,
}

// === impl Webhooks ===

impl<S: Store> Webhooks<S> {
    /// Emits that a webhook is disabled, where somebody wants to know. A store that takes nothing is no reason to go on
    /// calling an endpoint that is gone.
    pub(super) async fn give_notice(&self, webhook: &Webhook, by: DisabledBy) {
        let Some(project) = self.limits.load().notices_to.clone() else { return };
        let event = match to_raw_value(&disabled(webhook, by)).map(|data| StandardEvent::notice(WEBHOOK_DISABLED, data))
        {
            Ok(Ok(event)) => event,
            Ok(Err(fault)) => return tracing::error!(%fault, "a notice was not emitted"),
            Err(error) => return tracing::error!(%error, "a notice was not emitted"),
        };
        if let Err(error) = self.emit(Emission { project, event, key: None, to: None }).await {
            tracing::error!(webhook = %webhook.id, %error, "nobody was given notice of a disabled webhook");
        }
    }
}

fn disabled(webhook: &Webhook, by: DisabledBy) -> Disabled<'_> {
    Disabled {
        webhook: About {
            id: webhook.id.to_string(),
            project: &webhook.project,
            url: &webhook.url,
            description: webhook.description.as_deref(),
            metadata: webhook.metadata.iter().map(|(name, value)| (&**name, &**value)).collect(),
        },
        reason: by.as_str(),
        notice: by.notice(),
        failing_since: webhook.failing_since.map(|at| at.to_string()),
        disabled_at: webhook.updated_at.to_string(),
    }
}
