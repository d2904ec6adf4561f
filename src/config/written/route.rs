//! `routes[]`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::document::spanned::{At, OneOrMany};
use crate::config::quantity::Period;

/// Which events of which sources go where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Route {
    /// A source, a list of them, or "*" for every source.
    pub(in crate::config) from: At<OneOrMany<String>>,
    /// Globs over the event's type: `*` matches dots too, and a name also matches everything below it. Every event by
    /// default, also one without a type.
    pub(in crate::config) types: Option<At<OneOrMany<String>>>,
    /// A destination or a list of them.
    pub(in crate::config) to: At<OneOrMany<String>>,
    /// Delivered this long after the event came; at once by default.
    #[schemars(extend("default" = "0s"))]
    pub(in crate::config) delay: Option<At<Period>>,
    /// Not attempted any more this long after the event came; never by default.
    pub(in crate::config) expires: Option<At<Period>>,
}
