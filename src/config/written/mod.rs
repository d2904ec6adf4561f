//! The configuration as it is written: one struct a mapping, one field a key, nothing else.
//!
//! serde reads these (unknown keys are refused by the tree's deserializer, with their place), schemars makes the JSON
//! Schema of them, and their docs are the descriptions in that schema. A key that is absent is `None`; its
//! default is the stage's own and stands here only as `default` in the schema, which a test compares.
//! What the values mean, and what contradicts what, is [`check`](super::check)'s business.

mod admin;
mod app;
mod destination;
mod feed;
mod ingress;
mod outbound;
mod pem;
mod route;
mod secret_text;
mod source;
mod store;
mod verify;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use admin::{Admin, AdminToken, Role};
pub(super) use app::{App, Http};
pub(super) use destination::{Auth, Breaker, Destination, Headers, Order, OrderBy, Retry, Sign, SignatureMode};
pub(super) use feed::{AllowEntry, Feed, FeedFormat, FeedSettings};
pub(super) use ingress::{Ingress, ProxyProtocol, Tls};
pub(super) use outbound::Outbound;
pub(super) use pem::Pem;
pub(super) use route::Route;
pub(super) use secret_text::SecretText;
pub(super) use source::{Dedup, Enforce, Fail, IfAppFails, Mode, RateLimit, Respond, Source};
pub(super) use store::{Durability, Engine, Store, StoreTls};
pub(super) use verify::{Algorithm, Encoding, KeyEncoding, Verify};

use super::document::spanned::{At, Named};

/// The configuration of hookward, a webhook gateway.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Configuration {
    /// Where webhooks come in.
    pub(super) ingress: Option<At<Ingress>>,
    /// The port for people and machines that operate the gateway: API, metrics, health.
    pub(super) admin: Option<At<Admin>>,
    /// Where events are kept.
    pub(super) store: Option<At<Store>>,
    /// Who sends to us: a name each, its path and its guards.
    #[serde(default)]
    pub(super) sources: Named<Source>,
    /// Which events of which sources go where; every route that matches counts.
    #[serde(default)]
    pub(super) routes: Vec<At<Route>>,
    /// The services that receive events: a name each, which is its identity.
    #[serde(default)]
    pub(super) destinations: Named<Destination>,
    /// The sending side: events are emitted through the API, signed, and delivered to customers' webhooks.
    pub(super) outbound: Option<At<Outbound>>,
}
