//! What the API is made of: app hands it in, the API only looks.

use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::access::Token;
use super::mask::Masks;
use crate::domain::{Clock, Event, EventId, Plan, Rejection, Timestamp};
use crate::guard::signature::Diagnosis;
use crate::outbound::Webhooks;
use crate::records::replays::Replays;
use crate::store::{Paused, RejectionRow, StoreError};
use crate::telemetry::{Metrics, Readiness, Tail};

/// Everything that the admin port answers from; cheap to clone.
pub struct State<S> {
    /// What is kept.
    pub store: Arc<S>,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether traffic is wanted.
    pub readiness: Readiness,
    /// What time it is.
    pub clock: Clock,
    /// The running configuration, asked anew for every request: a reload counts at once.
    pub configured: Arc<dyn Fn() -> Arc<Configured> + Send + Sync>,
    /// Whether the admin port listens on a loopback address only.
    pub listens_on_loopback: bool,
    /// The sending side; `None`: it is off.
    pub sending: Option<Arc<Sending<S>>>,
    /// Replays by filter.
    pub replays: Arc<Replays>,
    /// What a person has paused.
    pub pauses: Pauses,
    /// What happens.
    pub tail: Arc<Tail>,
}

/// Pauses and resumes sources and destinations.
#[derive(Clone)]
pub struct Pauses {
    /// Whether something is paused.
    pub is_paused: Arc<dyn Fn(&Paused) -> bool + Send + Sync>,
    /// Pauses it or resumes it, durably.
    pub set: Pauser,
}

/// Pauses something (`true`) or resumes it.
pub type Pauser =
    Arc<dyn Fn(Paused, bool) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> + Send + Sync>;

/// Lets a refused request in after all.
pub type Readmitter =
    Box<dyn Fn(RejectionRow) -> Pin<Box<dyn Future<Output = Result<Readmitted, NotReadmitted>> + Send>> + Send + Sync>;

/// A refused request that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readmitted {
    /// The event; of a copy, the first one's.
    pub event: EventId,
    /// Whether it was held already.
    pub duplicate: bool,
    /// Whether no route wants it.
    pub unrouted: bool,
}

/// Why a refused request was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReadmitted {
    /// It cannot be asked about.
    Impossible(&'static str),
    /// A guard of today refuses it too, or the store took nothing.
    Refused(Rejection),
}

/// What the API needs of the sending side.
pub struct Sending<S> {
    /// Customers' webhooks.
    pub webhooks: Arc<Webhooks<S>>,
    /// Whether a customer's URL may be called: the URL as it is kept, or why not.
    pub vet: Vet,
    /// What a reload may change.
    pub settings: ArcSwap<SendingSettings>,
}

/// Asked for every URL before it is kept.
pub type Vet = Box<dyn Fn(Box<str>) -> Pin<Box<dyn Future<Output = Result<Box<str>, String>> + Send>> + Send + Sync>;

/// What of `outbound` the API shows or acts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendingSettings {
    /// What the names of the platform's headers begin with: customers cannot set such headers.
    pub header_prefix: Box<str>,
    /// The catalogue.
    pub event_types: Arc<[Box<str>]>,
    /// The largest event, in bytes.
    pub body_bytes_max: usize,
}

/// The part of the configuration that the API shows or acts by.
pub struct Configured {
    /// Who may ask; empty: whoever reaches a loopback address.
    pub tokens: Vec<Token>,
    /// In the order of the configuration.
    pub sources: Vec<SourceEntry>,
    /// In the order of the configuration.
    pub destinations: Vec<DestinationEntry>,
    /// What no output shows.
    pub masks: Masks,
    /// Where an event goes by today's routes, for a replay at this time.
    pub plan: Planner,
    /// What is wrong with the signature of a refused request: takes its time, so not on a thread that serves.
    pub diagnose: Diagnoser,
    /// Lets a refused request in by today's guards.
    pub readmit: Readmitter,
    /// How the address lists do that sources follow.
    pub feeds: FeedStates,
}

/// Where an event goes when it is sent again at this time.
pub type Planner = Box<dyn Fn(&Event, Timestamp) -> Plan + Send + Sync>;

/// What is wrong with the signature of a refused request, where that was the reason.
pub type Diagnoser = Box<dyn Fn(&RejectionRow) -> Option<Diagnosis> + Send + Sync>;

/// How each address list does, asked anew for every request.
pub type FeedStates = Box<dyn Fn() -> Vec<FeedEntry> + Send + Sync>;

/// An address list that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is; its query is masked when it is shown.
    pub url: Arc<str>,
    /// How many networks it holds; `None` where it was never loaded, and lets nobody in.
    pub entries: Option<usize>,
    /// When its provider last said that this is the list.
    pub confirmed_at: Option<Timestamp>,
    /// When its provider was last asked.
    pub asked_at: Option<Timestamp>,
    /// Why the last answer was of no use.
    pub error: Option<Arc<str>>,
}

/// A source as `/v1/sources` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// Its name.
    pub name: Arc<str>,
    /// Its path on the ingress port.
    pub path: Box<str>,
    /// How it is verified, such as `appmint`.
    pub scheme: Box<str>,
    /// `queue` or `proxy`.
    pub mode: &'static str,
    /// It takes requests also while the store cannot be asked (`fail: open`).
    pub fails_open: bool,
    /// The names of the address lists that say who may send.
    pub feeds: Vec<Arc<str>>,
    /// The app that a proxy-mode source passes on to.
    pub app: Option<Box<str>>,
}

/// A destination as `/v1/destinations` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationEntry {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is; credentials in it are masked when it is shown.
    pub url: Box<str>,
    /// How many attempts may be under way at once.
    pub concurrency: usize,
    /// How many deliveries may wait.
    pub queue_max: u64,
}

// === impl Sending, State ===

impl<S> Sending<S> {
    /// What is configured at the moment.
    pub(super) fn settings(&self) -> Arc<SendingSettings> {
        self.settings.load_full()
    }
}

impl<S> State<S> {
    /// The running configuration.
    #[must_use]
    pub fn configured(&self) -> Arc<Configured> {
        (self.configured)()
    }
}

impl<S> Clone for State<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            metrics: self.metrics.clone(),
            readiness: self.readiness.clone(),
            clock: self.clock.clone(),
            configured: Arc::clone(&self.configured),
            listens_on_loopback: self.listens_on_loopback,
            sending: self.sending.clone(),
            replays: Arc::clone(&self.replays),
            pauses: self.pauses.clone(),
            tail: Arc::clone(&self.tail),
        }
    }
}

impl<S> std::fmt::Debug for State<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("listens_on_loopback", &self.listens_on_loopback).finish_non_exhaustive()
    }
}
