//! The checked configuration: what the gateway is built from.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};
use ipnet::IpNet;

use crate::config::Finding;
use crate::deliver::{EndpointUrl, Speaks};
use crate::domain::catalogue::EVENT_TYPES;
use crate::domain::{Routes, Secret};
use crate::guard::handshake::Handshake;
use crate::guard::{allow_ips, declared, dedup, envelope, rate_limit, replay_window, signature};
use crate::intake::Respond;
use crate::{deliver, dispatch, ingress};

/// A configuration that holds together; the stages take their parts of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Where webhooks come in.
    pub ingress: ingress::Config,
    /// The port for operators.
    pub admin: Admin,
    /// Where events are kept.
    pub store: Store,
    /// Who sends, in the order of the file.
    pub sources: Vec<Source>,
    /// What goes where.
    pub routes: Routes,
    /// Who receives, in the order of the file.
    pub destinations: Vec<Destination>,
    /// The sending side; `None`: off.
    pub outbound: Option<Outbound>,
    /// What works but is likely not meant so.
    pub warnings: Vec<Finding>,
}

/// `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The socket's address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Who may use the API; where nobody is named, everybody who reaches a loopback address.
    pub tokens: Vec<Token>,
}

/// One of `admin.tokens`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who it is for; unique.
    pub name: Arc<str>,
    /// At least 16 characters; unique.
    pub token: Secret,
    /// What it may do.
    pub role: Role,
    /// The only project that it sees and touches; `None`: all of them.
    pub project: Option<Arc<str>>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// Look.
    Viewer,
    /// Emit events.
    Publisher,
}

/// `store`: where events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The server, where several gateways share one; `None`: the embedded engine.
    pub redis: Option<RedisStore>,
    /// The embedded engine's folder, and that of the address lists, as written: relative to the working directory.
    pub path: PathBuf,
    /// What an acknowledged event survives.
    pub durability: Durability,
    /// How long events stay after their last delivery ended.
    pub retention_events: Duration,
    /// How long the ledger of rejections stays.
    pub retention_rejections: Duration,
    /// Bytes on disk beyond which nothing more is admitted.
    pub bytes_max: Option<u64>,
    /// Free bytes of the disk below which nothing more is admitted.
    pub disk_free_min: u64,
    /// Bytes that the bodies of refused requests may take.
    pub rejections_bytes_max: u64,
}

impl Store {
    /// Among how many shards the deliveries of one destination are spread.
    #[must_use]
    pub fn shards(&self) -> u8 {
        self.redis.as_ref().map_or(1, |redis| redis.shards)
    }
}

/// `store` of the Redis engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisStore {
    /// Where it is and how to log in; [`Address::parse`](crate::store::redis::Address::parse) can read it.
    pub url: Secret,
    /// Who knows the master, where the host in `url` is its name.
    pub sentinels: Vec<Secret>,
    /// Whether it is a node of a cluster.
    pub cluster: bool,
    /// More nodes of the cluster.
    pub nodes: Vec<Secret>,
    /// How many replicas must have an event before it is acknowledged.
    pub replicas_min: u8,
    /// Certificates.
    pub tls: crate::store::redis::Tls,
    /// What every key begins with.
    pub key_prefix: Box<str>,
    /// Over how many hash tags the keys are spread.
    pub shards: u8,
    /// Whoever wrote it states that the server syncs before it answers.
    pub assume_durable: bool,
}

/// What an acknowledged event survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// A power cut: each commit is synced before the sender hears 2xx.
    Strict,
    /// A crash of the gateway, not of the machine.
    Relaxed,
}

/// One of `sources`: its path and its guards in the order in which a request meets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: Arc<str>,
    /// Its path at the ingress; unique.
    pub path: Box<str>,
    /// What becomes of its events.
    pub mode: Mode,
    /// Its guards refuse nothing, and report what they would have refused.
    pub reports: bool,
    /// The methods that it takes.
    pub methods: Vec<Method>,
    /// Who may send; everybody where it is `None`.
    pub allow_ips: Option<allow_ips::Config>,
    /// How fast may be sent; those by ip stand before the signature, the others behind it.
    pub rate_limits: Vec<rate_limit::Config>,
    /// Size and content types.
    pub declared: declared::Config,
    /// What its senders ask besides sending events.
    pub handshakes: &'static [Handshake],
    /// What a handshake shows, where the provider has one that shows something.
    pub verify_token: Option<Secret>,
    /// How a sender proves itself.
    pub signature: signature::Config,
    /// How far the signed time may be from now, where the scheme signs one.
    pub replay_window: Option<replay_window::Config>,
    /// Where id and type stand.
    pub envelope: envelope::Config,
    /// What makes a copy; `None` is `dedup: off`.
    pub dedup: Option<dedup::Config>,
    /// What a sender hears.
    pub respond: Respond,
}

/// What becomes of a source's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Kept, answered, delivered by the routes.
    Queue,
    /// Passed on; the app answers.
    Proxy {
        /// Where the app is; the source's path follows its path.
        app: EndpointUrl,
        /// Which HTTP it is spoken to in.
        speaks: Speaks,
        /// Events are kept while it cannot be reached, and delivered as to a destination ([`Source::kept_for_app`]).
        keeps: bool,
        /// They are passed on also while the store cannot be asked whether they are copies.
        fails_open: bool,
    },
}

/// One of `destinations`.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// How its deliveries are paced and retried; its name.
    pub settings: dispatch::Destination,
    /// Where its requests go; `None` is `discard: true`.
    pub endpoint: Option<deliver::Endpoint>,
}

/// `outbound`, where it is on.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound {
    /// What secrets are encrypted with, the first one; any of them decrypts. At least 32 characters each.
    pub secrets_keys: Vec<Secret>,
    /// What the names of the headers begin with.
    pub header_prefix: Box<str>,
    /// `User-Agent` of the deliveries.
    pub user_agent: HeaderValue,
    /// The catalogue.
    pub event_types: Arc<[Box<str>]>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Networks that webhooks may be in although they are not public.
    pub allow_private: Vec<IpNet>,
    /// Attempts of one webhook at once.
    pub concurrency: NonZeroUsize,
    /// Attempts of all webhooks at once.
    pub attempts_max: NonZeroUsize,
    /// How fast attempts of one webhook may begin.
    pub rate_limit: Option<dispatch::RateLimit>,
    /// More pending deliveries of one webhook: new ones are dead at once, replayable.
    pub queue_max: u64,
    /// How many webhooks one project may have.
    pub webhooks_max: NonZeroUsize,
    /// The largest event that may be emitted, in bytes.
    pub body_bytes_max: usize,
    /// After so long without a success a webhook is disabled.
    pub disable_after: Duration,
    /// The project in which it is emitted that a webhook was disabled.
    pub notices_to: Option<Arc<str>>,
    /// How long an old secret signs too.
    pub rotation_grace: Duration,
}

// === impl Checked ===

impl Checked {
    /// Whether the other one means the same; what is warned of (and on which line) does not count.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.ingress == other.ingress
            && self.admin == other.admin
            && self.store == other.store
            && self.sources == other.sources
            && self.routes == other.routes
            && self.destinations == other.destinations
            && self.outbound == other.outbound
    }
}

// === impl Source ===

impl Source {
    /// The destination that is the source's own app, where events are kept for it. No name that is written has a colon.
    #[must_use]
    pub fn kept_for_app(&self) -> Option<Arc<str>> {
        matches!(self.mode, Mode::Proxy { keeps: true, .. }).then(|| format!("app:{}", self.name).into())
    }
}

// === impl Mode, Role, Durability ===

impl Mode {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Proxy { .. } => "proxy",
        }
    }

    /// The app of proxy mode.
    #[must_use]
    pub fn app(&self) -> Option<&EndpointUrl> {
        match self {
            Self::Queue => None,
            Self::Proxy { app, .. } => Some(app),
        }
    }
}

impl Role {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Publisher => "publisher",
        }
    }
}

impl Durability {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Relaxed => "relaxed",
        }
    }
}

impl Default for Outbound {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            secrets_keys: Vec::new(),
            header_prefix: "X-Appmint".into(),
            user_agent: HeaderValue::from_static("Appmint-Webhooks/1.0"),
            event_types: EVENT_TYPES.iter().map(|name| Box::from(*name)).collect(),
            timeout: Duration::from_secs(10),
            allow_private: Vec::new(),
            concurrency: NonZeroUsize::MIN.saturating_add(3),
            attempts_max: NonZeroUsize::MIN.saturating_add(1023),
            rate_limit: None,
            queue_max: 100_000,
            webhooks_max: NonZeroUsize::MIN.saturating_add(999),
            body_bytes_max: 256 << 10,
            disable_after: 120 * HOUR,
            notices_to: None,
            rotation_grace: 24 * HOUR,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8081)), tokens: Vec::new() }
    }
}

impl Default for Store {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            redis: None,
            path: PathBuf::from("./data"),
            durability: Durability::Strict,
            retention_events: 30 * DAY,
            retention_rejections: 7 * DAY,
            bytes_max: None,
            disk_free_min: 512 << 20,
            rejections_bytes_max: 64 << 20,
        }
    }
}
