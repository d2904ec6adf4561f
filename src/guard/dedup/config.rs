//! What two copies of an event have in common, and how long they are told as copies.

use std::time::Duration;

use crate::guard::envelope::{self, Field};

/// `sources.*.dedup`; a source with `dedup: off` has no such guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a copy is told as one: the store keeps the mark for this time.
    pub window: Duration,
    /// What two copies have in common.
    pub by: By,
}

/// What two copies of an event have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The sender's own id (and the body, where the proof does not cover the id); an event without one has
    /// no copies.
    Id,
    /// Every byte of the body.
    Body,
    /// The value of a header, or of a field in the body's JSON; an event without it has no copies.
    Field(Field),
}

/// How long a copy is told as one unless told otherwise: 96 h, longer than the providers' retries.
pub const WINDOW_DEFAULT: Duration = Duration::from_secs(96 * 3600);

// === impl Config ===

impl Config {
    /// Whether the key of an event whose id stands there depends on the body.
    #[must_use]
    pub fn reads_body(&self, envelope: &envelope::Config) -> bool {
        match &self.by {
            By::Body | By::Field(Field::Body(_)) => true,
            By::Field(Field::Header(_)) => false,
            // An id that nobody signed tells copies only with the body.
            By::Id => {
                envelope.event_id.body.is_some() || envelope.event_id.header.is_some() && !envelope.id_header_signed
            }
        }
    }
}

impl Default for Config {
    /// By the sender's id, for 96 h.
    fn default() -> Self {
        Self { window: WINDOW_DEFAULT, by: By::Id }
    }
}
