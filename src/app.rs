//! Where the stages meet: the whole stack of a source in one place, and what starts, reloads and ends it.
//!
//! Reading order: `stack` below (what a request meets, outermost first), `access` and `account` (what is written
//! down about it), `gateway` (what all sources share, and how a configuration is applied), [`start`] and
//! [`Running`] (from a checked configuration to open ports, and back). `attempts`, `passing`, `resign`,
//! `fetcher` and `limits` are the seams between intake, dispatch, deliver, guard and store; `diagnosis` answers the API why a signature was
//! refused, [`explain`] asks the same guards about a request that nobody sent, `feeds` follows
//! the address lists that providers publish, `outbound` puts the sending side together, `pauses` knows what a person has
//! paused, `readmit` lets in what was refused, [`moving`] takes what a store holds to another one.

mod access;
mod account;
mod attempts;
mod diagnosis;
pub mod explain;
mod feeds;
mod fetcher;
mod gateway;
mod inherited;
mod limits;
pub mod moving;
mod opened;
mod outbound;
mod passing;
mod pauses;
mod readmit;
mod resign;
mod start;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tower::ServiceBuilder;
use tower_service::Service;

pub use inherited::Inherited;
pub use start::{Interrupts, Running, StartError, runtime, start, start_at};

use self::account::{AccountLayer, Books};
use self::gateway::Gateway;
use self::passing::Passing;
use crate::config;
use crate::domain::{AnswerBody, Clock, Routes};
use crate::guard::allow_ips;
use crate::guard::dedup::Dedup;
use crate::guard::handshake::{Handshakes, Lenient};
use crate::guard::rate_limit::{By, TogetherLayer};
use crate::guard::signature::Verifier;
use crate::guard::signature::odd::FetchingLayer;
use crate::guard::{
    AllowIps, BodyLayer, Declared, Envelope, GuardLayer, HandshakeHead, HandshakeSigned, HandshakeUnsigned, Large,
    Looks, RateLimit, ReceiveLayer, ReplayWindow, Reporter, Signature, SignatureHead, Spool,
};
use crate::ingress::RequestBody;
use crate::intake::{self, Intake, Keep, Pass};
use crate::store::Store;

/// The deadlines of body and app end a little before the whole request's, so that the answer still passes the books.
const TIMEOUT_MARGIN: Duration = Duration::from_millis(250);

/// How long a claim outlives its request's time.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// A source's whole stack: what the router passes a request to.
trait Stack:
    Service<Request<RequestBody>, Response = Response<AnswerBody>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<T> Stack for T where
    T: Service<Request<RequestBody>, Response = Response<AnswerBody>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The stack of one source, outermost first, in the order in which a request meets it.
///
/// Path and method were decided before: only the ingress knows all sources.
fn stack<S: Store>(
    source: &config::Source,
    verifier: Arc<Verifier>,
    gateway: &Gateway<S>,
    checked: &config::Checked,
) -> impl Stack + use<S> {
    let (by_address, by_request) = gateway.rate_limits(source);
    let ingress = &checked.ingress;
    let body_bytes_max = usize::try_from(source.declared.body_bytes_max).unwrap_or(usize::MAX);
    let body_timeout = within(ingress.request_timeout);
    let handshakes = handshakes(source, &verifier);
    let books = Arc::new(Books {
        source: Some(Arc::clone(&source.name)),
        store: Arc::clone(&gateway.store),
        metrics: gateway.metrics.source(&source.name),
        clock: gateway.clock.clone(),
        tail: Arc::clone(&gateway.tail),
        secret_header: credential_header(&verifier),
    });
    let reporter = source.reports.then(|| {
        let books = Arc::clone(&books);
        Reporter::new(move |refused| books.report(refused))
    });
    let allow_ips = allow_ips(source, |list| gateway.feeds.of(list));
    let together = [&by_address, &by_request].map(|limits| TogetherLayer::new(limits).reporting(reporter.clone()));
    let [addresses_together, requests_together] = together;
    let before = before_body(source, &verifier, handshakes.as_ref(), allow_ips.clone(), alone(by_address));
    let behind =
        behind_body(source, &verifier, handshakes.as_ref(), alone(by_request), &gateway.clock, gateway.dedup_key);
    ServiceBuilder::new()
        // Outside of everything that can refuse: counts each answer, keeps each refusal.
        .layer(AccountLayer(books))
        // Addresses that several gateways count together; the allowlist is asked before, as within.
        .layer(addresses_together.behind(allow_ips))
        .layer(GuardLayer::new(before).reporting(reporter.clone()))
        // From here on there is a body: bounded in bytes, in total time, and in memory over all requests.
        .layer(ReceiveLayer::new(
            BodyLayer::new(body_bytes_max, body_timeout, gateway.body_budget.clone()),
            large(source, &verifier, handshakes.as_ref(), &gateway.spool),
        ))
        // Waits for a certificate, where the scheme needs one: the guards behind never wait.
        .layer(FetchingLayer::new(verifier.odd(), &gateway.certificates))
        .layer(GuardLayer::new(behind).reporting(reporter))
        // By source or header, where several gateways count together.
        .layer(requests_together)
        // The end of the way: durable and then 2xx, or the app's own answer.
        .service(innermost(source, &verifier, gateway, checked))
}

/// What the guards stand in front of.
fn innermost<S: Store>(
    source: &config::Source,
    verifier: &Verifier,
    gateway: &Gateway<S>,
    checked: &config::Checked,
) -> Intake<S, Passing> {
    let (store, clock) = (Arc::clone(&gateway.store), gateway.clock.clone());
    match &source.mode {
        config::Mode::Queue => {
            let routes = Arc::new(checked.routes.clone());
            Intake::Keep(Arc::new(Keep::new(keeping(source, verifier, gateway, routes), store, clock)))
        }
        config::Mode::Proxy { app, speaks, fails_open, .. } => {
            let request_timeout = checked.ingress.request_timeout;
            let config = intake::PassConfig {
                source: Arc::clone(&source.name),
                respond: source.respond.clone(),
                dedup_window: source.dedup.as_ref().map(|dedup| dedup.window),
                needed_headers: needed_headers(verifier),
                timeout: within(request_timeout),
                lease: request_timeout + LEASE_MARGIN,
                fails_open: *fails_open,
            };
            let passing = Passing::new(gateway.upstream(app, *speaks), &source.path);
            let kept = source.kept_for_app().map(|app| {
                let routes = Arc::new(Routes::all_to(app));
                Keep::new(keeping(source, verifier, gateway, routes), Arc::clone(&store), clock.clone())
            });
            let pass = Pass::new(config, passing, store, clock, gateway.metrics.source(&source.name));
            Intake::Pass(Arc::new(pass.keeping(kept)))
        }
    }
}

/// How the events of a source are kept that go by these routes.
fn keeping<S: Store>(
    source: &config::Source,
    verifier: &Verifier,
    gateway: &Gateway<S>,
    routes: Arc<Routes>,
) -> intake::Config {
    intake::Config {
        source: Arc::clone(&source.name),
        respond: source.respond.clone(),
        dedup_window: source.dedup.as_ref().map(|dedup| dedup.window),
        needed_headers: needed_headers(verifier),
        routes,
        holding: gateway.pauses.holding(&source.name),
    }
}

/// Where a large body waits. An event that is, or may be, kept is written from memory; what an app gets need not be in it.
fn large(
    source: &config::Source,
    verifier: &Arc<Verifier>,
    handshakes: Option<&Arc<Handshakes>>,
    spool: &Spool,
) -> Large {
    let config::Mode::Proxy { keeps: false, .. } = source.mode else { return Large::Held };
    // These guards may wait for a certificate: while they look at one body, no other would be looked at.
    if verifier.odd().is_some() {
        return Large::Held;
    }
    let is_asked = handshakes.is_some()
        || verifier.scheme().proof.reads_body()
        || source.envelope.reads_body()
        || source.dedup.as_ref().is_some_and(|dedup| dedup.reads_body(&source.envelope));
    if !is_asked {
        return Large::Streamed(spool.clone());
    }
    // A handshake may be anything in the body.
    let looks = Looks::of(verifier, &source.envelope, source.dedup.as_ref()).filter(|_| handshakes.is_none());
    Large::Spooled(spool.clone(), looks)
}

/// What a stage has of a request's time, so that its refusal still passes the books.
fn within(request_timeout: Duration) -> Duration {
    request_timeout.saturating_sub(TIMEOUT_MARGIN).max(request_timeout / 2)
}

/// The handshakes of a source, where it has any.
fn handshakes(source: &config::Source, verifier: &Arc<Verifier>) -> Option<Arc<Handshakes>> {
    Handshakes::new(source.handshakes, &source.methods, source.verify_token.clone(), Arc::clone(verifier)).map(Arc::new)
}

/// A list that somebody else keeps, with its name.
type NamedList = (Arc<str>, Arc<allow_ips::List>);

/// The allowlist of a source, where it has one, with the lists of its feeds.
fn allow_ips(
    source: &config::Source,
    lists: impl FnOnce(&allow_ips::Config) -> Vec<NamedList>,
) -> Option<Arc<AllowIps>> {
    source.allow_ips.as_ref().map(|list| Arc::new(AllowIps::new(list).with_feeds(lists(list))))
}

/// The guards that need no body, in their order.
type BeforeBody = (Option<Arc<AllowIps>>, Vec<Arc<RateLimit>>, Option<HandshakeHead>, Declared, Lenient);

fn before_body(
    source: &config::Source,
    verifier: &Arc<Verifier>,
    handshakes: Option<&Arc<Handshakes>>,
    allow_ips: Option<Arc<AllowIps>>,
    by_address: Vec<Arc<RateLimit>>,
) -> BeforeBody {
    (
        // The cheapest question first: strangers cost one look-up.
        allow_ips,
        // Before anything is read or computed for this address.
        by_address,
        // Not an event: it has another method, or content type, or nothing that proves anything.
        handshakes.cloned().map(HandshakeHead),
        // What the head admits about the body needs no body: 413, 415.
        Declared::new(source.declared.clone()),
        // Without a signature header the body is not worth reading, unless it may be an unsigned handshake.
        Lenient { handshakes: handshakes.cloned(), next: SignatureHead(Arc::clone(verifier)) },
    )
}

/// The guards that ask the body too, in their order.
type BehindBody = (
    Option<HandshakeUnsigned>,
    Signature,
    Option<ReplayWindow>,
    Option<HandshakeSigned>,
    Envelope,
    Vec<Arc<RateLimit>>,
    Option<Dedup>,
);

fn behind_body(
    source: &config::Source,
    verifier: &Arc<Verifier>,
    handshakes: Option<&Arc<Handshakes>>,
    by_request: Vec<Arc<RateLimit>>,
    clock: &Clock,
    dedup_key: [u8; 16],
) -> BehindBody {
    (
        // Those handshakes that nobody signs.
        handshakes.cloned().map(HandshakeUnsigned),
        // The first guard that believes anything: nothing inside it ever sees a forged request.
        Signature(Arc::clone(verifier)),
        // The time is part of what was signed, so it is asked after the signature.
        source.replay_window.clone().map(|config| ReplayWindow::new(config, clock.clone())),
        // Signed as events are, and no events: nothing of them is kept.
        handshakes.cloned().map(HandshakeSigned),
        // Parses, so it stands behind the proof that the sender is who it is.
        Envelope::new(source.envelope.clone()),
        // By source or header: counts verified requests only, so that strangers cannot use it up.
        by_request,
        // Last question: what would make a later request a copy of this one. The store decides, atomically.
        source.dedup.as_ref().map(|config| Dedup::new(config, &source.name, dedup_key)),
    )
}

/// The header in which the source's senders show a credential.
fn credential_header(verifier: &Verifier) -> Option<http::HeaderName> {
    let proof = verifier.proof_headers();
    proof.proof.filter(|_| proof.is_credential).cloned()
}

/// Headers that a client's `Connection` field cannot take away from the event.
fn needed_headers(verifier: &Verifier) -> Vec<http::HeaderName> {
    let proof = verifier.proof_headers();
    let scheme = verifier.scheme();
    let fields = [&scheme.event_id.header, &scheme.event_type.header];
    proof.proof.into_iter().chain(proof.timestamp).chain(fields.into_iter().flatten()).cloned().collect()
}

/// Those of the limits that this gateway counts by itself.
fn alone(limits: Vec<Arc<RateLimit>>) -> Vec<Arc<RateLimit>> {
    limits.into_iter().filter(|limit| !limit.is_kept_together()).collect()
}

/// Whether a limit stands before the signature.
fn is_by_address(by: &By) -> bool {
    matches!(by, By::Ip)
}
