//! The admin port: health, metrics and the management API (`/v1`), for operators and never for senders.
//!
//! - Only `/livez`, `/readyz`, `/healthz` and `/metrics` are open. Everything else, also what does not
//!   exist, asks for a token first; without any token configured it answers on loopback only.
//! - Viewers read, admins also act, publishers emit events; what is not allowed is refused by default. A token that is
//!   bound to a project sees and touches only that project.
//! - Every error is a problem+json (RFC 9457). Unknown query parameters are errors.
//! - Everything belongs to a project, and another one's is not there: 404, not 403.
//! - Credentials are masked in whatever is shown; only an event's body is given out as it came.
//! - The types of the wire live here; the types of `domain` are never `Serialize`.
//!
//! Deliberately absent: CORS (no other site's script has business here) and method overrides.
//!
//! Reading order: `operations` (the whole surface in one place), [`mod@router`], [`mod@door`] (the way to it), [`state`] (what app hands in), [`access`] (who asks:
//! [`caller`]), `surface` (who may), `operation` and `openapi` (what that says), `idempotency`, [`problem`], `params`, then a file for each kind of thing, and what they look like on the [`wire`].

pub mod access;
mod body;
pub mod caller;
mod configured;
mod deliveries;
pub mod diagnosed;
pub mod door;
mod emit;
mod events;
mod failures;
mod health;
mod idempotency;
pub mod mask;
mod openapi;
mod operation;
mod operations;
mod pages;
mod parameter;
mod params;
mod pauses;
pub mod problem;
pub mod project;
mod rejections;
mod replays;
pub mod router;
pub mod state;
mod stream;
mod surface;
mod webhook_fields;
pub mod webhook_wire;
mod webhooks;
pub mod wire;

pub use access::Token;
pub use caller::{Caller, Role};
pub use door::door;
pub use mask::{MASKED, Masks};
pub use problem::Problem;
pub use project::Project;
pub use router::router;
pub use state::{
    Configured, DestinationEntry, Diagnoser, FeedEntry, FeedStates, NotReadmitted, Pauser, Pauses, Planner, Readmitted,
    Readmitter, Sending, SendingSettings, SourceEntry, State, Vet,
};
