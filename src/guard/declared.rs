//! What the head says about the body, before any of the body is read: 413 where `Content-Length` is above
//! the bound, 415 where `Content-Type` is not one of those that the source takes.
//!
//! Content types are compared without parameters and regardless of case; a request without the header is
//! refused where a list is set, except where it declares an empty body. A body without a declared length is
//! left to the layer that reads it.
//!
//! ```
//! use axum::{Router, body::Body, extract::Request, routing::post};
//! use hookward::guard::{Declared, DeclaredLayer, declared};
//! use tower::ServiceExt;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let config = declared::Config { body_bytes_max: 8, content_types: Some(vec!["application/json".into()]) };
//! let app = Router::new().route("/", post(|| async { "OK" })).layer(DeclaredLayer::new(Declared::new(config)));
//!
//! let send = |kind: &str, length: &str| {
//!     Request::post("/").header("content-type", kind).header("content-length", length).body(Body::empty())
//! };
//! assert_eq!(app.clone().oneshot(send("application/json; charset=utf-8", "8")?).await?.status(), 200);
//! assert_eq!(app.clone().oneshot(send("application/json", "9")?).await?.status(), 413);
//! assert_eq!(app.oneshot(send("text/html", "8")?).await?.status(), 415);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::layer::{Guard, GuardLayer, Head};
use crate::domain::{Facts, Reason, Rejection};

/// The question about the declared body as a tower layer.
pub type DeclaredLayer = GuardLayer<Declared>;

/// `sources.*.body_bytes_max` and `content_types`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The largest body, in bytes.
    pub body_bytes_max: u64,
    /// Content types without parameters, such as `application/json`; `None` takes any.
    pub content_types: Option<Vec<Box<str>>>,
}

/// The guard.
#[derive(Clone, Debug)]
pub struct Declared {
    config: Config,
}

// === impl Declared ===

impl Declared {
    /// The guard with these bounds.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    fn size(&self, head: Head<'_>) -> Result<Option<u64>, Rejection> {
        let Some(declared) = head.headers.get(CONTENT_LENGTH) else { return Ok(None) };
        let Some(bytes) = declared.to_str().ok().and_then(|text| text.parse::<u64>().ok()) else {
            return Err(Rejection::new(Reason::MalformedRequest, "the content length is not a number"));
        };
        if bytes > self.config.body_bytes_max {
            let detail = format!("{bytes} bytes are declared, {} are allowed", self.config.body_bytes_max);
            return Err(Rejection::new(Reason::BodyTooLarge, detail));
        }
        Ok(Some(bytes))
    }

    fn content_type(&self, head: Head<'_>, size: Option<u64>) -> Result<(), Rejection> {
        let Some(allowed) = &self.config.content_types else { return Ok(()) };
        let Some(value) = head.headers.get(CONTENT_TYPE) else {
            if size == Some(0) {
                return Ok(());
            }
            return Err(Rejection::new(Reason::ContentTypeNotAllowed, "there is no content type"));
        };
        let declared = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if allowed.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(declared)) {
            return Ok(());
        }
        let detail =
            format!("the content type is `{}`, the source takes {}", declared.escape_ascii(), allowed.join(", "));
        Err(Rejection::new(Reason::ContentTypeNotAllowed, detail))
    }
}

impl<B> Guard<B> for Declared {
    fn check(&self, head: Head<'_>, _body: &B, _facts: &mut Facts) -> Result<(), Rejection> {
        let size = self.size(head)?;
        self.content_type(head, size)
    }

    fn name(&self) -> &'static str {
        "declared"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&str, &str)], expected: Result<(), Reason>) {
        let types = vec!["application/json".into(), "application/x-www-form-urlencoded".into()];
        let guard = Declared::new(Config { body_bytes_max: 1024, content_types: Some(types) });
        let mut request = http::Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let answer = guard.check(Head::of(&request), &(), &mut Facts::default());
        assert_eq!(answer.map_err(|rejection| rejection.reason), expected, "{headers:?}");
    }

    #[test]
    fn the_declared_size_is_bounded() {
        let json = ("content-type", "application/json");
        check(&[json, ("content-length", "1024")], Ok(()));
        check(&[json, ("content-length", "1025")], Err(Reason::BodyTooLarge));
        check(&[json, ("content-length", "99999999999999999999")], Err(Reason::MalformedRequest));
        check(&[json, ("content-length", "-1")], Err(Reason::MalformedRequest));
        check(&[json], Ok(()));
    }

    #[test]
    fn the_content_type_is_one_of_those_taken() {
        check(&[("content-type", "Application/JSON;charset=utf-8")], Ok(()));
        check(&[("content-type", "application/x-www-form-urlencoded")], Ok(()));
        check(&[("content-type", "application/json-patch+json")], Err(Reason::ContentTypeNotAllowed));
        check(&[("content-type", "text/plain")], Err(Reason::ContentTypeNotAllowed));
        check(&[("content-type", "")], Err(Reason::ContentTypeNotAllowed));
        check(&[("content-length", "3")], Err(Reason::ContentTypeNotAllowed));
        check(&[("content-length", "0")], Ok(()));
        check(&[], Err(Reason::ContentTypeNotAllowed));
    }
}
