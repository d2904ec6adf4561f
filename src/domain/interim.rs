//! Interim answers (1xx, RFC 9110 section 15.2) on their way from an app to a sender.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};

/// Takes interim answers to a sender.
pub trait Interim: Send + Sync {
    /// Passes one on, before the final answer; what a sender cannot be told is dropped.
    fn answer(&self, status: StatusCode, headers: &HeaderMap);
}

/// How interim answers get to the sender of a request, where they can.
#[derive(Clone, Default)]
pub struct ToSender(Option<Arc<dyn Interim>>);

/// Whoever hears the interim answers of one request.
pub type OnInterim<'a> = &'a (dyn Fn(StatusCode, HeaderMap) + Send + Sync);

// === impl ToSender ===

impl ToSender {
    /// Over this connection.
    #[must_use]
    pub fn over(connection: Arc<dyn Interim>) -> Self {
        Self(Some(connection))
    }

    /// The connection; `None` where its protocol has no interim answers, or none that we can send.
    #[must_use]
    pub fn connection(&self) -> Option<&dyn Interim> {
        self.0.as_deref()
    }
}

impl fmt::Debug for ToSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "ToSender" } else { "ToSender(nobody)" })
    }
}

/// The same connection, or none.
impl PartialEq for ToSender {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Eq for ToSender {}
