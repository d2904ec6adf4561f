//! The words of the gateway as pure values: no input, no output, no clock but the one that is handed in.
//!
//! Every other module speaks in these types and none of them is `Serialize`: what goes over a wire or into
//! a file is a type of the module that owns that wire or file.
//!
//! Reading order: [`clock`] and [`id`], then an [`event`] with its [`headers`] on its [`route`] becomes deliveries
//! ([`delivery`]) that follow a [`schedule`], or wait ([`holding`]); what a guard refuses is a [`rejection`]; what an app is asked and answers
//! is [`passing`]. The sending side knows the types of the [`catalogue`] and each customer's [`webhook`].

pub mod catalogue;
pub mod clock;
pub mod delivery;
mod digested;
pub mod event;
pub mod facts;
pub mod glob;
pub mod headers;
pub mod holding;
pub mod id;
pub mod interim;
pub mod passing;
pub mod rejection;
pub mod route;
pub mod schedule;
pub mod secret;
pub mod turn;
pub mod webhook;

pub use clock::{Clock, Timestamp};
pub use delivery::{Attempt, DeadReason, DeliveryState, Next, OutcomeClass, Plan, PlannedDelivery, Settlement};
pub use digested::{Digested, Scalar, Verified};
pub use event::{Event, NewEvent};
pub use facts::{Facts, Hop};
pub use glob::Glob;
pub use headers::{HeaderBlock, HeaderBlockBuilder};
pub use holding::Holding;
pub use id::{AttemptId, DeliveryId, EventId, IdMint, RejectionId, Seq, WebhookId};
pub use passing::{AnswerBody, AnswerStream, AppError, RequestBody, RequestPieces, RequestStream};
pub use rejection::{Reason, Refused, Rejection};
pub use route::{Route, Routes};
pub use schedule::Schedule;
pub use secret::Secret;
pub use turn::Turn;
pub use webhook::{DisabledBy, Sealed, SigningSecret, Webhook, WebhookState};
