//! The two questions that a signature asks: of the head, before the body is read, and of the whole.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use axum::{Router, body::Body, extract::Request, routing::post};
//! use hookward::domain::{Secret, Timestamp};
//! use hookward::guard::signature::{self, Signing, Verifier, presets};
//! use hookward::guard::{BodyBudget, BodyLayer, Signature, SignatureHead, SignatureHeadLayer, SignatureLayer};
//! use http::Method;
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let config = signature::Config {
//!     scheme: presets::APPMINT.scheme(),
//!     secrets: vec![Secret::new("new secret"), Secret::new("old secret")],
//!     public_url: None,
//! };
//! let verifier = Arc::new(Verifier::new(&config)?);
//! let app = Router::new().route("/", post(|body: String| async { body })).layer((
//!     SignatureHeadLayer::new(SignatureHead(Arc::clone(&verifier))),
//!     BodyLayer::new(1 << 20, Duration::from_secs(8), BodyBudget::new(64 << 20)),
//!     SignatureLayer::new(Signature(Arc::clone(&verifier))),
//! ));
//!
//! let (method, uri) = (Method::POST, http::Uri::from_static("/"));
//! let event = Signing { body: b"{}", id: None, signed_at: Timestamp(0), method: &method, uri: &uri, headers: &http::HeaderMap::new() };
//! let (name, value) = verifier.sign(&event, 1)?.remove(0);
//! let send = |body: &'static str| Request::post("/").header(&name, &value).body(Body::from(body));
//! assert_eq!(app.clone().oneshot(send("{}")?).await?.status(), 200);
//! assert_eq!(app.clone().oneshot(send("{ }")?).await?.status(), 401);
//! assert_eq!(app.oneshot(Request::post("/").body(Body::from("{}"))?).await?.status(), 401);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;

use super::verifier::Verifier;
use crate::domain::{Facts, Rejection};
use crate::guard::layer::{Guard, GuardLayer, Head};

/// The question to the head as a tower layer.
pub type SignatureHeadLayer = GuardLayer<SignatureHead>;

/// The question to head and body as a tower layer.
pub type SignatureLayer = GuardLayer<Signature>;

/// Whether the head has what the signature needs: 401 before the body is read.
#[derive(Clone, Debug)]
pub struct SignatureHead(pub Arc<Verifier>);

/// Whether one of the secrets made one of the signatures.
#[derive(Clone, Debug)]
pub struct Signature(pub Arc<Verifier>);

impl<B> Guard<B> for SignatureHead {
    fn check(&self, head: Head<'_>, _body: &B, _facts: &mut Facts) -> Result<(), Rejection> {
        self.0.check_head(head)
    }

    fn name(&self) -> &'static str {
        "signature_head"
    }
}

impl<B: AsRef<[u8]>> Guard<B> for Signature {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        match facts.digested.as_ref().and_then(|digested| digested.signature.clone()) {
            // Hashed as it came: there are no bytes to look at.
            Some(verified) => self.0.conclude(verified, facts),
            None => self.0.verify(head, body.as_ref(), facts),
        }
    }

    fn name(&self) -> &'static str {
        "signature"
    }
}
