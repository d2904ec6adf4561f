//! `store`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::pem::Pem;
use super::secret_text::SecretText;
use crate::config::document::spanned::At;
use crate::config::quantity::{Period, Size};

/// Where events are kept. A reload cannot change anything here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Store {
    /// `embedded` needs nothing but a folder; `redis` is a server that several gateways share.
    #[schemars(extend("default" = "embedded"))]
    pub(in crate::config) engine: Option<At<Engine>>,
    /// The folder of the embedded engine, and of the address lists that were loaded, relative to where the gateway is
    /// started; made where it is missing.
    #[schemars(extend("default" = "./data"))]
    pub(in crate::config) path: Option<At<String>>,
    /// How long what is done with is kept.
    pub(in crate::config) retention: Option<At<Retention>>,
    /// Beyond this (on disk, or in Redis' memory) the oldest events that are done with go early; where only open ones are
    /// left, senders get 503. No bound by default.
    pub(in crate::config) bytes_max: Option<At<Size>>,
    /// Free space of the disk below which senders get 503; of the embedded engine.
    #[schemars(extend("default" = "512MiB"))]
    pub(in crate::config) disk_free_min: Option<At<Size>>,
    /// `strict`: what is acknowledged survives a power cut.
    #[schemars(extend("default" = "strict"))]
    pub(in crate::config) durability: Option<At<Durability>>,
    /// What the bodies of refused requests may take, so that a wrong secret can be mended afterwards.
    #[schemars(extend("default" = "64MiB"))]
    pub(in crate::config) rejections_bytes_max: Option<At<Size>>,
    /// Where Redis is: `redis://user:password@host:6379/0`, `rediss://` for TLS, `unix:///path?db=0`.
    pub(in crate::config) url: Option<At<SecretText>>,
    /// What every key in Redis begins with; several stores fit into one server.
    #[schemars(extend("default" = "hookward"))]
    pub(in crate::config) key_prefix: Option<At<String>>,
    /// Over how many hash tags the keys are spread, so that the nodes of a cluster share the load; the same for the
    /// store's life.
    #[schemars(extend("default" = 1))]
    pub(in crate::config) shards: Option<At<u8>>,
    /// Whom to trust and what to show where the URL is `rediss://`.
    pub(in crate::config) tls: Option<At<StoreTls>>,
    /// The sentinels that know the master, as URLs; the host in `url` is the master's name then.
    pub(in crate::config) sentinels: Option<At<Vec<At<SecretText>>>>,
    /// The server in `url` is a node of a cluster: the shards are spread over its nodes, which are found by it.
    #[schemars(extend("default" = false))]
    pub(in crate::config) cluster: Option<At<bool>>,
    /// More nodes of the cluster, as URLs: one of them is asked where the one in `url` is away. Login and TLS are those of `url`.
    pub(in crate::config) nodes: Option<At<Vec<At<SecretText>>>>,
    /// How many replicas must have an event before the sender hears 2xx, so that a failover loses none of it.
    #[schemars(extend("default" = 0))]
    pub(in crate::config) replicas_min: Option<At<u8>>,
    /// Redis does not tell its settings: you state that it syncs its append-only file before it answers.
    #[schemars(extend("default" = false))]
    pub(in crate::config) assume_durable: Option<At<bool>>,
}

/// Certificates for the connection to Redis.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct StoreTls {
    /// Who issued the server's certificate; whom the system trusts by default.
    pub(in crate::config) ca: Option<At<Pem>>,
    /// Our own certificate, where the server asks for one.
    pub(in crate::config) cert: Option<At<Pem>>,
    /// Its private key.
    pub(in crate::config) key: Option<At<Pem>>,
}

/// How long what is done with is kept; an event with an open delivery stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Retention {
    /// Events with their deliveries and attempts, counted from the end of the last delivery.
    #[schemars(extend("default" = "30d"))]
    pub(in crate::config) events: Option<At<Period>>,
    /// The ledger of refused requests.
    #[schemars(extend("default" = "7d"))]
    pub(in crate::config) rejections: Option<At<Period>>,
}

/// What keeps the events.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Engine {
    Embedded,
    Redis,
}

/// What an acknowledged event survives: `strict` also a power cut, `relaxed` only a crash of the gateway.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Durability {
    Strict,
    Relaxed,
}
