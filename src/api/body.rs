//! The JSON of a request: of the right content type, bounded, and what is wrong with it said with its place.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The largest body of a request to the admin port, in bytes; events have a bound of their own below it.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;

/// The largest body of everything but events, in bytes.
const SMALL_BYTES_MAX: usize = 256 << 10;

/// A body that says that it is JSON; an absent one is empty.
#[derive(Debug)]
pub(super) struct JsonBytes(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        Self::collect(&head.headers, body).await
    }
}

// === impl JsonBytes ===

impl JsonBytes {
    /// Reads the body of a request with these headers.
    pub(super) async fn collect<B>(headers: &HeaderMap, body: B) -> Result<Self, Problem>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<axum::BoxError>,
    {
        let is_json = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json")
        });
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_too_large| too_large())?.to_bytes();
        if is_json != Some(true) && !body.is_empty() {
            let detail = "the body must be JSON: Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type_not_json", detail));
        }
        Ok(Self(body))
    }

    /// What the body says; nothing at all is an empty object.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if self.0.len() > SMALL_BYTES_MAX {
            return Err(too_large());
        }
        let bytes: &[u8] = if self.0.is_empty() { b"{}" } else { &self.0 };
        serde_json::from_slice(bytes).map_err(|error| Problem::body("", error.to_string()))
    }
}

/// Larger than it may be.
pub(super) fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is larger than it may be")
}
