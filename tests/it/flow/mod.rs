//! Stages 4 and 5 over a real store and real sockets: what becomes of what was kept (RELIABILITY.md F30 to F35).

mod breaker;
mod connections;
mod lanes;
pub(crate) mod order;
mod retries;

use std::future::poll_fn;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hookward::deliver::{Client, Connection, Endpoint, EndpointUrl, KeepSignatures, Parcel};
use hookward::dispatch::{Attempts, BreakerSettings, Destination, Dispatcher, LaneStatus};
use hookward::domain::{
    Attempt, Clock, DeliveryState, EventId, HeaderBlock, NewEvent, Plan, PlannedDelivery, Schedule,
};
use hookward::store::embedded::{Config, Embedded};
use hookward::store::{Admission, Admitted, AttemptRow, Claim, DeliveryFilter, DeliveryRow, PageRequest, Store};
use hookward::telemetry::{Cores, Metrics};
use http::Method;
use tempfile::TempDir;

use crate::support::{Sink, eventually};

/// A store and a dispatcher in the test's own process.
pub(crate) struct Flow<A: Attempts = Glue> {
    pub(crate) store: Arc<Embedded>,
    pub(crate) dispatcher: Dispatcher<Embedded, A>,
    clock: Clock,
    _folder: TempDir,
}

/// As the gateway joins the stages.
pub(crate) struct Glue(Client);

impl Attempts for Glue {
    type Endpoint = Endpoint;
    type Connection = Connection;

    fn attempt(
        &self,
        endpoint: &Endpoint,
        connection: &mut Option<Connection>,
        claim: &Claim,
        begun: tokio::time::Instant,
    ) -> impl Future<Output = Attempt> + Send {
        let parcel = Parcel { event: &claim.event, delivery: claim.id, attempt: claim.attempt };
        self.0.attempt(endpoint, connection, parcel, begun)
    }

    fn closed(&self, connection: &mut Connection) -> impl Future<Output = ()> + Send {
        self.0.closed(connection)
    }
}

impl Flow {
    pub(crate) async fn start() -> Self {
        let clock = Clock::machine();
        Self::with(Glue(Client::new(clock.clone(), Arc::new(KeepSignatures))), clock).await
    }
}

impl<A: Attempts> Flow<A> {
    pub(crate) async fn with(attempts: A, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { clock: clock.clone(), ..Config::new(folder.path()) };
        let store = Arc::new(Embedded::open(config).unwrap());
        let (metrics, cores) = (Metrics::new(), Cores::start().unwrap());
        let dispatcher = Dispatcher::new(Arc::clone(&store), Arc::new(attempts), clock.clone(), metrics, cores);
        Self { store, dispatcher, clock, _folder: folder }
    }

    /// Keeps an event that goes to these destinations; its body is the number.
    pub(crate) async fn admit(&self, number: usize, targets: &[&str]) -> EventId {
        let plan = targets.iter().map(|target| PlannedDelivery {
            target: Arc::from(*target),
            route: 0,
            not_before: None,
            expires_at: None,
            order_key: None,
            batch_key: None,
        });
        let event = NewEvent {
            source: Arc::from("appmint"),
            source_event_id: Some(format!("evt_{number}").into()),
            event_type: Some("payment.failed".into()),
            project: Arc::from("default"),
            received_at: self.clock.now(),
            method: Method::POST,
            query: None,
            headers: HeaderBlock::default(),
            body: Bytes::from(number.to_string()),
            signed_at: None,
            secret_index: None,
        };
        let admission =
            Admission { id: None, event, plan: Plan { deliveries: plan.collect() }, dedup: None, also: None };
        match self.store.admit(admission).await.unwrap() {
            Admitted::Kept(id) | Admitted::Duplicate(id) => id,
        }
    }

    pub(crate) async fn admit_many(&self, numbers: std::ops::Range<usize>, targets: &[&str]) {
        // All at once, so that they share commits; in order, because each is polled in turn.
        let mut admissions: Vec<_> = numbers.map(|number| Box::pin(self.admit(number, targets))).collect();
        poll_fn(|context| {
            admissions.retain_mut(|admission| admission.as_mut().poll(context).is_pending());
            if admissions.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Every delivery to a destination (up to a hundred).
    pub(crate) async fn deliveries(&self, target: &str) -> Vec<DeliveryRow> {
        let filter = DeliveryFilter { target: Some(target.into()), ..DeliveryFilter::default() };
        self.store.deliveries(filter, PageRequest { limit: 100, after: None }).await.unwrap().rows
    }

    /// Waits until so many deliveries of a destination are in this state.
    pub(crate) async fn wait_for(&self, target: &str, state: DeliveryState, count: usize) -> Vec<DeliveryRow> {
        eventually(&format!("{count} deliveries {}", state.as_str()), async || {
            let rows: Vec<_> = self.deliveries(target).await.into_iter().filter(|row| row.state == state).collect();
            (rows.len() >= count).then_some(rows)
        })
        .await
    }

    pub(crate) async fn attempts(&self, delivery: &DeliveryRow) -> Vec<AttemptRow> {
        self.store.delivery(delivery.id).await.unwrap().1
    }

    pub(crate) fn status(&self, target: &str) -> LaneStatus {
        self.dispatcher.states().into_iter().find(|status| *status.name == *target).unwrap()
    }
}

/// A destination that retries these times at 20 ms, and whose breaker needs a thousand failures.
pub(crate) fn destination(name: &str, retries: usize) -> Destination {
    let mut destination = Destination::new(name);
    destination.schedule =
        Schedule { waits: vec![Duration::from_millis(20); retries], jitter: 0.0, ..Schedule::default() };
    destination.breaker.failures = NonZeroU32::new(1000).unwrap();
    destination
}

pub(crate) fn to(destination: Destination, sink: &Sink) -> (Destination, Option<Arc<Endpoint>>) {
    let mut endpoint = Endpoint::new(EndpointUrl::parse(&sink.url("/hook")).unwrap());
    endpoint.timeout = destination.timeout;
    (destination, Some(Arc::new(endpoint)))
}

pub(crate) fn seats(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

pub(crate) fn breaker(failures: u32, open: Duration) -> BreakerSettings {
    BreakerSettings { failures: NonZeroU32::new(failures).unwrap(), window: Duration::from_secs(30), open }
}
