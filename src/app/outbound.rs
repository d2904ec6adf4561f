//! The sending side, put together: webhooks, lanes on demand, and deliver's client.
//!
//! What an attempt says of its webhook (gone, failing for days) is acted upon beside the attempt, never in its way.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::api::{Sending, SendingSettings};
use crate::config;
use crate::deliver::{
    AsymmetricKey, Client, Connection, Endpoint, EndpointUrl, KeepSignatures, Parcel, Policy, Vetting, WebhookHeaders,
    WebhookKey, WebhookRequest,
};
use crate::dispatch::{Attempts, Destination, OnDemand, Resolved};
use crate::domain::{Attempt, Clock, Schedule, WebhookId, WebhookState};
use crate::outbound::{Limits, OpenedWebhook, Sealer, Verdict, Webhooks};
use crate::store::{Claim, Store, StoreError};
use crate::telemetry::{Cores, Metrics, task};

/// The sending side while it runs.
pub(super) struct Outbound<S: Store> {
    pub(super) sending: Arc<Sending<S>>,
    webhooks: Arc<Webhooks<S>>,
    lanes: Arc<OnDemand<S, WebhookAttempts<S>>>,
    configured: Arc<ArcSwap<config::Outbound>>,
    task: JoinHandle<()>,
    following: JoinHandle<()>,
}

/// Deliver's client for webhooks: looks at what came of each attempt.
pub(super) struct WebhookAttempts<S> {
    client: Client,
    webhooks: Arc<Webhooks<S>>,
}

/// How long the names of a customer's URL may take to be looked up before it is kept.
const VETTED_WITHIN: Duration = Duration::from_secs(3);

// === impl Outbound ===

impl<S: Store> Outbound<S> {
    /// Reads the webhooks and begins to deliver.
    ///
    /// # Errors
    /// They cannot be read, or their secrets do not open.
    pub(super) async fn start(
        configured: &config::Outbound,
        store: Arc<S>,
        clock: Clock,
        metrics: &Metrics,
        cores: Cores,
        dedup_key: [u8; 16],
    ) -> Result<Self, StoreError> {
        let sealer = Sealer::new(&configured.secrets_keys);
        let limits = limits(configured);
        let webhooks = Webhooks::load(Arc::clone(&store), clock.clone(), sealer, limits, dedup_key).await?;
        let webhooks = Arc::new(webhooks);
        let configured = Arc::new(ArcSwap::from_pointee(configured.clone()));
        let client = Client::new(clock.clone(), Arc::new(KeepSignatures));
        let attempts = Arc::new(WebhookAttempts { client, webhooks: Arc::clone(&webhooks) });
        let resolve = {
            let (webhooks, configured) = (Arc::clone(&webhooks), Arc::clone(&configured));
            Box::new(move |target: &str| resolve(&webhooks, &configured.load(), target))
        };
        let attempts_max = configured.load().attempts_max;
        let lanes = Arc::new(OnDemand::new(store, attempts, clock, metrics, cores, attempts_max, resolve));
        webhooks.listen({
            let lanes: Weak<_> = Arc::downgrade(&lanes);
            Box::new(move |id| {
                if let Some(lanes) = lanes.upgrade() {
                    lanes.changed(&id.to_string());
                }
            })
        });
        let sending = Arc::new(Sending {
            webhooks: Arc::clone(&webhooks),
            vet: {
                let (vetting, configured) = (Arc::new(Vetting::default()), Arc::clone(&configured));
                Box::new(move |url| {
                    let (vetting, policy) = (Arc::clone(&vetting), policy(&configured.load()));
                    Box::pin(async move {
                        let vetted = vetting.vet(&url, &policy, VETTED_WITHIN).await;
                        vetted.map(|url| url.as_str().into()).map_err(|refused| refused.to_string())
                    })
                })
            },
            settings: ArcSwap::from_pointee(settings(&configured.load())),
        });
        let running = Arc::clone(&lanes);
        let task = task::spawn("webhooks", async move { running.run().await });
        let followed = Arc::clone(&webhooks);
        let following = task::spawn("webhooks of other gateways", async move { followed.follow().await });
        Ok(Self { sending, webhooks, lanes, configured, task, following })
    }

    /// Goes over to other settings, for what is pending too.
    pub(super) fn apply(&self, configured: &config::Outbound) {
        if **self.configured.load() == *configured {
            return;
        }
        self.configured.store(Arc::new(configured.clone()));
        self.webhooks.set_limits(limits(configured));
        self.sending.settings.store(Arc::new(settings(configured)));
        self.lanes.changed_all();
    }

    /// Begins nothing new and waits for what is under way; how many attempts were cut at `deadline`.
    pub(super) async fn drain(&self, deadline: Instant) -> usize {
        self.task.abort();
        self.following.abort();
        self.lanes.drain(deadline).await
    }
}

fn limits(configured: &config::Outbound) -> Limits {
    Limits {
        webhooks_max: configured.webhooks_max.get(),
        queue_max: configured.queue_max,
        rotation_grace: configured.rotation_grace,
        disable_after: configured.disable_after,
    }
}

fn settings(configured: &config::Outbound) -> SendingSettings {
    SendingSettings {
        header_prefix: configured.header_prefix.clone(),
        event_types: Arc::clone(&configured.event_types),
        body_bytes_max: configured.body_bytes_max,
    }
}

/// Which addresses webhooks may be at.
fn policy(configured: &config::Outbound) -> Policy {
    Policy::public(configured.allow_private.clone())
}

/// What becomes of the deliveries of one webhook.
fn resolve<S: Store>(webhooks: &Webhooks<S>, configured: &config::Outbound, target: &str) -> Resolved<Endpoint> {
    let Some(opened) = target.parse::<WebhookId>().ok().and_then(|id| webhooks.get(id)) else { return Resolved::Gone };
    match opened.webhook.state {
        WebhookState::Disabled(_) => Resolved::Gone,
        WebhookState::Paused => Resolved::Paused,
        WebhookState::Active => match endpoint(&opened, configured) {
            Some(endpoint) => Resolved::Ready(Box::new(destination(target, configured)), Arc::new(endpoint)),
            None => {
                tracing::error!(
                    webhook = target,
                    url = &*opened.webhook.url,
                    "not a URL any more: its deliveries wait"
                );
                Resolved::Paused
            }
        },
    }
}

fn destination(target: &str, configured: &config::Outbound) -> Destination {
    let mut destination = Destination::new(target);
    destination.concurrency = configured.concurrency;
    destination.timeout = configured.timeout;
    destination.queue_max = configured.queue_max;
    destination.rate_limit = configured.rate_limit;
    destination.schedule = Schedule::of_webhooks();
    destination.keeps_schedule = true;
    destination
}

fn endpoint(opened: &OpenedWebhook, configured: &config::Outbound) -> Option<Endpoint> {
    let mut endpoint = Endpoint::new(EndpointUrl::parse(&opened.webhook.url).ok()?);
    endpoint.timeout = configured.timeout;
    endpoint.policy = policy(configured);
    let mut headers = HeaderMap::new();
    for (name, value) in &opened.headers {
        let (name, mut value) = (name.parse::<HeaderName>().ok()?, HeaderValue::from_bytes(value.expose()).ok()?);
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let keys = opened.secrets.iter();
    endpoint.webhook = Some(Arc::new(WebhookRequest {
        names: WebhookHeaders::new(&configured.header_prefix, configured.user_agent.clone()),
        headers,
        keys: keys.filter_map(|(secret, until)| Some((WebhookKey::new(secret)?, *until))).collect(),
        asymmetric: opened.seed.as_ref().and_then(AsymmetricKey::new),
    }));
    Some(endpoint)
}

// === impl WebhookAttempts ===

impl<S: Store> Attempts for WebhookAttempts<S> {
    type Endpoint = Endpoint;
    type Connection = Connection;

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        connection: &mut Option<Connection>,
        claim: &Claim,
        begun: Instant,
    ) -> Attempt {
        let parcel = Parcel { event: &claim.event, delivery: claim.id, attempt: claim.attempt };
        let attempt = self.client.attempt(endpoint, connection, parcel, begun).await;
        if let Ok(id) = claim.target.parse::<WebhookId>() {
            let verdict = self.webhooks.judge(id, &attempt);
            if verdict != Verdict::AsBefore {
                task::spawn("verdict", act(Arc::clone(&self.webhooks), id, verdict));
            }
        }
        attempt
    }

    fn closed(&self, connection: &mut Connection) -> impl Future<Output = ()> + Send {
        self.client.closed(connection)
    }
}

/// Acts on what attempts said, once: of those that come meanwhile the first has counted.
async fn act<S: Store>(webhooks: Arc<Webhooks<S>>, id: WebhookId, verdict: Verdict) {
    let done = match verdict {
        Verdict::AsBefore => Ok(()),
        Verdict::Disable(by) => webhooks.disable(id, by).await,
        Verdict::Note(since) => webhooks.note_failing(id, since).await,
    };
    if let Err(error) = done {
        tracing::warn!(webhook = %id, %error, "what attempts said of a webhook was not written down");
    }
}
