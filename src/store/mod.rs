//! Where events are kept: one trait that speaks our verbs, and the engines behind it.
//!
//! A store holds events, the deliveries that were planned for them, the marks that tell a repeated event
//! from a new one, and the ledger of rejections. Its promises, which the conformance suite
//! (`tests/it/store`) holds every engine to:
//!
//! - [`Store::admit`] is one atomic durable step: event, deliveries and dedup mark, or nothing.
//! - A mark that is claimed for an event that is passed on becomes permanent when it is committed, and is free again
//!   when it is released, when its lease ends, and when the process does.
//! - A claimed delivery that nobody settles comes back when its lease ends, at any time, not only at start.
//! - What is open is never pruned.
//!
//! Reading order: [`verbs`] (the trait), [`terms`] (what they take and give), [`query`] (what can be asked), [`moved`] (what goes to another store), [`written_webhook`]
//! (a webhook as text), [`kept_request`] (a request under a key), then the engines: [`embedded`] (a folder) and [`redis`] (a server that several gateways share).

pub mod embedded;
pub mod kept_request;
pub mod moved;
pub mod query;
pub mod redis;
pub mod terms;
pub mod verbs;
pub mod written_webhook;

pub use kept_request::KeptRequest;
pub use moved::{MovedDelivery, MovedEvent, MovedMark, MovedPage, StoreKeys};
pub use query::{
    AttemptRow, DeliveryFilter, DeliveryRow, EventFilter, EventRow, Listed, Page, PageRequest, RejectionFilter,
    RejectionRow, SourceTotals, TargetTotals, Totals,
};
pub use terms::{
    Admission, AdmitError, Admitted, Claim, DedupMark, Health, LaneState, MarkClaim, MarkClaimed, Paused,
    RejectedRequest, Retention, StoreError, Swept, TargetSettings, WebhooksChanged,
};
pub use verbs::Store;
pub use written_webhook::WrittenWebhook;
