//! What the engine is told when it is opened, and why it may refuse.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use super::cluster::Node;
use crate::domain::{Clock, Secret};
use crate::store::StoreKeys;
use crate::telemetry::StoreMetrics;

/// How [`Redis`](super::Redis) reaches its server and what it keeps there.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server is; where there are sentinels, its host is the name by which they know the master.
    pub address: Address,
    /// Who knows which server is the master at the moment; all with the first one's login.
    pub sentinels: Vec<Address>,
    /// The servers are nodes of a cluster: each shard's keys are where its slot is.
    pub cluster: bool,
    /// Nodes of the cluster that can be asked beside the one at `address`, with its login.
    pub nodes: Vec<Address>,
    /// How many replicas must have an event before it is acknowledged.
    pub replicas_min: u8,
    /// What is trusted and shown where the address is `rediss://`.
    pub tls: Tls,
    /// What every key begins with, so that several stores fit into one server; no braces.
    pub key_prefix: Box<str>,
    /// Over how many hash tags the keys are spread, 1 to [`SHARDS_MAX`](Self::SHARDS_MAX); the same for the store's life.
    pub shards: u8,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// The server does not tell its settings (CONFIG is forbidden): whoever configures states that they are strict.
    pub assume_durable: bool,
    /// Memory of the server beyond which admission is refused; `None`: its own `maxmemory` bounds it.
    pub bytes_max: Option<u64>,
    /// Bytes of the ledger of rejections; the oldest go first.
    pub rejections_bytes_max: u64,
    /// The longest dedup window of any source: marks are kept this long.
    pub dedup_window_max: Duration,
    /// What a store that is made now is known by: the keys of one whose events it will take in; `None`: its own.
    pub new_keys: Option<StoreKeys>,
    /// Where the time comes from.
    pub clock: Clock,
    /// What is counted.
    pub metrics: StoreMetrics,
}

/// Certificates in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who may have issued the server's certificate; `None`: whom the system trusts.
    pub ca: Option<Secret>,
    /// Our own certificate and its key, where the server asks for one.
    pub identity: Option<(Secret, Secret)>,
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged is in the server's append-only file and synced: it survives a power cut of the server. Refused
    /// where the server's settings do not give that.
    #[default]
    Strict,
    /// Acknowledged is with the server: what it loses when it crashes (a second with `appendfsync everysec`,
    /// everything without an append-only file) is lost.
    Relaxed,
}

/// A server's address, with whatever it is logged in with; shown without that.
#[derive(Clone)]
pub struct Address(pub(super) ConnectionInfo);

/// The text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(Box<str>);

/// Why the store could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// The server cannot be reached now, or does not answer yet.
    #[error("the store at {address} cannot be used: {reason}")]
    Unreachable {
        /// Where.
        address: Box<str>,
        /// What is wrong.
        reason: Arc<str>,
    },
    /// The server answers, and is not as it must be.
    #[error("the store at {address} cannot be used: {reason}")]
    Unfit {
        /// Where.
        address: Box<str>,
        /// What is wrong, and what to do.
        reason: Arc<str>,
    },
    /// The store was made with another number of shards.
    #[error(
        "the store under the key prefix {prefix} has {found} shards: write `store.shards: {found}`, \
         or another key_prefix for a new store"
    )]
    Shards {
        /// Which store.
        prefix: Box<str>,
        /// How many it has.
        found: u64,
    },
    /// The store was made by another version of hookward.
    #[error("the store under the key prefix {prefix} has format {found}, this build reads {expected}")]
    Format {
        /// Which store.
        prefix: Box<str>,
        /// Its format.
        found: u64,
        /// Ours.
        expected: u64,
    },
}

// === impl Config ===

impl Config {
    /// The most shards of a store: so many fit into a seq.
    pub const SHARDS_MAX: u8 = 32;

    /// The defaults of the design for a store at `address`, on the machine's clock.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            sentinels: Vec::new(),
            cluster: false,
            nodes: Vec::new(),
            replicas_min: 0,
            tls: Tls::default(),
            key_prefix: "hookward".into(),
            shards: 1,
            durability: Durability::Strict,
            assume_durable: false,
            bytes_max: None,
            rejections_bytes_max: 64 << 20,
            dedup_window_max: Duration::from_secs(96 * 3600),
            new_keys: None,
            clock: Clock::machine(),
            metrics: StoreMetrics::default(),
        }
    }
}

// === impl Address ===

impl Address {
    /// Reads `redis://[user[:password]@]host[:port][/database]`, the same with `rediss://` for TLS, or
    /// `unix:///path?db=0&user=…&pass=…`.
    ///
    /// # Errors
    /// What is wrong with it; never the text itself, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = |why: &str| AddressError(why.into());
        let url = redis::parse_redis_url(text).ok_or_else(|| wrong("not the URL of a Redis server"))?;
        if url.fragment().is_some() {
            return Err(wrong("a fragment (`#…`) would switch the check of certificates off: leave it out"));
        }
        let info = url.into_connection_info().map_err(|error| {
            // Without what stands behind the dash: it may quote the text.
            let said = error.to_string().to_lowercase();
            wrong(said.split(" - ").next().unwrap_or_default())
        })?;
        if info.redis_settings().db() < 0 {
            return Err(wrong("a database's number is not negative"));
        }
        Ok(Self(info))
    }

    /// Whether the connection is made with TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.0.addr(), ConnectionAddr::TcpTls { .. })
    }

    /// The host; empty where it is a path.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.0.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => "",
        }
    }

    /// Host and port, where it has them.
    pub(super) fn node(&self) -> Option<Node> {
        match self.0.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Node { host: host.as_str().into(), port: *port })
            }
            _ => None,
        }
    }

    /// Another server with the same login, over TLS where this one is.
    pub(super) fn at(&self, node: &Node) -> Self {
        let (host, port) = (node.host.to_string(), node.port);
        let addr = match self.0.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Self(self.0.clone().set_addr(addr))
    }

    /// The number of the database.
    #[must_use]
    pub fn database(&self) -> i64 {
        self.0.redis_settings().db()
    }

    /// Whether it holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.0.redis_settings().password().is_some()
    }
}

/// Host, port or path; no user, no password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.addr().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Tls ===

impl Tls {
    /// Whether a connection can be made with these.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), Box<str>> {
        let wrong = |error: redis::RedisError| -> Box<str> { error.to_string().to_lowercase().into() };
        let info = "rediss://localhost".into_connection_info().map_err(wrong)?;
        redis::Client::build_with_tls(info, self.certificates()).map(drop).map_err(wrong)
    }

    pub(super) fn certificates(&self) -> redis::TlsCertificates {
        let bytes = |secret: &Secret| secret.expose().to_vec();
        let client_tls = self
            .identity
            .as_ref()
            .map(|(cert, key)| redis::ClientTlsConfig { client_cert: bytes(cert), client_key: bytes(key) });
        redis::TlsCertificates { client_tls, root_cert: self.ca.as_ref().map(bytes) }
    }
}
