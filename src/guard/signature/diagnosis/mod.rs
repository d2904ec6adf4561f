//! Why a signature does not verify, for the operator: what was signed, what was given, and what differs.
//!
//! The verifier says no in constant time and says little; this asks again, slowly, with what people get wrong: a body
//! that was parsed and written anew, a secret with a line break, another algorithm, another URL. What it finds is a
//! closed list of [`Finding`]s.
//!
//! - [`finding`]: what can be found, in words
//! - [`question`]: a request and what it is checked with → a [`Diagnosis`]
//! - `given`, `shape`, `time`: what the request shows, read leniently
//! - `search`: which change makes the signature fit, within a [`Budget`]
//! - `body`, `json`, `secret`, `url`: the changes that are tried
//! - `covered`: what the scheme signs of this request
//! - `credential`: tokens and passwords
//!
//! Invariants: no secret, no part of one and no signature that we computed is in a diagnosis, so that it may be kept and
//! shown: only whether what was *given* fits after a change. Bounded in bytes hashed and in tries. Never asked while a
//! sender waits.

mod body;
mod covered;
mod credential;
pub mod finding;
mod given;
mod json;
pub mod question;
mod search;
mod secret;
mod shape;
mod time;
mod url;

pub use body::BodyChange;
pub use covered::Covered;
pub use finding::{Finding, Fit};
pub use json::{Escapes, Layout, Style};
pub use question::{Diagnosis, Expected, Other, Question, Verified};
pub use search::Budget;
pub use secret::SecretChange;
pub use shape::Shape;
