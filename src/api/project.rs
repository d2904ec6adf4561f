//! To which project a request belongs: what the token says, else the default one.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::domain::event::DEFAULT_PROJECT;

/// The project whose webhooks, events and deliveries the caller sees; all others are not there for it.
#[derive(Clone, Debug)]
pub struct Project(pub Arc<str>);

// === impl Project ===

impl<S: Sync> FromRequestParts<S> for Project {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let named = parts.extensions.get::<Self>().cloned();
        Ok(named.unwrap_or_else(|| Self(DEFAULT_PROJECT.into())))
    }
}
