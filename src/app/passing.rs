//! The seam between intake, which says what is passed on, and deliver, which speaks with apps.

use std::sync::Arc;

use http::Response;
use tokio::time::Instant;

use crate::deliver::{self, Upstream};
use crate::domain::{AnswerBody, AppError};
use crate::intake::{App, Onward};

/// The app of a source as intake wants it.
pub(super) struct Passing {
    upstream: Arc<Upstream>,
    /// The app's path with the source's behind it.
    path: Box<str>,
}

// === impl Passing ===

impl Passing {
    /// What comes to the source's `path` goes to the app's URL with that path behind it.
    pub(super) fn new(upstream: Arc<Upstream>, path: &str) -> Self {
        let path = Upstream::join(upstream.url(), path);
        Self { upstream, path }
    }
}

impl App for Passing {
    async fn pass(&self, onward: Onward<'_>, deadline: Instant) -> Result<Response<AnswerBody>, AppError> {
        let Onward { method, query, headers, body, interim } = onward;
        let onward = deliver::Onward { method, path: &self.path, query, headers, body, interim };
        self.upstream.pass(onward, deadline).await
    }
}
