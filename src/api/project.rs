//! Which project a request is about: the token's own, else the one that it names, else the default one.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::caller::Caller;
use super::problem::Problem;
use crate::domain::event::DEFAULT_PROJECT;

/// The project in which something is made, listed or emitted.
#[derive(Clone, Debug)]
pub struct Project(pub Arc<str>);

/// By which tokens that are bound to no project name one.
pub const PROJECT_HEADER: HeaderName = HeaderName::from_static("hookward-project");

/// The longest name of a project, in bytes.
const NAME_BYTES_MAX: usize = 64;

// === impl Project ===

impl<S: Sync> FromRequestParts<S> for Project {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Self::of(&caller, &parts.headers)
    }
}

impl Project {
    /// The project of a request with these headers.
    pub(super) fn of(caller: &Caller, headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(PROJECT_HEADER) else {
            return Ok(Self(caller.project.clone().unwrap_or_else(|| DEFAULT_PROJECT.into())));
        };
        let name = value.to_str().ok().filter(|name| is_name(name)).ok_or_else(|| {
            let detail = "Hookward-Project: a name has 1 to 64 letters, digits, `-`, `_` and `.`";
            Problem::new(http::StatusCode::BAD_REQUEST, "project_invalid", detail)
        })?;
        if !caller.owns(name) {
            return Err(Problem::forbidden("project_not_allowed", "this token is bound to another project"));
        }
        Ok(Self(name.into()))
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}
