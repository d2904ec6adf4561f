//! `admin`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretText;
use crate::config::document::spanned::At;

/// The port for people and machines that operate the gateway: API, metrics, health. Never the ingress port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Admin {
    /// Address and port of the socket. An address that others can reach needs `tokens`. A reload cannot change it.
    #[schemars(extend("default" = "127.0.0.1:8081"))]
    pub(in crate::config) listen: Option<At<String>>,
    /// Who may use the API. Health and metrics are open to all who can reach the port.
    #[schemars(extend("default" = []))]
    pub(in crate::config) tokens: Option<Vec<At<AdminToken>>>,
}

/// A bearer token of the API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AdminToken {
    /// Who it is for, as logs show it.
    pub(in crate::config) name: At<String>,
    /// The token itself: at least 16 characters.
    pub(in crate::config) token: At<SecretText>,
    /// What it may do.
    pub(in crate::config) role: At<Role>,
    /// The only project that it sees and touches. All of them by default.
    pub(in crate::config) project: Option<At<String>>,
}

/// `admin` may do everything, `viewer` may look, `publisher` may emit events.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Role {
    Admin,
    Viewer,
    Publisher,
}
