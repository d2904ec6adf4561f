//! The app of a proxy-mode source: its pool of keep-alive connections, and one request passed on over one of them.
//!
//! - A connection is looked at before it is used: one that the app has closed meanwhile is thrown away.
//! - A request goes out a second time only where nothing of it had been written; everything else is a failure that the
//!   sender hears of, for the app may have seen the first.
//! - The exchange runs in the task that asks, and the answer's body streams out of the same connection.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use tokio::time::{Instant, interval};

use super::EndpointUrl;
use super::connection::{Connection, Unanswered};
use super::connector::Connector;
use super::failure::Failure;
use super::http1::Head;
use super::passing::{Passing, UpstreamBody};
use super::policy::Policy;
use crate::domain::{HeaderBlock, OutcomeClass};
use crate::telemetry::task;

/// An app behind the gateway, with the connections to it that are idle.
pub struct Upstream {
    url: EndpointUrl,
    connector: Connector,
    /// The one that was used last comes first.
    idle: Mutex<Vec<Connection>>,
}

/// A request as it is passed on.
#[derive(Clone, Debug)]
pub struct Onward<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, as the request line shall have it.
    pub path: &'a str,
    /// What stands behind `?`.
    pub query: Option<&'a str>,
    /// All fields but `Host` and `Content-Length`.
    pub headers: &'a HeaderBlock,
    /// The body.
    pub body: Bytes,
}

/// Why an app gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// There is no connection to it.
    #[error("{0}")]
    Unreachable(Box<str>),
    /// The connection broke, or what came back was not HTTP; the app may have seen the request.
    #[error("{0}")]
    Broken(Box<str>),
    /// No answer by the deadline.
    #[error("{0}")]
    TooSlow(Box<str>),
}

/// Connections beyond this are closed after their answer.
const IDLE_CONNECTIONS_MAX: usize = 256;

/// Apps are the operator's own, wherever they are.
const APPS: Policy = Policy::anywhere();

/// How often idle connections are looked at; those that the app has closed, or that are too old, go.
const LOOK_EVERY: Duration = Duration::from_secs(5);

// === impl Upstream ===

impl Upstream {
    /// An app without a connection yet. Must be called within a runtime.
    #[must_use]
    pub fn new(url: EndpointUrl) -> Arc<Self> {
        let upstream = Arc::new(Self { url, connector: Connector::default(), idle: Mutex::default() });
        drop(task::spawn("upstream", tidy(Arc::downgrade(&upstream))));
        upstream
    }

    /// Where the app is.
    #[must_use]
    pub fn url(&self) -> &EndpointUrl {
        &self.url
    }

    /// The path of the app's URL in front of `path`, both as they are: nothing is decoded, merged or removed.
    #[must_use]
    pub fn join(url: &EndpointUrl, path: &str) -> Box<str> {
        format!("{}{path}", url.path().trim_end_matches('/')).into()
    }

    /// Passes a request on; the answer's head, when it is there. Head and body come by `deadline`, or not at all.
    ///
    /// # Errors
    /// [`UpstreamError`]; a body that breaks later ends in an error itself.
    pub async fn pass(
        self: &Arc<Self>,
        onward: &Onward<'_>,
        deadline: Instant,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let now = Instant::now();
        while let Some(connection) = self.take_idle(now) {
            match self.exchange(connection, onward, deadline).await {
                Err(Unanswered::NotSent) => {}
                Err(Unanswered::Failed(failure)) => return Err(failure.into()),
                Ok(response) => return Ok(response),
            }
        }
        // Apart, since it is rare: what it needs would make every request's future large.
        Box::pin(self.pass_anew(onward, deadline)).await
    }

    /// The same over a new connection.
    async fn pass_anew(
        self: &Arc<Self>,
        onward: &Onward<'_>,
        deadline: Instant,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let stream = self.connector.connect(&self.url, &APPS, deadline).await?;
        let connection = Connection::over(stream, &self.url, &APPS, deadline);
        match self.exchange(connection, onward, deadline).await {
            Ok(response) => Ok(response),
            Err(Unanswered::Failed(failure)) => Err(failure.into()),
            Err(Unanswered::NotSent) => {
                Err(UpstreamError::Unreachable("the connection was closed before the request was sent".into()))
            }
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        mut connection: Connection,
        onward: &Onward<'_>,
        deadline: Instant,
    ) -> Result<Response<UpstreamBody>, Unanswered> {
        let mut bytes = connection.take_head();
        let mut head =
            Head::start(&mut bytes, onward.method, onward.path, onward.query, self.url.host_header().as_bytes());
        head.block(onward.headers.as_bytes());
        head.finish(onward.method, onward.body.len());
        let is_head = *onward.method == Method::HEAD;
        Passing::new(connection, bytes, onward.body.clone(), is_head, deadline).answer(self).await
    }

    fn take_idle(&self, now: Instant) -> Option<Connection> {
        let mut idle = self.idle();
        loop {
            let connection = idle.pop()?;
            if connection.serves(&self.url, &APPS, now) {
                return Some(connection);
            }
        }
    }

    /// Takes a connection back whose answer was whole.
    pub(super) fn give_back(&self, connection: Connection) {
        let mut idle = self.idle();
        if connection.stays_open() && idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream").field(&self.url).finish()
    }
}

/// Closes idle connections that are of no more use, for as long as there is a pool.
async fn tidy(upstream: Weak<Upstream>) {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let Some(upstream) = upstream.upgrade() else { return };
        let now = Instant::now();
        let mut context = Context::from_waker(Waker::noop());
        upstream.idle().retain_mut(|connection| {
            connection.serves(&upstream.url, &APPS, now) && connection.0.is_quiet(&mut context)
        });
    }
}

// === impl UpstreamError ===

impl From<Failure> for UpstreamError {
    fn from(Failure { class, message }: Failure) -> Self {
        match class {
            OutcomeClass::Timeout => Self::TooSlow(message),
            OutcomeClass::Dns | OutcomeClass::Connect | OutcomeClass::Tls => Self::Unreachable(message),
            _ => Self::Broken(message),
        }
    }
}
