//! The seam between deliver, which sends late, and the signature guard, which knows how a source signs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::deliver::{Resign, SignatureMode};
use crate::domain::{Event, Timestamp};
use crate::guard::Head;
use crate::guard::signature::{Signing, Verifier};

/// How each source of the running configuration signs.
#[derive(Clone, Default)]
pub(super) struct Signers(Arc<ArcSwap<HashMap<Arc<str>, Signer>>>);

/// How one source signs.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) verifier: Arc<Verifier>,
    /// How old a signed time may be; `None` where the scheme signs none.
    pub(super) tolerance: Option<Duration>,
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
    fn resign(&self, event: &Event, mode: SignatureMode, now: Timestamp, headers: &mut HeaderMap) {
        let received = &event.received;
        let signers = self.0.load();
        let Some(signer) = signers.get(&received.source) else { return };
        let (Some(tolerance), Some(secret)) = (signer.tolerance, received.secret_index) else { return };
        if !signer.verifier.can_renew() {
            return;
        }
        let target = match &received.query {
            Some(query) => format!("{}?{query}", signer.path),
            None => signer.path.to_string(),
        };
        let Ok(uri) = target.parse::<Uri>() else { return };
        // The app's tolerance counts from what the sender signed, which may be older than what we received.
        let head = Head { method: &received.method, uri: &uri, headers: &received.headers };
        let signed_at = signer.verifier.signed_at(head).unwrap_or(received.received_at);
        let fresh = now.since(signed_at) + MARGIN < tolerance;
        if mode == SignatureMode::Keep || (mode == SignatureMode::Auto && fresh) {
            return;
        }
        let signing = Signing {
            body: &received.body,
            id: received.source_event_id.as_deref(),
            signed_at: now,
            method: &received.method,
            uri: &uri,
            headers: &received.headers,
        };
        match signer.verifier.sign(&signing, usize::from(secret)) {
            Ok(renewed) => replace(headers, renewed),
            // The secret is gone with a reload, say: what came is still the best there is.
            Err(error) => {
                tracing::debug!(%error, source = %received.source, event = %event.id, "signature not renewed")
            }
        }
    }
}

/// Puts the new values in place of the old ones, which stay as `Hookward-Original-…`.
fn replace(headers: &mut HeaderMap, renewed: Vec<(HeaderName, HeaderValue)>) {
    for (name, value) in renewed {
        let old = headers.insert(name.clone(), value.clone());
        let Some(old) = old.filter(|old| *old != value) else { continue };
        if let Ok(original) = HeaderName::try_from(format!("hookward-original-{name}")) {
            headers.insert(original, old);
        }
    }
}
