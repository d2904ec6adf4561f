//! From a checked configuration to open ports, and back.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::ServiceBuilder;

use super::access::{AccessLayer, Desk};
use super::account::Books;
use super::attempts::Deliveries;
use super::gateway::{Gateway, Parts};
use super::inherited::Inherited;
use super::opened::{Opened, open_store, succeed_to_store};
use super::outbound::Outbound;
use super::pauses::Pauses;
use super::resign::Signers;
use crate::config::{Checked, Durability};
use crate::deliver::Client;
use crate::dispatch::Dispatcher;
use crate::domain::Clock;
use crate::guard::signature::ConfigError;
use crate::ingress::{self, Ledger, ListenError, Listener, PathError, Router, Server};
use crate::store::{Store, StoreError, embedded, redis};
use crate::telemetry::{AccessLog, Cores, Metrics, Readiness, Tail, task};
use crate::{api, records};

/// A gateway with open ports.
pub struct Running {
    /// Where webhooks come in.
    pub ingress: SocketAddr,
    /// Where operators ask.
    pub admin: SocketAddr,
    gateway: Arc<dyn Life>,
    apply: Apply,
    stop_ingress: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    ingress_task: JoinHandle<()>,
    admin_task: JoinHandle<()>,
    retention_task: JoinHandle<()>,
    feeds_task: JoinHandle<()>,
    passed_task: JoinHandle<()>,
    pauses_task: JoinHandle<()>,
}

/// A gateway without its engine's type: what begins and ends it is not what an event meets.
trait Life: Send + Sync {
    fn clock(&self) -> &Clock;
    fn readiness(&self) -> &Readiness;
    fn metrics(&self) -> &Metrics;
    fn tail(&self) -> &Tail;
    fn drain_timeout(&self) -> Duration;
    fn drain(&self, deadline: Instant) -> Ending<'_, usize>;
    fn close(&self) -> Ending<'_, Result<(), StoreError>>;
}

type Ending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The ports, and what is said about the requests that come in there.
struct Doors {
    ingress: Listener,
    admin: Listener,
    log: AccessLog,
}

/// Applies a configuration to the running gateway.
type Apply = Box<dyn Fn(&Checked) -> Result<(), StartError> + Send + Sync>;

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store's folder.
    #[error(transparent)]
    Store(#[from] embedded::OpenError),
    /// The store's server.
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
    /// The webhooks of customers.
    #[error("the webhooks of customers: {0}")]
    Webhooks(#[from] StoreError),
    /// What a person has paused.
    #[error("what is paused: {0}")]
    Pauses(#[source] StoreError),
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A source whose signature cannot be checked.
    #[error("source {name}: {error}")]
    Source {
        /// Its name.
        name: Arc<str>,
        /// Why.
        error: ConfigError,
    },
    /// The machine.
    #[error("{what}: {cause}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

/// How long the admin port may take to finish its answers at the end.
const ADMIN_DRAIN: Duration = Duration::from_secs(2);

/// The runtime that everything but connections and attempts runs on: a thread for each core.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("hookward").build()
}

/// Opens the store and the ports, those that were inherited excepted. The access log goes to `log`.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub async fn start(
    checked: &Checked,
    inherited: Inherited,
    log: AccessLog,
    metrics: Metrics,
) -> Result<Running, StartError> {
    start_at(Clock::machine(), checked, inherited, log, metrics).await
}

/// The same by another clock: one that a test moves.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub async fn start_at(
    clock: Clock,
    checked: &Checked,
    mut inherited: Inherited,
    log: AccessLog,
    metrics: Metrics,
) -> Result<Running, StartError> {
    // The ports first: a second instance fails on them before it touches the store, and senders that come while
    // the store opens wait in the backlog instead of being refused.
    let (ingress_listener, patience) = inherited.ingress(checked.ingress.listen, checked.ingress.drain_timeout)?;
    let (store, admin_listener) = if patience.waits() {
        // The gateway before this one gives the store back first, and its admin port last.
        let store = succeed_to_store(checked, &clock, &metrics, patience).await?;
        (store, inherited.admin(checked.admin.listen, patience).await?)
    } else {
        let admin_listener = inherited.admin(checked.admin.listen, patience).await?;
        (open_store(checked, &clock, &metrics, None).await?, admin_listener)
    };
    let doors = Doors { ingress: ingress_listener, admin: admin_listener, log };
    match store {
        Opened::Embedded(store) => {
            let dedup_key = store.hash_key();
            Box::pin(begin(*store, dedup_key, checked, doors, clock, metrics)).await
        }
        Opened::Redis(store) => {
            let dedup_key = store.hash_key();
            Box::pin(begin(*store, dedup_key, checked, doors, clock, metrics)).await
        }
    }
}

/// Everything behind the open store, for whichever engine.
async fn begin<S: Store>(
    store: S,
    dedup_key: [u8; 16],
    checked: &Checked,
    doors: Doors,
    clock: Clock,
    metrics: Metrics,
) -> Result<Running, StartError> {
    let Doors { ingress: ingress_listener, admin: admin_listener, log } = doors;
    let store = Arc::new(store);
    let signers = Signers::default();
    let client = Client::new(clock.clone(), Arc::new(signers.clone()));
    let cores =
        Cores::start().map_err(|cause| StartError::Machine { what: "starting a thread for each core", cause })?;
    let tail = Arc::new(Tail::default());
    let attempts = Arc::new(Deliveries { client, tail: Arc::clone(&tail) });
    let dispatcher = Dispatcher::new(Arc::clone(&store), attempts, clock.clone(), metrics.clone(), cores.for_others());
    let dispatcher = Arc::new(dispatcher);
    let pauses = Pauses::load(&store, &dispatcher).await.map_err(StartError::Pauses)?;
    let outbound = start_outbound(checked, &store, &clock, &metrics, &tail, &cores, dedup_key).await?;
    let parts = Parts { store, metrics, clock, signers, dispatcher, pauses, tail, dedup_key, outbound };
    let gateway = Arc::new(Gateway::new(parts, checked));
    let table = Arc::new(ArcSwap::from_pointee(gateway.apply(checked)?));
    let apply: Apply = {
        let (gateway, table) = (Arc::clone(&gateway), Arc::clone(&table));
        Box::new(move |checked| {
            table.store(Arc::new(gateway.apply(checked)?));
            Ok(())
        })
    };
    let (stop_ingress, ingress_stopped) = watch::channel(false);
    let (stop_admin, admin_stopped) = watch::channel(false);
    let (ingress, admin) = (ingress_listener.local_addr(), admin_listener.local_addr());
    let admin_cores = cores.for_others();
    let desk = Arc::new(Desk {
        log,
        unmatched: books(&gateway),
        limits: Arc::clone(&gateway.limits),
        clock: gateway.clock.clone(),
    });
    // Outside of everything: every request gets its line, also those that no source wanted.
    let service = ServiceBuilder::new().layer(AccessLayer(Arc::clone(&desk))).service(Router::new(table));
    let server = Server::new(ingress_listener, Arc::clone(&gateway.limits))
        .ledger(Ledger::new(move |turned| desk.turn_away(turned)))
        .metrics(gateway.metrics.ingress().clone())
        .cores(cores);
    let ingress_task = task::spawn("ingress", server.serve(service, stopped(ingress_stopped)));
    let admin_task =
        task::spawn("admin", serve_admin(Arc::clone(&gateway), admin_listener, admin_cores, admin_stopped));
    let retention_task = start_retention(&gateway);
    let feeds_task = task::spawn("feeds", Arc::clone(&gateway.feeds).run());
    let passed_task = count_passed_on(&gateway);
    let pauses_task = task::spawn("pauses of other gateways", Arc::clone(&gateway.pauses).follow());
    let relaxed = checked.store.durability == Durability::Relaxed;
    gateway.readiness.set_relaxed(relaxed);
    gateway.metrics.store().relaxed.set(relaxed.into());
    gateway.readiness.set_started();
    let running = Running {
        ingress,
        admin,
        gateway,
        apply,
        stop_ingress,
        stop_admin,
        ingress_task,
        admin_task,
        retention_task,
        feeds_task,
        passed_task,
        pauses_task,
    };
    let now = running.gateway.clock().now();
    running.gateway.readiness().config_loaded(now);
    running.gateway.metrics().gateway().config_loaded(now);
    Ok(running)
}

/// Ctrl-C and SIGTERM, heard from the moment on when this was made.
#[derive(Debug)]
pub struct Interrupts {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Interrupts ===

impl Interrupts {
    /// Takes the signals over: they do not end the process any more.
    ///
    /// # Errors
    /// The system does not let the process listen for signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

// === impl Running ===

impl Running {
    /// Goes over to another configuration while requests are in flight; on an error nothing has changed.
    ///
    /// Ports and store stay as they were opened: [`config::reload`](crate::config) refuses a change of those.
    ///
    /// # Errors
    /// What the check of the configuration should have found.
    pub fn reload(&self, checked: &Checked) -> Result<(), StartError> {
        let result = (self.apply)(checked);
        match &result {
            Ok(()) => self.reloaded(),
            Err(error) => self.reload_refused(&error.to_string()),
        }
        result
    }

    /// Notes that the configuration that runs is the one in the file.
    pub fn reloaded(&self) {
        let now = self.gateway.clock().now();
        self.gateway.readiness().config_loaded(now);
        self.gateway.metrics().gateway().config_reloaded(now);
    }

    /// Notes that a changed configuration could not be used.
    pub fn reload_refused(&self, why: &str) {
        self.gateway.readiness().config_refused(self.gateway.clock().now(), why);
        self.gateway.metrics().gateway().config_refused();
    }

    /// Drains: no new connections, requests in flight get their answers, attempts in flight their outcomes; then
    /// everything is written and closed.
    pub async fn stop(self) {
        let gateway = &self.gateway;
        gateway.readiness().set_draining();
        let deadline = Instant::now() + gateway.drain_timeout();
        self.stop_ingress.send_replace(true);
        // Attempts may go on while the last requests come in, but end by the same deadline.
        finished("ingress", self.ingress_task).await;
        let cut = gateway.drain(deadline).await;
        if cut > 0 {
            tracing::warn!(attempts = cut, "attempts were cut at the drain deadline and will be made again");
        }
        self.retention_task.abort();
        self.feeds_task.abort();
        self.passed_task.abort();
        self.pauses_task.abort();
        if let Err(error) = gateway.close().await {
            tracing::error!(%error, "the store did not close cleanly; the next start verifies it");
        }
        gateway.tail().end();
        self.stop_admin.send_replace(true);
        if tokio::time::timeout(ADMIN_DRAIN, self.admin_task).await.is_err() {
            tracing::debug!("admin port cut");
        }
    }
}

/// What is old goes.
fn start_retention<S: Store>(gateway: &Arc<Gateway<S>>) -> JoinHandle<()> {
    let retention = Arc::clone(&gateway.retention);
    task::spawn(
        "retention",
        records::retention::run(
            Arc::clone(&gateway.store),
            move || **retention.load(),
            gateway.metrics.retention().clone(),
        ),
    )
}

/// The sending side, where it is on.
async fn start_outbound<S: Store>(
    checked: &Checked,
    store: &Arc<S>,
    clock: &Clock,
    metrics: &Metrics,
    tail: &Arc<Tail>,
    cores: &Cores,
    dedup_key: [u8; 16],
) -> Result<Option<Outbound<S>>, StoreError> {
    let Some(outbound) = &checked.outbound else { return Ok(None) };
    let cores = cores.for_others();
    Outbound::start(outbound, Arc::clone(store), clock.clone(), metrics, tail, cores, dedup_key).await.map(Some)
}

async fn finished(name: &'static str, task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(task = name, %error, "did not end well");
    }
}

// === impl Life for Gateway ===

impl<S: Store> Life for Gateway<S> {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn tail(&self) -> &Tail {
        &self.tail
    }

    fn drain_timeout(&self) -> Duration {
        self.limits.load().drain_timeout
    }

    fn drain(&self, deadline: Instant) -> Ending<'_, usize> {
        Box::pin(async move {
            let webhooks = async {
                match &self.outbound {
                    Some(outbound) => outbound.drain(deadline).await,
                    None => 0,
                }
            };
            let (cut, of_webhooks) = tokio::join!(self.dispatcher.drain(deadline), webhooks);
            cut + of_webhooks
        })
    }

    fn close(&self) -> Ending<'_, Result<(), StoreError>> {
        records::passed::write_down(&*self.store, &self.metrics, &proxied(&self.configured.load()));
        Box::pin(self.store.close())
    }
}

/// Counts for good what is passed on, as long as its task runs.
fn count_passed_on<S: Store>(gateway: &Gateway<S>) -> JoinHandle<()> {
    let (store, metrics) = (Arc::clone(&gateway.store), gateway.metrics.clone());
    let configured = Arc::clone(&gateway.configured);
    task::spawn("passed", records::passed::run(store, metrics, move || proxied(&configured.load())))
}

/// The sources that pass on to an app.
fn proxied(configured: &api::Configured) -> Vec<Arc<str>> {
    let proxied = configured.sources.iter().filter(|entry| entry.app.is_some());
    proxied.map(|entry| Arc::clone(&entry.name)).collect()
}

/// The books of what belongs to no source.
fn books<S: Store>(gateway: &Gateway<S>) -> Books<S> {
    Books {
        source: None,
        store: Arc::clone(&gateway.store),
        metrics: gateway.metrics.unmatched(),
        clock: gateway.clock.clone(),
        tail: Arc::clone(&gateway.tail),
        secret_header: None,
    }
}

async fn serve_admin<S: Store>(
    gateway: Arc<Gateway<S>>,
    listener: Listener,
    cores: Cores,
    stop: watch::Receiver<bool>,
) {
    let address = listener.local_addr();
    let configured = Arc::clone(&gateway.configured);
    let door = api::door(api::State {
        store: Arc::clone(&gateway.store),
        metrics: gateway.metrics.clone(),
        readiness: gateway.readiness.clone(),
        clock: gateway.clock.clone(),
        configured: Arc::new(move || configured.load_full()),
        listens_on_loopback: address.ip().is_loopback(),
        sending: gateway.outbound.as_ref().map(|outbound| Arc::clone(&outbound.sending)),
        replays: Arc::default(),
        tail: Arc::clone(&gateway.tail),
        pauses: {
            let pauses = Arc::clone(&gateway.pauses);
            let is_paused = Arc::clone(&pauses);
            api::Pauses {
                is_paused: Arc::new(move |what| is_paused.is_paused(what)),
                set: Arc::new(move |what, paused| {
                    let pauses = Arc::clone(&pauses);
                    Box::pin(async move { pauses.set(what, paused).await })
                }),
            }
        },
    });
    // Its own limits: what floods the ingress does not shut the operator out.
    let limits = ingress::Config { listen: address, drain_timeout: ADMIN_DRAIN, ..ingress::Config::default() };
    let server = Server::new(listener, Arc::new(ArcSwap::from_pointee(limits))).cores(cores);
    server.serve(door, stopped(stop)).await;
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    drop(stop.wait_for(|stop| *stop).await);
}
