//! What a query may hold: each parameter once, for those who read it and for the document that describes it.

use serde_json::{Value, json};

use crate::domain::{DeliveryId, DeliveryState, EventId, Reason, RejectionId, WebhookId};
use crate::store::query::PAGE_ROWS_MAX;

/// A parameter of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) tells: &'static str,
    /// What may stand there.
    pub(super) schema: fn() -> Value,
}

/// The longest value of a filter, in characters.
pub(super) const VALUE_CHARS_MAX: usize = 512;

/// What a stream tells of.
pub(super) const KINDS: [&str; 3] = ["event", "attempt", "rejection"];

/// The latest time that can be asked for, in seconds since 1970: the end of the year 9999.
pub(super) const SECONDS_MAX: u64 = 253_402_300_799;

pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    tells: "how many rows at most",
    schema: || json!({ "type": "integer", "minimum": 1, "maximum": PAGE_ROWS_MAX, "default": 10 }),
};
pub(super) const AFTER_EVENT: Parameter = after(|| id(EventId::PREFIX));
pub(super) const AFTER_DELIVERY: Parameter = after(|| id(DeliveryId::PREFIX));
pub(super) const AFTER_REJECTION: Parameter = after(|| id(RejectionId::PREFIX));
pub(super) const AFTER_WEBHOOK: Parameter = after(|| id(WebhookId::PREFIX));
pub(super) const KIND: Parameter =
    Parameter { name: "kind", tells: "only this", schema: || json!({ "type": "string", "enum": KINDS }) };
pub(super) const SOURCE: Parameter = text("source", "of this source");
pub(super) const TYPE: Parameter = text("type", "of exactly this type");
pub(super) const SOURCE_EVENT_ID: Parameter =
    text("source_event_id", "with this id of the sender's or publisher's own");
pub(super) const DESTINATION: Parameter = text("destination", "to this destination or webhook");
pub(super) const EVENT: Parameter = text("event", "of this event: our id, or the sender's or publisher's own");
pub(super) const STATUS: Parameter = Parameter {
    name: "status",
    tells: "in this state",
    schema: || json!({ "type": "string", "enum": DeliveryState::ALL.map(DeliveryState::as_str) }),
};
pub(super) const REASON: Parameter = Parameter {
    name: "reason",
    tells: "refused for this reason",
    schema: || json!({ "type": "string", "enum": Reason::ALL.iter().map(|reason| reason.code()).collect::<Vec<_>>() }),
};
pub(super) const CREATED_GTE: Parameter =
    Parameter { name: "created[gte]", tells: "from this time on: seconds since 1970, or RFC 3339", schema: time };
pub(super) const CREATED_LTE: Parameter =
    Parameter { name: "created[lte]", tells: "until this time: seconds since 1970, or RFC 3339", schema: time };

const fn text(name: &'static str, tells: &'static str) -> Parameter {
    Parameter { name, tells, schema: || json!({ "type": "string", "minLength": 1, "maxLength": VALUE_CHARS_MAX }) }
}

const fn after(schema: fn() -> Value) -> Parameter {
    Parameter { name: "starting_after", tells: "only what is older than the row with this id", schema }
}

/// An id of ours: 26 digits of Crockford's base 32, of which the first carries three bits.
fn id(prefix: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{prefix}[0-7][0-9a-hjkmnp-tv-z]{{25}}$") })
}

fn time() -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": SECONDS_MAX },
        { "type": "string", "format": "date-time" },
    ] })
}
