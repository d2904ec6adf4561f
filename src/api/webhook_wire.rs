//! What webhooks, emitted events and replays look like on the wire.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::mask::MASKED;
use super::wire::Queue;
use crate::deliver::AsymmetricKey;
use crate::domain::WebhookState;
use crate::outbound::{Emitted, OpenedWebhook};
use crate::records::replays::Replay;

/// A customer's endpoint.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Webhook {
    object: &'static str,
    id: String,
    project: String,
    url: String,
    events: Vec<String>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    /// Their values are never shown.
    headers: BTreeMap<String, &'static str>,
    /// Whether events go there, or will once it is not paused any more.
    active: bool,
    /// `active`, `paused` or `disabled`.
    status: &'static str,
    /// Why it is disabled: `person`, `gone`, `failing`.
    disabled_reason: Option<&'static str>,
    /// The same in words.
    notice: Option<String>,
    /// Since when every attempt has failed, once that has lasted for an hour.
    failing_since: Option<String>,
    /// Until when secrets that were replaced sign too.
    previous_secrets_until: Vec<String>,
    /// For signatures `v1a`, where it asked for them.
    public_key: Option<String>,
    /// Shown once: in the answer to its creation, and to a rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    created: String,
    updated: String,
}

/// What is left of a webhook that was deleted.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Deleted {
    /// `webhook`.
    pub object: &'static str,
    /// Its id.
    pub id: String,
    /// True.
    pub deleted: bool,
}

/// An event that was emitted.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct EmittedEvent {
    object: &'static str,
    /// As receivers see it.
    id: String,
    /// Ours; the same where the publisher gave none.
    event: String,
    /// How many webhooks get it.
    deliveries: usize,
    /// It had been emitted before, and nothing was added.
    duplicate: bool,
}

/// The catalogue.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct EventType {
    /// `event_type`.
    pub object: &'static str,
    /// Such as `payment.failed`.
    #[serde(rename = "type")]
    pub event_type: String,
}

/// How a webhook does.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct WebhookStats {
    /// `webhook_stats`.
    pub object: &'static str,
    /// Whose.
    pub webhook: String,
    /// Requests made.
    pub attempts: u64,
    /// Deliveries that succeeded.
    pub succeeded: u64,
    /// Given up.
    pub dead: u64,
    /// Stopped.
    pub cancelled: u64,
    /// Succeeded, of those that ended by themselves; none where none has.
    pub success_rate: Option<f64>,
    /// Milliseconds.
    pub response_time_mean: Option<f64>,
    /// What waits.
    pub queue: Queue,
}

/// Many deliveries once more.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct BulkReplay {
    object: &'static str,
    id: String,
    dry_run: bool,
    /// `running`, `done` or `failed`.
    status: &'static str,
    matched: u64,
    redelivered: u64,
    skipped: u64,
    error: Option<String>,
}

/// What the id of a replay begins with.
pub(super) const REPLAY_PREFIX: &str = "replay_";

// === impl Webhook ===

impl Webhook {
    /// The webhook without its secrets.
    pub(super) fn new(opened: &OpenedWebhook) -> Self {
        let webhook = &opened.webhook;
        let disabled = match webhook.state {
            WebhookState::Disabled(by) => Some(by),
            WebhookState::Active | WebhookState::Paused => None,
        };
        let pairs = webhook.metadata.iter();
        Self {
            object: "webhook",
            id: webhook.id.to_string(),
            project: webhook.project.to_string(),
            url: webhook.url.to_string(),
            events: webhook.events.iter().map(|glob| glob.as_str().to_owned()).collect(),
            description: webhook.description.as_deref().map(str::to_owned),
            metadata: pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            headers: webhook.header_names.iter().map(|name| (name.to_string(), MASKED)).collect(),
            active: webhook.state.takes_events(),
            status: webhook.state.as_str(),
            disabled_reason: disabled.map(crate::domain::DisabledBy::as_str),
            notice: disabled.map(|by| by.notice().to_owned()),
            failing_since: webhook.failing_since.map(|at| at.to_string()),
            previous_secrets_until: opened
                .secrets
                .iter()
                .filter_map(|(_, until)| Some((*until)?.to_string()))
                .collect(),
            public_key: opened.seed.as_ref().and_then(AsymmetricKey::new).map(|key| key.public()),
            secret: None,
            created: webhook.created_at.to_string(),
            updated: webhook.updated_at.to_string(),
        }
    }

    /// The webhook with its current secret, for the one who has just made it.
    pub(super) fn with_secret(opened: &OpenedWebhook) -> Self {
        let secret = opened.secrets.first().map(|(secret, _)| String::from_utf8_lossy(secret.expose()).into_owned());
        Self { secret, ..Self::new(opened) }
    }
}

// === impl EmittedEvent, BulkReplay ===

impl From<Emitted> for EmittedEvent {
    fn from(emitted: Emitted) -> Self {
        Self {
            object: "event",
            id: emitted.id.into(),
            event: emitted.event.to_string(),
            deliveries: emitted.deliveries,
            duplicate: emitted.duplicate,
        }
    }
}

impl From<&Replay> for BulkReplay {
    fn from(replay: &Replay) -> Self {
        let state = replay.state();
        Self {
            object: "replay",
            id: format!("{REPLAY_PREFIX}{}", replay.number),
            dry_run: replay.dry_run,
            status: match (&state.error, state.done) {
                (Some(_), _) => "failed",
                (None, true) => "done",
                (None, false) => "running",
            },
            matched: state.matched,
            redelivered: state.redelivered,
            skipped: state.skipped,
            error: state.error.as_deref().map(str::to_owned),
        }
    }
}
