//! All webhooks, in memory: by id, and by project for the plan of an event.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::changes::WebhookError;
use super::seal::{SealError, Sealer};
use crate::domain::{Clock, Plan, PlannedDelivery, Sealed, Secret, Timestamp, Webhook, WebhookId, WebhookState};
use crate::store::{Store, StoreError, TargetSettings};

/// A webhook with its secrets readable: in memory only.
#[derive(Clone, Debug)]
pub struct OpenedWebhook {
    /// As the store has it.
    pub webhook: Webhook,
    /// The name of its deliveries' target: its id.
    pub target: Arc<str>,
    /// What signs, the current one first, each until its time is over.
    pub secrets: Vec<(Secret, Option<Timestamp>)>,
    /// The custom headers.
    pub headers: Vec<(Box<str>, Secret)>,
    /// The seed of its ed25519 key, where it has one.
    pub seed: Option<Secret>,
}

/// The bounds of webhooks, and who hears of what becomes of them; a reload changes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one project.
    pub webhooks_max: usize,
    /// More pending deliveries of one webhook: new ones are dead at once, replayable.
    pub queue_max: u64,
    /// How long a replaced secret signs too, where nobody says otherwise.
    pub rotation_grace: Duration,
    /// After so long without a success a webhook is disabled.
    pub disable_after: Duration,
    /// The project in which that is emitted, for the operator.
    pub notices_to: Option<Arc<str>>,
}

/// Told which webhook has changed.
pub type Listener = Box<dyn Fn(WebhookId) + Send + Sync>;

/// Every webhook, and what can be done to them.
pub struct Webhooks<S> {
    pub(super) store: Arc<S>,
    pub(super) clock: Clock,
    pub(super) sealer: Sealer,
    pub(super) limits: ArcSwap<Limits>,
    table: RwLock<Table>,
    /// One change at a time.
    pub(super) changes: tokio::sync::Mutex<()>,
    /// Since when each webhook fails that does.
    pub(super) failing: std::sync::Mutex<HashMap<WebhookId, Timestamp>>,
    listener: OnceLock<Listener>,
    /// Keys the marks by which copies of emitted events are known.
    pub(super) dedup_key: [u8; 16],
}

#[derive(Debug, Default)]
struct Table {
    by_id: BTreeMap<WebhookId, Arc<OpenedWebhook>>,
    /// In the order of their ids.
    of_project: HashMap<Arc<str>, BTreeMap<WebhookId, Arc<OpenedWebhook>>>,
}

// === impl Webhooks ===

impl<S: Store> Webhooks<S> {
    /// Reads all of them from the store and opens their secrets.
    ///
    /// # Errors
    /// What cannot be read; a sentence where a secret does not open, which another `secrets_key` would do.
    pub async fn load(
        store: Arc<S>,
        clock: Clock,
        sealer: Sealer,
        limits: Limits,
        dedup_key: [u8; 16],
    ) -> Result<Self, StoreError> {
        let mut table = Table::default();
        for webhook in store.webhooks().await? {
            let id = webhook.id;
            let opened = open(&sealer, webhook).map_err(|error| {
                StoreError::Engine(
                    format!("the secrets of {id}: {error}; is outbound.secrets_key the right one?").into(),
                )
            })?;
            table.insert(Arc::new(opened));
        }
        let webhooks = Self {
            store,
            clock,
            sealer,
            limits: ArcSwap::from_pointee(limits),
            table: RwLock::new(table),
            changes: tokio::sync::Mutex::new(()),
            failing: std::sync::Mutex::default(),
            listener: OnceLock::new(),
            dedup_key,
        };
        webhooks.tell_store();
        Ok(webhooks)
    }

    /// Who wants to hear of changes; the first one that asks.
    pub fn listen(&self, listener: Listener) {
        drop(self.listener.set(listener));
    }

    /// Other bounds.
    pub fn set_limits(&self, limits: Limits) {
        if **self.limits.load() != limits {
            self.limits.store(Arc::new(limits));
            self.tell_store();
        }
    }

    /// Seals a text that is kept beside the webhooks, for one use.
    ///
    /// # Errors
    /// [`SealError::Unsealable`].
    pub fn seal(&self, of: &str, text: &[u8]) -> Result<Sealed, SealError> {
        self.sealer.seal(of, text)
    }

    /// The text that [`seal`](Self::seal) has sealed for this use.
    ///
    /// # Errors
    /// [`SealError::Unopenable`].
    pub fn open(&self, of: &str, sealed: &Sealed) -> Result<Secret, SealError> {
        self.sealer.open(of, sealed)
    }

    fn tell_store(&self) {
        for webhook in self.read().by_id.values() {
            self.set_target(&webhook.webhook);
        }
    }

    /// A webhook, whoever asks.
    #[must_use]
    pub fn get(&self, id: WebhookId) -> Option<Arc<OpenedWebhook>> {
        self.read().by_id.get(&id).cloned()
    }

    /// A webhook of a project.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`], also where it is another project's.
    pub fn of_project(&self, project: &str, id: WebhookId) -> Result<Arc<OpenedWebhook>, WebhookError> {
        self.get(id).filter(|webhook| *webhook.webhook.project == *project).ok_or(WebhookError::NotFound)
    }

    /// Up to `limit` webhooks of a project that were registered before `after`, newest first, and whether there are more.
    #[must_use]
    pub fn list(&self, project: &str, limit: usize, after: Option<WebhookId>) -> (Vec<Arc<OpenedWebhook>>, bool) {
        let table = self.read();
        let Some(all) = table.of_project.get(project) else { return (Vec::new(), false) };
        let older = all.iter().rev().filter(|(id, _)| after.is_none_or(|after| **id < after));
        let mut found: Vec<_> = older.take(limit + 1).map(|(_, webhook)| Arc::clone(webhook)).collect();
        let has_more = found.len() > limit;
        found.truncate(limit);
        (found, has_more)
    }

    /// How many webhooks a project has.
    #[must_use]
    pub fn count(&self, project: &str) -> usize {
        self.read().of_project.get(project).map_or(0, BTreeMap::len)
    }

    /// The deliveries of an event of this project and type, as the webhooks stand now; at most 65,535.
    #[must_use]
    pub fn plan(&self, project: &str, event_type: &str) -> Plan {
        let table = self.read();
        let of_project = table.of_project.get(project).into_iter().flat_map(BTreeMap::values);
        let wanting = of_project.filter(|webhook| webhook.webhook.wants(event_type));
        Plan { deliveries: wanting.take(u16::MAX.into()).map(|webhook| delivery_to(&webhook.target)).collect() }
    }

    pub(super) fn set_target(&self, webhook: &Webhook) {
        self.store.set_target(&TargetSettings {
            name: webhook.id.to_string().into(),
            queue_max: self.limits.load().queue_max,
            paused: webhook.state == WebhookState::Paused,
            in_flight_max: None,
            ordered: false,
        });
    }

    /// Makes a webhook as it is kept by now the one that counts, and tells who wants to know.
    pub(super) fn put(&self, webhook: Webhook) -> Result<Arc<OpenedWebhook>, SealError> {
        let opened = Arc::new(open(&self.sealer, webhook)?);
        self.write().insert(Arc::clone(&opened));
        self.set_target(&opened.webhook);
        self.changed(opened.webhook.id);
        Ok(opened)
    }

    /// As [`put`](Self::put), unless it stands so already.
    pub(super) fn put_where_new(&self, webhook: Webhook) -> Result<(), WebhookError> {
        if self.get(webhook.id).is_none_or(|known| known.webhook != webhook) {
            self.put(webhook)?;
        }
        Ok(())
    }

    /// The ids of all.
    pub(super) fn ids(&self) -> Vec<WebhookId> {
        self.read().by_id.keys().copied().collect()
    }

    pub(super) fn remove(&self, id: WebhookId) {
        self.write().remove(id);
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.changed(id);
    }

    fn changed(&self, id: WebhookId) {
        if let Some(listener) = self.listener.get() {
            listener(id);
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> std::fmt::Debug for Webhooks<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhooks")
    }
}

/// One delivery to a webhook's target, now.
#[must_use]
pub fn delivery_to(target: &Arc<str>) -> PlannedDelivery {
    PlannedDelivery {
        target: Arc::clone(target),
        route: 0,
        not_before: None,
        expires_at: None,
        order_key: None,
        batch_key: None,
    }
}

/// What a sealed text of a webhook belongs to.
pub(super) fn use_of(id: WebhookId, what: &str) -> String {
    format!("{id}: {what}")
}

/// Header values have no line breaks: sealed they stand one below the other.
pub(super) const BETWEEN_HEADERS: u8 = b'\n';

fn open(sealer: &Sealer, webhook: Webhook) -> Result<OpenedWebhook, SealError> {
    let id = webhook.id;
    let secret =
        |secret: &crate::domain::SigningSecret| Ok((sealer.open(&use_of(id, "secret"), &secret.sealed)?, secret.until));
    let secrets = webhook.secrets.iter().map(secret).collect::<Result<_, SealError>>()?;
    let seed = webhook.sealed_seed.as_ref().map(|seed| sealer.open(&use_of(id, "seed"), seed)).transpose()?;
    let mut headers = Vec::new();
    if !webhook.header_names.is_empty() {
        let values = sealer.open(&use_of(id, "headers"), &webhook.sealed_headers)?;
        let values = values.expose().split(|byte| *byte == BETWEEN_HEADERS).map(Secret::new);
        headers = webhook.header_names.iter().cloned().zip(values).collect();
    }
    Ok(OpenedWebhook { target: id.to_string().into(), webhook, secrets, headers, seed })
}

// === impl Table ===

impl Table {
    fn insert(&mut self, webhook: Arc<OpenedWebhook>) {
        let (id, project) = (webhook.webhook.id, Arc::clone(&webhook.webhook.project));
        self.of_project.entry(project).or_default().insert(id, Arc::clone(&webhook));
        self.by_id.insert(id, webhook);
    }

    fn remove(&mut self, id: WebhookId) {
        let Some(webhook) = self.by_id.remove(&id) else { return };
        let project = &webhook.webhook.project;
        if let Some(of_project) = self.of_project.get_mut(project) {
            of_project.remove(&id);
            if of_project.is_empty() {
                self.of_project.remove(project);
            }
        }
    }
}
