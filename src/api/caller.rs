//! Who asks: a role, and the project that the token is bound to.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::problem::Problem;
use crate::store::StoreError;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads and acts.
    Admin,
    /// Reads.
    Viewer,
    /// Emits events; nothing else.
    Publisher,
}

/// Whoever a request comes from, found by [`access`](super::access); handlers get it from the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What may be done.
    pub role: Role,
    /// The only project that may be seen and touched; `None`: all of them.
    pub project: Option<Arc<str>>,
}

// === impl Role ===

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Viewer, Self::Publisher];

    /// The word that the configuration and the OpenAPI document use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Publisher => "publisher",
        }
    }
}

// === impl Caller ===

impl Caller {
    /// Whether something of this project may be seen and touched.
    #[must_use]
    pub fn owns(&self, project: &str) -> bool {
        self.project.as_deref().is_none_or(|own| own == project)
    }

    /// What the caller owns; what it does not own is not there, as far as it can tell.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], as for an id that nothing has.
    pub fn check(&self, project: &str) -> Result<(), StoreError> {
        if self.owns(project) { Ok(()) } else { Err(StoreError::NotFound) }
    }

    /// The filter of lists: the caller's project, where it is bound to one.
    #[must_use]
    pub fn project_filter(&self) -> Option<Box<str>> {
        self.project.as_deref().map(Box::from)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let nobody = || Problem::forbidden("role_not_allowed", "nobody was asked for a token here");
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}
