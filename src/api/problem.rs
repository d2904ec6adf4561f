//! Every error of the admin port: a problem+json (RFC 9457) with a code for machines and words for people.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::store::StoreError;

/// What is answered instead of what was asked for.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Problem {
    /// No page explains it further: `about:blank`.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Pointed>,
    #[serde(skip)]
    retry_after_seconds: Option<u32>,
}

/// Which part of the request is wrong.
#[derive(Clone, Debug, JsonSchema, Serialize)]
struct Pointed {
    /// A JSON pointer into the request, its query taken as an object: `#/query/limit`.
    pointer: String,
    detail: String,
}

// === impl Problem ===

impl Problem {
    /// A problem with a stable code.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// A query parameter is unknown or has a value that makes no sense.
    #[must_use]
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "parameter_invalid", format!("{name}: {detail}"));
        let name = name.replace('~', "~0").replace('/', "~1");
        problem.errors.push(Pointed { pointer: format!("#/query/{name}"), detail });
        problem
    }

    /// A field of the body is missing, unknown or makes no sense; `pointer` is empty where it is the whole.
    #[must_use]
    pub fn body(pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let said = if pointer.is_empty() { detail.clone() } else { format!("{pointer}: {detail}") };
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "body_invalid", said);
        problem.errors.push(Pointed { pointer: format!("#{pointer}"), detail });
        problem
    }

    /// Nothing has this id.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// No token, or one that nobody has.
    #[must_use]
    pub fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// Known, but not allowed to.
    #[must_use]
    pub fn forbidden(code: &'static str, detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// A defect: something panicked, and the log says what.
    pub(super) fn broken() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something broke; the log says what")
    }

    /// Come again after this many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The status that it is answered with.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Strings and numbers: writing them into memory does not fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hookward admin\""));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::not_found("such id in the store; it may have been removed by retention"),
            StoreError::Conflict(why) => Self::new(StatusCode::CONFLICT, "conflict", &*why),
            StoreError::Damaged(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "record_damaged", error.to_string()),
            StoreError::Unsupported(why) => Self::new(StatusCode::NOT_IMPLEMENTED, "unsupported", why),
            StoreError::Engine(_) => {
                tracing::error!(%error, "the store did not answer the admin port");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", error.to_string()).retry_after(5)
            }
        }
    }
}
