//! The seam between deliver, which sends late, and the signature guard, which knows how a source signs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue, Uri};

use crate::deliver::{Resign, SignatureMode};
use crate::domain::{Clock, Event, NewEvent, Timestamp};
use crate::guard::Head;
use crate::guard::signature::{Signing, Verifier};

/// How the sources of the running configuration sign whose signatures grow old and can be renewed.
#[derive(Clone, Default)]
pub(super) struct Signers(Arc<ArcSwap<HashMap<Arc<str>, Signer>>>);

/// How one source signs.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) verifier: Arc<Verifier>,
    /// How old a signed time may be.
    pub(super) tolerance: Duration,
    /// The source's path, for schemes that sign the URL.
    pub(super) path: Box<str>,
}

/// Renewed a little before the tolerance ends: the request still has to travel.
const MARGIN: Duration = Duration::from_secs(10);

// === impl Signers ===

impl Signers {
    /// Swaps all of them.
    pub(super) fn set(&self, signers: HashMap<Arc<str>, Signer>) {
        self.0.store(Arc::new(signers));
    }
}

impl Resign for Signers {
    fn resign(&self, event: &Event, mode: SignatureMode, clock: &Clock) -> Vec<(HeaderName, HeaderValue)> {
        let received = &event.received;
        let signers = self.0.load();
        let Some(signer) = signers.get(&received.source) else { return Vec::new() };
        let Some(secret) = received.secret_index else { return Vec::new() };
        let now = clock.wall();
        // The app's tolerance counts from what the sender signed, which may be older than what we received.
        let is_fresh = |signed_at: Timestamp| now.since(signed_at) + MARGIN < signer.tolerance;
        if mode == SignatureMode::Auto && received.signed_at.is_some_and(is_fresh) {
            return Vec::new();
        }
        let Some(uri) = signer.uri(received) else { return Vec::new() };
        let headers = received.headers.to_map();
        // Events of older journals do not say when they were signed; their headers do.
        let signed_at = || {
            let head = Head { method: &received.method, uri: &uri, headers: &headers };
            signer.verifier.signed_at(head).unwrap_or(received.received_at)
        };
        let is_kept = match mode {
            SignatureMode::Keep => true,
            SignatureMode::Auto => is_fresh(received.signed_at.unwrap_or_else(signed_at)),
            SignatureMode::Refresh => false,
        };
        if is_kept {
            return Vec::new();
        }
        let signing = Signing {
            body: &received.body,
            id: received.source_event_id.as_deref(),
            signed_at: now,
            method: &received.method,
            uri: &uri,
            headers: &headers,
        };
        signer.verifier.sign(&signing, usize::from(secret)).unwrap_or_else(|error| {
            // The secret is gone with a reload, say: what came is still the best there is.
            tracing::debug!(%error, source = %received.source, event = %event.id, "signature not renewed");
            Vec::new()
        })
    }
}

// === impl Signer ===

impl Signer {
    /// The target that the sender called.
    fn uri(&self, received: &NewEvent) -> Option<Uri> {
        let target = match &received.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.to_string(),
        };
        target.parse().ok()
    }
}
