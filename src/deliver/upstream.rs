//! The app of a proxy-mode source: its pool of keep-alive connections, and one request passed on over one of them.
//!
//! - A connection is looked at before it is used: one that the app has closed meanwhile, or to whose address its name
//!   does not lead any more, is thrown away.
//! - A request goes out a second time only where nothing of it had been written; everything else is a failure that the
//!   sender hears of, for the app may have seen the first.
//! - The exchange runs in the task that asks, and the answer's body streams out of the same connection.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use http::{Method, Response};
use tokio::time::{Instant, interval};

use super::EndpointUrl;
use super::connection::Connection;
use super::connector::Connector;
use super::failure::Failure;
use super::http1::Head;
use super::passing::{Passing, Unpassed};
use super::policy::Policy;
use crate::domain::{AnswerBody, AppError, HeaderBlockBuilder, OutcomeClass, RequestBody};
use crate::telemetry::task;

/// An app behind the gateway, with the connections to it that are idle.
pub struct Upstream {
    url: EndpointUrl,
    connector: Connector,
    /// The one that was used last comes first.
    idle: Mutex<Vec<Connection>>,
}

/// A request as it is passed on.
#[derive(Debug)]
pub struct Onward<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, as the request line shall have it.
    pub path: &'a str,
    /// What stands behind `?`.
    pub query: Option<&'a str>,
    /// All fields but `Host` and `Content-Length`.
    pub headers: &'a HeaderBlockBuilder,
    /// The body.
    pub body: RequestBody,
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
    /// [`AppError`]; a body that breaks later ends in an error itself.
    pub async fn pass(
        self: &Arc<Self>,
        mut onward: Onward<'_>,
        deadline: Instant,
    ) -> Result<Response<AnswerBody>, AppError> {
        let now = Instant::now();
        while let Some(mut connection) = self.take_idle(now) {
            if !connection.still_leads(&self.connector, now).await {
                continue;
            }
            match self.exchange(connection, onward, deadline).await {
                Ok(answer) => return answer,
                Err(unsent) => onward = unsent,
            }
        }
        // Apart, since it is rare: what it needs would make every request's future large.
        Box::pin(self.pass_anew(onward, deadline)).await
    }

    /// The same over a new connection.
    async fn pass_anew(
        self: &Arc<Self>,
        onward: Onward<'_>,
        deadline: Instant,
    ) -> Result<Response<AnswerBody>, AppError> {
        let opened = self.connector.connect(&self.url, &APPS, deadline).await.map_err(unconnected)?;
        let connection = Connection::over(opened, &self.url, &APPS, deadline);
        self.exchange(connection, onward, deadline).await.unwrap_or_else(|_unsent| {
            Err(AppError::Unreachable("the connection was closed before the request was sent".into()))
        })
    }

    /// What came of the exchange, or the request as it was, where nothing of it was sent.
    async fn exchange<'a>(
        self: &Arc<Self>,
        mut connection: Connection,
        onward: Onward<'a>,
        deadline: Instant,
    ) -> Result<Result<Response<AnswerBody>, AppError>, Onward<'a>> {
        let Onward { method, path, query, headers, body } = onward;
        let mut bytes = connection.take_head();
        let mut head = Head::start(&mut bytes, method, path, query, self.url.host_header().as_bytes());
        head.block(headers.as_bytes());
        head.finish(method, body.bytes());
        let is_head = *method == Method::HEAD;
        match Passing::new(connection, bytes, body, is_head, deadline).answer(self).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(Unpassed::Failed(error)) => Ok(Err(error)),
            Err(Unpassed::NotSent(body)) => Err(Onward { method, path, query, headers, body }),
        }
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

/// There is no connection, whatever the reason.
fn unconnected(Failure { class, message }: Failure) -> AppError {
    if class == OutcomeClass::Timeout { AppError::NoConnection(message) } else { AppError::Unreachable(message) }
}

impl From<Failure> for AppError {
    fn from(Failure { class, message }: Failure) -> Self {
        match class {
            OutcomeClass::Timeout => Self::TooSlow(message),
            _ => Self::Broken(message),
        }
    }
}
