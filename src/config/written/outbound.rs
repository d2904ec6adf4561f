//! `outbound`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SecretText;
use super::destination::Pace;
use crate::config::document::spanned::{At, OneOrMany};
use crate::config::quantity::{Period, Size};

/// The sending side: events are emitted through the API, signed, and delivered to customers' webhooks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Outbound {
    /// Whether webhooks can be registered and events emitted. A reload cannot change it.
    #[schemars(extend("default" = false))]
    pub(in crate::config) enabled: Option<At<bool>>,
    /// What the secrets of webhooks are encrypted with, at least 32 characters; required where it is enabled. Several
    /// while it is rotated: the first one encrypts, any of them decrypts. A reload cannot change it.
    pub(in crate::config) secrets_key: Option<At<OneOrMany<SecretText>>>,
    /// The names of the headers begin with it: -Signature, -Event-Type, -Event-Id, -Delivery.
    #[schemars(extend("default" = "X-Appmint"))]
    pub(in crate::config) header_prefix: Option<At<String>>,
    /// `User-Agent` of the deliveries.
    #[schemars(extend("default" = "Appmint-Webhooks/1.0"))]
    pub(in crate::config) user_agent: Option<At<String>>,
    /// The catalogue that customers are shown; events of other types are taken all the same. The platform's 30 by
    /// default.
    pub(in crate::config) event_types: Option<At<Vec<At<String>>>>,
    /// How long one attempt may take.
    #[schemars(extend("default" = "10s"))]
    pub(in crate::config) timeout: Option<At<Period>>,
    /// Networks that webhooks may be in although they are not public, for tests and intranets.
    #[schemars(extend("default" = []))]
    pub(in crate::config) allow_private: Option<Vec<At<String>>>,
    /// How many attempts of one webhook may be under way at once.
    #[schemars(extend("default" = 4), range(min = 1, max = 1000))]
    pub(in crate::config) concurrency: Option<At<u32>>,
    /// How many attempts of all webhooks may be under way at once; failing ones get a quarter at most. A reload cannot
    /// change it.
    #[schemars(extend("default" = 1024), range(min = 4, max = 100000))]
    pub(in crate::config) attempts_max: Option<At<u32>>,
    /// How fast attempts of one webhook may begin. No limit by default.
    pub(in crate::config) rate_limit: Option<At<Pace>>,
    /// More pending deliveries of one webhook than this: new ones go to the dead letters, from where they can be sent again.
    #[schemars(extend("default" = 100000), range(min = 1))]
    pub(in crate::config) queue_max: Option<At<u64>>,
    /// How many webhooks one project may have.
    #[schemars(extend("default" = 1000), range(min = 1))]
    pub(in crate::config) webhooks_max: Option<At<u32>>,
    /// The largest event that may be emitted.
    #[schemars(extend("default" = "256KiB"))]
    pub(in crate::config) body_bytes_max: Option<At<Size>>,
    /// A webhook whose every attempt has failed for this long is disabled.
    #[schemars(extend("default" = "5d"))]
    pub(in crate::config) disable_after: Option<At<Period>>,
    /// The project in which `webhook.disabled` is emitted when a webhook of any project is disabled by what it answered;
    /// the operator's own webhooks are there. Nothing is emitted by default.
    pub(in crate::config) notices_to: Option<At<String>>,
    /// How long the old secret signs too after a rotation, where nobody says otherwise.
    #[schemars(extend("default" = "24h"))]
    pub(in crate::config) rotation_grace: Option<At<Period>>,
}
