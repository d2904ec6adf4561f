//! `store`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::document::spanned::At;
use crate::config::quantity::{Period, Size};

/// Where events are kept. A reload cannot change anything here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Store {
    /// The embedded engine needs nothing but a folder.
    #[schemars(extend("default" = "embedded"))]
    pub(in crate::config) engine: Option<At<Engine>>,
    /// The folder of the embedded engine, relative to where the gateway is started; made where it is missing.
    #[schemars(extend("default" = "./data"))]
    pub(in crate::config) path: Option<At<String>>,
    /// How long what is done with is kept.
    pub(in crate::config) retention: Option<At<Retention>>,
    /// Beyond this the oldest events that are done with go early; where only open ones are left, senders get 503.
    /// No bound by default.
    pub(in crate::config) bytes_max: Option<At<Size>>,
    /// Free space of the disk below which senders get 503.
    #[schemars(extend("default" = "512MiB"))]
    pub(in crate::config) disk_free_min: Option<At<Size>>,
    /// `strict`: what is acknowledged survives a power cut.
    #[schemars(extend("default" = "strict"))]
    pub(in crate::config) durability: Option<At<Durability>>,
    /// What the bodies of refused requests may take, so that a wrong secret can be mended afterwards.
    #[schemars(extend("default" = "64MiB"))]
    pub(in crate::config) rejections_bytes_max: Option<At<Size>>,
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
}

/// What an acknowledged event survives: `strict` also a power cut, `relaxed` only a crash of the gateway.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Durability {
    Strict,
    Relaxed,
}
