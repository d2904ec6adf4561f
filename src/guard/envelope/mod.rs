//! The envelope: the sender's id and the event's type, from the signed body.
//!
//! - [`pointer`]: where they stand

pub mod pointer;

pub use pointer::{Field, FieldError, Lookup, POINTER_TOKENS_MAX, Pointer};

use super::signature::Scheme;

/// Where id and type stand, and the bounds of reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the sender's own id stands.
    pub event_id: Lookup,
    /// Where the event's type stands.
    pub event_type: Lookup,
    /// The deepest nesting of the body's JSON that is read, at most [`DEPTH_MAX`].
    pub depth_max: u32,
    /// The largest inflated copy of a compressed body, in bytes.
    pub inflated_bytes_max: u64,
}

/// The deepest JSON that is read: what the readers behind the gateway take too (serde_json: 127).
pub const DEPTH_MAX: u32 = 127;

/// The largest inflated copy of a compressed body unless told otherwise: 8 MiB.
pub const INFLATED_BYTES_MAX_DEFAULT: u64 = 8 * 1024 * 1024;

// === impl Config ===

impl Config {
    /// What a scheme says about its envelope.
    #[must_use]
    pub fn of(scheme: &Scheme) -> Self {
        Self {
            event_id: scheme.event_id.clone(),
            event_type: scheme.event_type.clone(),
            depth_max: DEPTH_MAX,
            inflated_bytes_max: INFLATED_BYTES_MAX_DEFAULT,
        }
    }
}
