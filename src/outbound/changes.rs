//! What can be done to a webhook: register, change, rotate, disable, delete. Each is durable before it counts.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::seal::SealError;
use super::webhooks::{BETWEEN_HEADERS, OpenedWebhook, Webhooks, use_of};
use crate::domain::{DisabledBy, Glob, Sealed, Secret, SigningSecret, Webhook, WebhookId, WebhookState};
use crate::store::{Store, StoreError};

/// A webhook that is to be registered; every value was checked.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// To whom it belongs.
    pub project: Arc<str>,
    /// Where it is.
    pub url: Box<str>,
    /// Which event types it gets.
    pub events: Vec<Glob>,
    /// For people.
    pub description: Option<Box<str>>,
    /// The customer's notes.
    pub metadata: Vec<(Box<str>, Box<str>)>,
    /// Its custom headers.
    pub headers: Vec<(Box<str>, Secret)>,
    /// How it begins.
    pub state: WebhookState,
    /// What it is signed with; `None`: one is made.
    pub secret: Option<Secret>,
    /// Whether it also gets signatures that are verified with a public key.
    pub asymmetric: bool,
}

/// What is to be changed; `None`: it stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Another place.
    pub url: Option<Box<str>>,
    /// Other event types.
    pub events: Option<Vec<Glob>>,
    /// Another description, or none.
    pub description: Option<Option<Box<str>>>,
    /// Other notes.
    pub metadata: Option<Vec<(Box<str>, Box<str>)>>,
    /// Other headers.
    pub headers: Option<Vec<(Box<str>, Secret)>>,
    /// Another state; a webhook that is active again begins without a past.
    pub state: Option<WebhookState>,
    /// With public-key signatures, or without.
    pub asymmetric: Option<bool>,
}

/// Why a webhook was not registered, found or changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WebhookError {
    /// The project has no such webhook.
    #[error("there is no such webhook")]
    NotFound,
    /// The project has as many as it may have.
    #[error("the project has {0} webhooks already, and may have no more")]
    TooMany(usize),
    /// The store did not keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its secrets could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Random bytes of a secret that is made here; Standard Webhooks ask for 24 to 64.
const SECRET_BYTES: usize = 32;

/// A change is made up anew so often where other gateways are faster.
const CHANGE_TRIES: u32 = 16;

/// Replaced secrets that sign at once; older ones go before their time.
const REPLACED_MAX: usize = 2;

// === impl Webhooks ===

impl<S: Store> Webhooks<S> {
    /// Registers a webhook.
    ///
    /// # Errors
    /// [`WebhookError`]; nothing is registered then.
    pub async fn create(&self, new: NewWebhook) -> Result<Arc<OpenedWebhook>, WebhookError> {
        let _change = self.changes.lock().await;
        let most = self.limits.load().webhooks_max;
        if self.count(&new.project) >= most {
            return Err(WebhookError::TooMany(most));
        }
        let id = self.store.next_webhook_id();
        let secret = new.secret.map_or_else(made_secret, Ok)?;
        let now = self.clock.now();
        let webhook = Webhook {
            id,
            project: new.project,
            url: new.url,
            events: new.events,
            description: new.description,
            metadata: new.metadata,
            header_names: new.headers.iter().map(|(name, _)| name.clone()).collect(),
            sealed_headers: self.sealed_headers(id, &new.headers)?,
            state: new.state,
            secrets: vec![SigningSecret {
                sealed: self.sealer.seal(&use_of(id, "secret"), secret.expose())?,
                until: None,
            }],
            sealed_seed: new.asymmetric.then(|| self.sealed_seed(id)).transpose()?,
            created_at: now,
            updated_at: now,
            failing_since: None,
        };
        self.store.keep_webhook(&webhook, None).await?;
        Ok(self.put(webhook)?)
    }

    /// Changes a webhook of a project.
    ///
    /// # Errors
    /// [`WebhookError`]; it stands as before then.
    pub async fn update(
        &self,
        project: &str,
        id: WebhookId,
        change: Change,
    ) -> Result<Arc<OpenedWebhook>, WebhookError> {
        let _change = self.changes.lock().await;
        let was_off = !self.of_project(project, id)?.webhook.state.takes_events();
        let starts_again = was_off && change.state.is_some_and(WebhookState::takes_events);
        let kept = self
            .change(id, |webhook| {
                let mut webhook = self.changed_by(webhook, &change)?;
                if starts_again {
                    webhook.failing_since = None;
                }
                Ok(Some(webhook))
            })
            .await?;
        let kept = kept.map_or_else(|| self.of_project(project, id), Ok)?;
        if kept.webhook.state.takes_events() {
            if starts_again {
                self.forget_failing(id);
            }
        } else {
            self.cancel_pending(id).await?;
        }
        Ok(kept)
    }

    fn changed_by(&self, mut webhook: Webhook, change: &Change) -> Result<Webhook, WebhookError> {
        let id = webhook.id;
        if let Some(headers) = &change.headers {
            webhook.header_names = headers.iter().map(|(name, _)| name.clone()).collect();
            webhook.sealed_headers = self.sealed_headers(id, headers)?;
        }
        match change.asymmetric {
            Some(true) if webhook.sealed_seed.is_none() => webhook.sealed_seed = Some(self.sealed_seed(id)?),
            Some(false) => webhook.sealed_seed = None,
            _ => {}
        }
        webhook.state = change.state.unwrap_or(webhook.state);
        webhook.url = change.url.clone().unwrap_or(webhook.url);
        webhook.events = change.events.clone().unwrap_or(webhook.events);
        webhook.description = change.description.clone().unwrap_or(webhook.description);
        webhook.metadata = change.metadata.clone().unwrap_or(webhook.metadata);
        webhook.updated_at = self.clock.now();
        Ok(webhook)
    }

    /// Gives a webhook of a project another secret; the one before it signs too for `grace`.
    ///
    /// # Errors
    /// [`WebhookError`]; it stands as before then.
    pub async fn rotate(
        &self,
        project: &str,
        id: WebhookId,
        secret: Option<Secret>,
        grace: Option<Duration>,
    ) -> Result<Arc<OpenedWebhook>, WebhookError> {
        let _change = self.changes.lock().await;
        self.of_project(project, id)?;
        let secret = secret.map_or_else(made_secret, Ok)?;
        let now = self.clock.now();
        let until = now.plus(grace.unwrap_or(self.limits.load().rotation_grace));
        let kept = self
            .change(id, |mut webhook| {
                let replaced = webhook.secrets.into_iter().map(|old| match old.until {
                    None => SigningSecret { until: Some(until), ..old },
                    Some(_) => old,
                });
                let sealed = self.sealer.seal(&use_of(id, "secret"), secret.expose())?;
                let mut secrets = vec![SigningSecret { sealed, until: None }];
                secrets.extend(replaced.filter(|old| old.until.is_some_and(|until| until > now)).take(REPLACED_MAX));
                webhook.secrets = secrets;
                webhook.updated_at = now;
                Ok(Some(webhook))
            })
            .await?;
        kept.map_or_else(|| self.of_project(project, id), Ok)
    }

    /// Disables a webhook because of what it answered, and cancels what is pending.
    ///
    /// # Errors
    /// [`WebhookError`]; it stands as before then.
    pub async fn disable(&self, id: WebhookId, by: DisabledBy) -> Result<(), WebhookError> {
        let _change = self.changes.lock().await;
        let kept = self
            .change(id, |mut webhook| {
                if !webhook.state.takes_events() {
                    return Ok(None);
                }
                webhook.state = WebhookState::Disabled(by);
                webhook.updated_at = self.clock.now();
                Ok(Some(webhook))
            })
            .await?;
        let Some(kept) = kept else { return Ok(()) };
        let (project, reason) = (&*kept.webhook.project, by.as_str());
        tracing::warn!(webhook = %id, project, reason, "webhook disabled: {}", by.notice());
        self.cancel_pending(id).await
    }

    /// Notes since when every attempt has failed, or that one has succeeded again.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn note_failing(
        &self,
        id: WebhookId,
        since: Option<crate::domain::Timestamp>,
    ) -> Result<(), WebhookError> {
        let _change = self.changes.lock().await;
        let noted = self.change(id, |webhook| {
            Ok((webhook.failing_since != since).then_some(Webhook { failing_since: since, ..webhook }))
        });
        noted.await.map(drop)
    }

    /// Deletes a webhook of a project and cancels what is pending.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn delete(&self, project: &str, id: WebhookId) -> Result<(), WebhookError> {
        let _change = self.changes.lock().await;
        self.of_project(project, id)?;
        self.store.forget_webhook(id).await?;
        self.remove(id);
        self.cancel_pending(id).await
    }

    /// What was planned before the change that made this webhook take nothing.
    async fn cancel_pending(&self, id: WebhookId) -> Result<(), WebhookError> {
        self.store.cancel_all(&id.to_string()).await?;
        Ok(())
    }

    /// Keeps what `make` makes of a webhook as it stands, again where another gateway was faster; `None`: nothing is to be
    /// changed. The caller holds `changes`.
    async fn change(
        &self,
        id: WebhookId,
        make: impl Fn(Webhook) -> Result<Option<Webhook>, WebhookError>,
    ) -> Result<Option<Arc<OpenedWebhook>>, WebhookError> {
        for _ in 0..CHANGE_TRIES {
            let was = self.get(id).ok_or(WebhookError::NotFound)?;
            let Some(changed) = make(was.webhook.clone())? else { return Ok(None) };
            match self.store.keep_webhook(&changed, Some(&was.webhook)).await {
                Ok(()) => return Ok(Some(self.put(changed)?)),
                Err(StoreError::Conflict(_)) => self.look_again(id).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict("other gateways change this webhook all the time: try again".into()).into())
    }

    fn sealed_headers(&self, id: WebhookId, headers: &[(Box<str>, Secret)]) -> Result<Sealed, SealError> {
        if headers.is_empty() {
            return Ok(Sealed::default());
        }
        let values: Vec<&[u8]> = headers.iter().map(|(_, value)| value.expose()).collect();
        let joined = Secret::new(values.join(&BETWEEN_HEADERS));
        self.sealer.seal(&use_of(id, "headers"), joined.expose())
    }

    fn sealed_seed(&self, id: WebhookId) -> Result<Sealed, SealError> {
        self.sealer.seal(&use_of(id, "seed"), random()?.expose())
    }
}

/// A secret as Standard Webhooks writes it.
fn made_secret() -> Result<Secret, SealError> {
    Ok(Secret::new(format!("whsec_{}", STANDARD.encode(random()?.expose()))))
}

fn random() -> Result<Secret, SealError> {
    let mut bytes = vec![0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|_unexplained| SealError::Unsealable)?;
    Ok(Secret::new(bytes))
}
