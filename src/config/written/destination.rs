//! `destinations.*`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretText;
use crate::config::document::spanned::{At, Named};
use crate::config::quantity::{Period, Size};

/// A service that receives events. Its name is its identity: a new URL applies to what is pending too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Destination {
    /// Where requests go: http:// or https://, without credentials. Not with `discard`.
    #[schemars(regex(pattern = r"^(https?://.+|.*\$\{.*)$"))]
    pub(in crate::config) url: Option<At<String>>,
    /// Accepts and drops everything, for trying things out.
    #[schemars(extend("default" = false))]
    pub(in crate::config) discard: Option<At<bool>>,
    /// How long one attempt may take, from the look-up of the name to the last byte of the answer.
    #[schemars(extend("default" = "5s"))]
    pub(in crate::config) timeout: Option<At<Period>>,
    /// How many attempts may be under way at once.
    #[schemars(extend("default" = 32), range(min = 1, max = 10000))]
    pub(in crate::config) concurrency: Option<At<u32>>,
    /// Whether `concurrency` is the limit of all gateways that share a Redis together, instead of each one's.
    #[schemars(extend("default" = false))]
    pub(in crate::config) concurrency_shared: Option<At<bool>>,
    /// One delivery after the other, in the order in which the events were accepted: the next one waits until the one
    /// before it has ended, its retries included. No order by default. Not with `concurrency` above 1.
    pub(in crate::config) order: Option<At<Order>>,
    /// More pending deliveries than this: new ones go to the dead letters, from where they can be sent again.
    #[schemars(extend("default" = 1000000), range(min = 1))]
    pub(in crate::config) queue_max: Option<At<u64>>,
    /// How much of an answer's body is kept.
    #[schemars(extend("default" = "64KiB"))]
    pub(in crate::config) response_bytes_max: Option<At<Size>>,
    /// When a failed delivery is attempted again.
    pub(in crate::config) retry: Option<At<Retry>>,
    /// When attempts stop because the destination is sick.
    pub(in crate::config) breaker: Option<At<Breaker>>,
    /// How fast attempts may begin. No limit by default.
    pub(in crate::config) rate_limit: Option<At<Pace>>,
    /// A Standard Webhooks signature of our own. None by default.
    pub(in crate::config) sign: Option<At<Sign>>,
    /// The sender's signature: `auto` renews it once its time is too old for the receiver, `keep` never, `refresh`
    /// always.
    #[schemars(extend("default" = "auto"))]
    pub(in crate::config) signature: Option<At<SignatureMode>>,
    /// Headers that go along or do not.
    pub(in crate::config) headers: Option<At<Headers>>,
    /// `Authorization` for this destination, instead of the sender's own. None by default.
    pub(in crate::config) auth: Option<At<Auth>>,
}

/// One delivery after the other, in the order in which the events were accepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Order {
    /// What has an order of its own: `destination` puts everything that goes there into one line.
    pub(in crate::config) by: At<OrderBy>,
}

/// What has an order of its own.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OrderBy {
    Destination,
}

/// When a failed delivery is attempted again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Retry {
    /// The wait before each retry, from the end of the attempt before it; after the last one it is dead.
    #[schemars(extend("default" = ["0s", "1m", "5m", "15m", "1h", "6h", "24h"]))]
    pub(in crate::config) schedule: Option<At<Vec<At<Period>>>>,
    /// Each wait is stretched or shortened by up to this part of itself.
    #[schemars(extend("default" = 0.1), range(min = 0, max = 1))]
    pub(in crate::config) jitter: Option<At<f64>>,
    /// Statuses after which nobody asks again; everything else but 2xx is retried.
    #[serde(rename = "final")]
    #[schemars(extend("default" = [400, 410, 413, 415, 422]))]
    pub(in crate::config) final_statuses: Option<At<Vec<At<u16>>>>,
}

/// When attempts stop because the destination is sick: waiting deliveries keep their attempts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Breaker {
    /// It opens after this many failed attempts …
    #[schemars(extend("default" = 20), range(min = 1))]
    pub(in crate::config) failures: Option<At<u32>>,
    /// … within this time …
    #[schemars(extend("default" = "30s"))]
    pub(in crate::config) window: Option<At<Period>>,
    /// … for this long; then one delivery is tried.
    #[schemars(extend("default" = "30s"))]
    pub(in crate::config) open: Option<At<Period>>,
}

/// How fast attempts may begin.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Pace {
    /// As many attempts as this …
    #[schemars(range(min = 1))]
    pub(in crate::config) requests: At<u32>,
    /// … in this time.
    pub(in crate::config) per: At<Period>,
    /// As many at once after a rest; 1 spaces them evenly.
    #[schemars(extend("default" = 1), range(min = 1))]
    pub(in crate::config) burst: Option<At<u32>>,
}

/// A Standard Webhooks signature of our own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Sign {
    /// base64, with or without `whsec_` in front.
    pub(in crate::config) secret: At<SecretText>,
}

/// What becomes of the sender's signature.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum SignatureMode {
    Auto,
    Keep,
    Refresh,
}

/// Headers that go along or do not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Headers {
    /// Set on every request, instead of the sender's own of the same name.
    #[serde(default)]
    pub(in crate::config) add: Named<SecretText>,
    /// Headers of the sender that do not go out.
    #[serde(default)]
    pub(in crate::config) remove: Vec<At<String>>,
}

/// `Authorization`: either `bearer`, or `username` and `password`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Auth {
    /// A bearer token.
    pub(in crate::config) bearer: Option<At<SecretText>>,
    /// The user of basic authentication.
    pub(in crate::config) username: Option<At<String>>,
    /// The password of basic authentication.
    pub(in crate::config) password: Option<At<SecretText>>,
}
