//! Where id and type stand, and the bounds of reading them.

use super::pointer::{Lookup, Pointer};
use super::scan::DEPTH_MAX;
use crate::guard::signature::{Part, Proof, Scheme, Template};

/// Where id and type stand, and the bounds of reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the sender's own id stands.
    pub event_id: Lookup,
    /// Where the event's type stands.
    pub event_type: Lookup,
    /// Where the second half of the type stands, put behind a dot where the body has it.
    pub type_detail: Option<Pointer>,
    /// The deepest nesting of the body's JSON that is read, at most [`DEPTH_MAX`].
    pub depth_max: u32,
    /// The largest inflated copy of a compressed body, in bytes.
    pub inflated_bytes_max: u64,
    /// Whether the proof covers the body, or at least the id in it: by a signature over it, or by a credential that vouches for all.
    pub body_signed: bool,
    /// Whether the proof covers the id's header.
    pub id_header_signed: bool,
}

/// The largest inflated copy of a compressed body unless told otherwise: 8 MiB.
pub const INFLATED_BYTES_MAX_DEFAULT: u64 = 8 * 1024 * 1024;

// === impl Config ===

impl Config {
    /// Whether the body is read at all.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.event_id.body.is_some() || self.event_type.body.is_some() || self.type_detail.is_some()
    }

    /// What a scheme says about its envelope.
    #[must_use]
    pub fn of(scheme: &Scheme) -> Self {
        let signs = |covers: &dyn Fn(&Template) -> bool| match &scheme.proof {
            Proof::Signatures(signatures) => covers(&signatures.signed),
            Proof::Token(_) | Proof::Query(_) | Proof::Basic => true,
            Proof::Odd(odd) => odd.covers_id(),
            Proof::None => false,
        };
        // A field that is signed by itself is as good as one in a signed body.
        let field = scheme.event_id.body.clone().map(Part::Field);
        Self {
            event_id: scheme.event_id.clone(),
            event_type: scheme.event_type.clone(),
            type_detail: scheme.type_detail.clone(),
            depth_max: DEPTH_MAX,
            inflated_bytes_max: INFLATED_BYTES_MAX_DEFAULT,
            body_signed: signs(&|signed| signed.covers_body() || field.as_ref().is_some_and(|field| signed.has(field))),
            id_header_signed: signs(&|signed| signed.has(&Part::Id)),
        }
    }
}
