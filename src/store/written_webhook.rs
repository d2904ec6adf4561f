//! A webhook as text: how it stands in Redis and in an export. What is sealed stays sealed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::domain::{DisabledBy, Glob, Sealed, SigningSecret, Timestamp, Webhook, WebhookState};

/// A webhook that can be written as JSON. The same webhook is always the same text.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenWebhook {
    id: String,
    project: String,
    url: String,
    events: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    metadata: Vec<(String, String)>,
    header_names: Vec<String>,
    sealed_headers: String,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled_by: Option<String>,
    /// Each with the time until which it signs beside its successor.
    sealed_secrets: Vec<(String, Option<u64>)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_seed: Option<String>,
    created_at_ms: u64,
    updated_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since_ms: Option<u64>,
}

// === impl WrittenWebhook ===

impl WrittenWebhook {
    /// The webhook's text to be.
    #[must_use]
    pub fn new(webhook: &Webhook) -> Self {
        let sealed = |sealed: &Sealed| STANDARD.encode(&sealed.0);
        let text = |text: &str| String::from(text);
        Self {
            id: webhook.id.to_string(),
            project: text(&webhook.project),
            url: text(&webhook.url),
            events: webhook.events.iter().map(|glob| text(glob.as_str())).collect(),
            description: webhook.description.as_deref().map(text),
            metadata: webhook.metadata.iter().map(|(name, value)| (text(name), text(value))).collect(),
            header_names: webhook.header_names.iter().map(|name| text(name)).collect(),
            sealed_headers: sealed(&webhook.sealed_headers),
            state: text(webhook.state.as_str()),
            disabled_by: match webhook.state {
                WebhookState::Disabled(by) => Some(text(by.as_str())),
                _ => None,
            },
            sealed_secrets: webhook.secrets.iter().map(|one| (sealed(&one.sealed), one.until.map(|at| at.0))).collect(),
            sealed_seed: webhook.sealed_seed.as_ref().map(sealed),
            created_at_ms: webhook.created_at.0,
            updated_at_ms: webhook.updated_at.0,
            failing_since_ms: webhook.failing_since.map(|at| at.0),
        }
    }

    /// The webhook again.
    ///
    /// # Errors
    /// What in it [`new`](Self::new) would not have written.
    pub fn read(self) -> Result<Webhook, String> {
        let state = self.state()?;
        let secrets = self
            .sealed_secrets
            .iter()
            .map(|(text, until)| Ok(SigningSecret { sealed: sealed(text)?, until: until.map(Timestamp) }));
        Ok(Webhook {
            id: self.id.parse().map_err(|error| format!("{}: {error}", self.id))?,
            events: self.events.iter().map(|text| Glob::new(text)).collect(),
            secrets: secrets.collect::<Result<_, String>>()?,
            sealed_headers: sealed(&self.sealed_headers)?,
            sealed_seed: self.sealed_seed.as_deref().map(sealed).transpose()?,
            state,
            project: self.project.into(),
            url: self.url.into(),
            description: self.description.map(Box::from),
            metadata: self.metadata.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            header_names: self.header_names.into_iter().map(Box::from).collect(),
            created_at: Timestamp(self.created_at_ms),
            updated_at: Timestamp(self.updated_at_ms),
            failing_since: self.failing_since_ms.map(Timestamp),
        })
    }

    fn state(&self) -> Result<WebhookState, String> {
        let by = |word: &str| DisabledBy::ALL.into_iter().find(|by| by.as_str() == word);
        match (&*self.state, self.disabled_by.as_deref()) {
            ("active", None) => Some(WebhookState::Active),
            ("paused", None) => Some(WebhookState::Paused),
            ("disabled", Some(word)) => by(word).map(WebhookState::Disabled),
            _ => None,
        }
        .ok_or_else(|| format!("{} is not a webhook's state", self.state))
    }
}

fn sealed(text: &str) -> Result<Sealed, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("what is sealed is not base64: {error}"))?;
    Ok(Sealed(bytes.into()))
}
