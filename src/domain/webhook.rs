//! A customer's endpoint, registered through the API: what it wants, where it is, and what it is signed with.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{Glob, Timestamp, WebhookId};

/// One webhook. Whatever could be a credential is sealed; nothing of it is readable without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Ours; also the name of its deliveries' target.
    pub id: WebhookId,
    /// To whom it belongs: it gets events of this project only.
    pub project: Arc<str>,
    /// Where it is.
    pub url: Box<str>,
    /// Which event types it gets: globs, at least one.
    pub events: Vec<Glob>,
    /// For people.
    pub description: Option<Box<str>>,
    /// The customer's own notes, in the order of their names.
    pub metadata: Vec<(Box<str>, Box<str>)>,
    /// The names of its custom headers; their values are in `sealed_headers`, in the same order.
    pub header_names: Vec<Box<str>>,
    /// The values of its custom headers, which are likely credentials.
    pub sealed_headers: Sealed,
    /// Whether events go there.
    pub state: WebhookState,
    /// What it is signed with, the current secret first.
    pub secrets: Vec<SigningSecret>,
    /// The seed of its ed25519 key, where it asked for signatures that need no shared secret.
    pub sealed_seed: Option<Sealed>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// Since when every attempt has failed; only noted once that has lasted.
    pub failing_since: Option<Timestamp>,
}

/// Whether events go to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebhookState {
    /// Deliveries are planned and made.
    Active,
    /// Deliveries are planned and wait.
    Paused,
    /// Nothing is planned any more; what was open is cancelled.
    Disabled(DisabledBy),
}

/// Why a webhook is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisabledBy {
    /// A person switched it off.
    Person,
    /// It answered 410.
    Gone,
    /// Every attempt of days failed.
    Failing,
}

/// A secret that signs, until its time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningSecret {
    /// The secret, sealed.
    pub sealed: Sealed,
    /// It was replaced and signs beside its successor until then; `None`: it is the current one.
    pub until: Option<Timestamp>,
}

/// Bytes that only the owner of the key can read; they may stand on a disk.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sealed(pub Bytes);

// === impl WebhookState, DisabledBy ===

impl WebhookState {
    /// The word that the API uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled(_) => "disabled",
        }
    }

    /// Whether new events are planned for it.
    #[must_use]
    pub fn takes_events(self) -> bool {
        !matches!(self, Self::Disabled(_))
    }
}

impl DisabledBy {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Person, Self::Gone, Self::Failing];

    /// The word that the API uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// What that means, for the customer.
    #[must_use]
    pub fn notice(self) -> &'static str {
        match self {
            Self::Person => "it was switched off",
            Self::Gone => "the endpoint answered 410: it is gone",
            Self::Failing => "every attempt has failed for days",
        }
    }
}

// === impl Webhook ===

impl Webhook {
    /// Whether an event of this type is for it, as it stands.
    #[must_use]
    pub fn wants(&self, event_type: &str) -> bool {
        self.state.takes_events() && self.events.iter().any(|glob| glob.matches(event_type))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[sealed, {} bytes]", self.0.len())
    }
}
