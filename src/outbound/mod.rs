//! The sending side's own stage: which webhooks there are, and how an emitted event becomes deliveries to them.
//!
//! - A webhook gets events of its own project only; whoever asks for another project's finds nothing.
//! - What could be a credential is sealed before it reaches the store, and opened again in memory.
//! - An event is emitted in one atomic step with its deliveries: the plan is made of the webhooks as they stand then.
//! - A change of a webhook counts for what is pending too.
//!
//! The deliveries themselves are nothing special: they wait in the store, dispatch makes lanes for them on
//! demand, and deliver writes the requests.
//!
//! Reading order: [`seal`], [`webhooks`] (all of them, in memory), [`changes`] (what can be done to one), [`event`] (the
//! standard event), [`emit`], [`health`] (what attempts say of a webhook), `following` (what
//! other gateways do to webhooks).

pub mod changes;
pub mod emit;
pub mod event;
mod following;
pub mod health;
pub mod seal;
pub mod webhooks;

pub use changes::{Change, NewWebhook, WebhookError};
pub use emit::{Emission, EmitError, Emitted};
pub use event::{EventFault, StandardEvent, WrittenEvent};
pub use health::Verdict;
pub use seal::{SealError, Sealer};
pub use webhooks::{Limits, OpenedWebhook, Webhooks};
