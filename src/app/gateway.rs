//! What all sources share, and how a checked configuration is applied: the same way at the start and on reload.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::attempts::Deliveries;
use super::feeds::Feeds;
use super::fetcher::Fetcher;
use super::limits::Counts;
use super::outbound::Outbound;
use super::pauses::Pauses;
use super::readmit::readmitter;
use super::resign::{Signer, Signers};
use super::{Stack, StartError, is_by_address, stack};
use crate::api::{self, Configured, DestinationEntry, Masks, SourceEntry};
use crate::config::{self, Checked};
use crate::deliver::{EndpointUrl, Speaks, Upstream};
use crate::dispatch::Dispatcher;
use crate::domain::{Clock, Routes};
use crate::guard::handshake::Handshakes;
use crate::guard::signature::Verifier;
use crate::guard::signature::odd::Certificates;
use crate::guard::{BodyBudget, RateLimit, Spool, rate_limit};
use crate::ingress::{self, Table};
use crate::store::{Retention, Store};
use crate::telemetry::{Metrics, Readiness, Tail};

/// What lives as long as the process, whatever the configuration says.
pub(super) struct Gateway<S: Store> {
    pub(super) store: Arc<S>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) readiness: Readiness,
    pub(super) body_budget: BodyBudget,
    /// Where bodies are that are too large for it.
    pub(super) spool: Spool,
    /// Keys the hashes by which copies are known; the store's own, so that they outlive a restart.
    pub(super) dedup_key: [u8; 16],
    pub(super) limits: Arc<ArcSwap<ingress::Config>>,
    pub(super) configured: Arc<ArcSwap<Configured>>,
    pub(super) retention: Arc<ArcSwap<Retention>>,
    pub(super) signers: Signers,
    pub(super) dispatcher: Arc<Dispatcher<S, Deliveries>>,
    /// What a person has paused.
    pub(super) pauses: Arc<Pauses<S>>,
    /// What happens, for those who look on.
    pub(super) tail: Arc<Tail>,
    /// What senders sign with that keep their key at their own host.
    pub(super) certificates: Arc<Certificates>,
    /// The address lists that sources follow.
    pub(super) feeds: Arc<Feeds>,
    /// The sending side, where it is on.
    pub(super) outbound: Option<Outbound<S>>,
    rate_limits: Mutex<RateLimits>,
    /// The apps of proxy-mode sources by their URL and how they are spoken to, each with its open connections.
    upstreams: Mutex<Upstreams>,
}

/// Limits that are running: a reload that does not change one must not refill it.
type RateLimits = HashMap<(Arc<str>, usize), (rate_limit::Config, Arc<RateLimit>)>;

/// The apps that are running.
type Upstreams = HashMap<(Box<str>, Speaks), Arc<Upstream>>;

/// The limits of a source that stand before the signature, and those behind it.
type BeforeAndBehind = (Vec<Arc<RateLimit>>, Vec<Arc<RateLimit>>);

/// What is made of a configuration at the start, before there is a gateway to apply it to.
pub(super) struct Parts<S: Store> {
    pub(super) store: Arc<S>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) signers: Signers,
    pub(super) dispatcher: Arc<Dispatcher<S, Deliveries>>,
    pub(super) pauses: Arc<Pauses<S>>,
    pub(super) tail: Arc<Tail>,
    pub(super) dedup_key: [u8; 16],
    pub(super) outbound: Option<Outbound<S>>,
}

// === impl Gateway ===

impl<S: Store> Gateway<S> {
    /// A gateway with nothing applied but the limits of `checked`.
    pub(super) fn new(parts: Parts<S>, checked: &Checked) -> Self {
        let feeds = Arc::new(Feeds::new(&checked.store.path, parts.clock.clone(), parts.metrics.clone()));
        Self {
            store: parts.store,
            body_budget: BodyBudget::shown_by(
                checked.ingress.body_memory_max,
                parts.metrics.ingress().body_memory.clone(),
            ),
            spool: Spool::new(
                &checked.store.path,
                BodyBudget::shown_by(checked.ingress.body_spool_max, parts.metrics.ingress().body_spool.clone()),
            ),
            metrics: parts.metrics,
            clock: parts.clock.clone(),
            readiness: Readiness::new(),
            dedup_key: parts.dedup_key,
            limits: Arc::new(ArcSwap::from_pointee(checked.ingress.clone())),
            configured: Arc::new(ArcSwap::from_pointee(configured(
                checked,
                &[],
                &feeds,
                Box::new(|_| Box::pin(async { Err(api::NotReadmitted::Impossible("starting")) })),
            ))),
            retention: Arc::new(ArcSwap::from_pointee(retention(checked))),
            signers: parts.signers,
            dispatcher: parts.dispatcher,
            pauses: parts.pauses,
            tail: parts.tail,
            certificates: Arc::new(Certificates::new(Arc::new(Fetcher::default()), parts.clock.clone())),
            feeds,
            outbound: parts.outbound,
            rate_limits: Mutex::default(),
            upstreams: Mutex::default(),
        }
    }

    /// Applies everything of a configuration but the table of sources, which is returned: whoever holds the
    /// router stores it there.
    ///
    /// # Errors
    /// What `config::check` should have found; nothing was changed then.
    pub(super) fn apply(&self, checked: &Checked) -> Result<Table<impl Stack + use<S>>, StartError> {
        let mut verifiers = Vec::with_capacity(checked.sources.len());
        for source in &checked.sources {
            let refused = |error| StartError::Source { name: Arc::clone(&source.name), error };
            let verifier = Verifier::new(&source.signature).map_err(refused)?;
            verifiers.push(Arc::new(verifier.with_certificates(Arc::clone(&self.certificates))));
        }
        let places = checked.sources.iter().zip(&verifiers).map(|(source, verifier)| {
            let service = stack(source, Arc::clone(verifier), self, checked);
            let methods = Handshakes::methods_of(source.handshakes, &source.methods);
            (source.path.clone(), methods, service)
        });
        let table = Table::new(places)?;
        self.forget_limits(checked);
        self.feeds.forget(checked);
        self.forget_upstreams(checked);
        self.limits.store(Arc::new(checked.ingress.clone()));
        self.body_budget.set_max(checked.ingress.body_memory_max);
        self.spool.set_max(checked.ingress.body_spool_max);
        self.retention.store(Arc::new(retention(checked)));
        self.configured.store(Arc::new(configured(
            checked,
            &verifiers,
            &self.feeds,
            readmitter(self, checked, &verifiers),
        )));
        self.signers.set(signers(checked, &verifiers));
        if let (Some(running), Some(outbound)) = (&self.outbound, &checked.outbound) {
            running.apply(outbound);
        }
        let destinations = checked.destinations.iter();
        self.pauses.apply(destinations.map(|to| (to.settings.clone(), to.endpoint.clone().map(Arc::new))).collect());
        Ok(table)
    }

    /// The running limits of a source: those that stand before the signature, and those behind it.
    pub(super) fn rate_limits(&self, source: &config::Source) -> BeforeAndBehind {
        let mut running = self.rate_limits.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        for (index, config) in source.rate_limits.iter().enumerate() {
            let key = (Arc::clone(&source.name), index);
            let limit = match running.get(&key) {
                Some((old, limit)) if old == config => Arc::clone(limit),
                _ => {
                    let limit = Arc::new(self.rate_limit(source, index, config));
                    running.insert(key, (config.clone(), Arc::clone(&limit)));
                    limit
                }
            };
            if is_by_address(&config.by) { before.push(limit) } else { behind.push(limit) }
        }
        (before, behind)
    }

    /// A limit; where several gateways have the store, they keep it together.
    fn rate_limit(&self, source: &config::Source, index: usize, config: &rate_limit::Config) -> RateLimit {
        let limit = RateLimit::new(config, self.clock.clone());
        if !self.store.is_shared() {
            return limit;
        }
        let name = format!("{}:{index}", source.name).into();
        let counter = Counts::new(Arc::clone(&self.store), self.metrics.source(&source.name));
        limit.together(config, name, self.dedup_key, Arc::new(counter))
    }

    /// The app at this URL; a reload that does not change it keeps its connections.
    pub(super) fn upstream(&self, app: &EndpointUrl, speaks: Speaks) -> Arc<Upstream> {
        let mut running = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (app.as_str().into(), speaks);
        Arc::clone(running.entry(key).or_insert_with(|| Upstream::new(app.clone(), speaks)))
    }

    /// Requests that are under way keep theirs.
    fn forget_upstreams(&self, checked: &Checked) {
        let mut running = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|(url, spoken), _| {
            let is_wanted = |source: &config::Source| match &source.mode {
                config::Mode::Proxy { app, speaks, .. } => app.as_str() == &**url && speaks == spoken,
                config::Mode::Queue => false,
            };
            checked.sources.iter().any(is_wanted)
        });
    }

    fn forget_limits(&self, checked: &Checked) {
        let mut running = self.rate_limits.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|(name, index), _| {
            checked.sources.iter().any(|source| source.name == *name && *index < source.rate_limits.len())
        });
    }
}

fn retention(checked: &Checked) -> Retention {
    let store = &checked.store;
    Retention { events: store.retention_events, rejections: store.retention_rejections, bytes_max: store.bytes_max }
}

/// The sources whose signatures grow old and can be renewed.
fn signers(checked: &Checked, verifiers: &[Arc<Verifier>]) -> HashMap<Arc<str>, Signer> {
    let sources = checked.sources.iter().zip(verifiers);
    sources
        .filter(|(_, verifier)| verifier.can_renew())
        .filter_map(|(source, verifier)| {
            let tolerance = source.replay_window.as_ref()?.tolerance;
            let signer = Signer { verifier: Arc::clone(verifier), tolerance, path: source.path.clone() };
            Some((Arc::clone(&source.name), signer))
        })
        .collect()
}

fn configured(
    checked: &Checked,
    verifiers: &[Arc<Verifier>],
    feeds: &Arc<Feeds>,
    readmit: api::Readmitter,
) -> Configured {
    let (routes, feeds) = (checked.routes.clone(), Arc::clone(feeds));
    // What was kept for an app goes to that app again.
    let apps: HashMap<Arc<str>, Routes> = checked
        .sources
        .iter()
        .filter_map(|source| Some((Arc::clone(&source.name), Routes::all_to(source.kept_for_app()?))))
        .collect();
    Configured {
        tokens: checked.admin.tokens.iter().map(token).collect(),
        sources: checked
            .sources
            .iter()
            .map(|source| SourceEntry {
                name: Arc::clone(&source.name),
                path: source.path.clone(),
                scheme: source.signature.scheme.name.as_ref().into(),
                feeds: source
                    .allow_ips
                    .iter()
                    .flat_map(|list| &list.feeds)
                    .map(|feed| Arc::clone(&feed.name))
                    .collect(),
                mode: source.mode.as_str(),
                fails_open: matches!(source.mode, config::Mode::Proxy { fails_open: true, .. }),
                app: source.mode.app().map(|app| app.as_str().into()),
            })
            .collect(),
        destinations: checked.destinations.iter().map(destination).collect(),
        masks: Masks::new(verifiers.iter().filter_map(|verifier| super::credential_header(verifier))),
        feeds: Box::new(move || feeds.states()),
        diagnose: super::diagnosis::diagnoser(checked, verifiers),
        readmit,
        plan: Box::new(move |event, now| {
            let routes = apps.get(&event.received.source).unwrap_or(&routes);
            routes.plan(&event.received.source, event.received.event_type.as_deref(), now)
        }),
    }
}

fn destination(to: &config::Destination) -> DestinationEntry {
    DestinationEntry {
        name: Arc::clone(&to.settings.name),
        url: to.endpoint.as_ref().map_or("(discard)", |endpoint| endpoint.url.as_str()).into(),
        concurrency: to.settings.concurrency.get(),
        queue_max: to.settings.queue_max,
    }
}

fn token(token: &config::Token) -> api::Token {
    let own = api::Token::new(&token.name, &token.token, role(token.role));
    match &token.project {
        Some(project) => own.of_project(Arc::clone(project)),
        None => own,
    }
}

fn role(role: config::Role) -> api::Role {
    match role {
        config::Role::Admin => api::Role::Admin,
        config::Role::Viewer => api::Role::Viewer,
        config::Role::Publisher => api::Role::Publisher,
    }
}
