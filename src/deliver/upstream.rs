//! The app of a proxy-mode source: its pool of keep-alive connections, and one request passed on over one of them.
//!
//! - A connection is looked at before it is used: one that the app has closed meanwhile, or to whose address its name
//!   does not lead any more, is thrown away.
//! - A request goes out a second time only where nothing of it had been written; everything else is a failure that the
//!   sender hears of, for the app may have seen the first.
//! - The exchange runs in the task that asks, and the answer's body streams out of the same connection.
//! - Over HTTP/2 connections are shared ([`http2`](super::http2)), and a request goes out again only where the app has said
//!   that it did nothing with it.

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use http::{Method, Response};
use tokio::time::{Instant, interval};

use super::EndpointUrl;
use super::connection::Connection;
use super::connector::{Connector, Opened};
use super::failure::Failure;
use super::http1::Head;
use super::http2::{Destined, Sessions, Way};
use super::idle::Idle;
use super::passing::{Passing, Unpassed};
use super::policy::Policy;
use super::tls::{HTTP1, HTTP2, Tls};
use crate::domain::interim::OnInterim;
use crate::domain::{AnswerBody, AppError, HeaderBlockBuilder, OutcomeClass, RequestBody};
use crate::telemetry::task;

/// An app behind the gateway, with the connections to it that are idle.
pub struct Upstream {
    url: EndpointUrl,
    connector: Connector,
    idle: Idle,
    /// None where nothing but HTTP/1.1 is spoken.
    shared: Option<(Destined, Sessions)>,
}

/// Which HTTP an app is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Speaks {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: agreed on in the TLS handshake, or in cleartext, where whoever configures it knows (RFC 9113 section 3.3).
    Http2,
    /// What the app prefers of both in the TLS handshake; in cleartext HTTP/1.1.
    Either,
}

/// A request as it is passed on.
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
    /// Hears the interim answers.
    pub interim: Option<OnInterim<'a>>,
}

/// A request that the app did not look at goes out so often in all.
const SENT_MAX: usize = 3;

/// Apps are the operator's own, wherever they are.
pub(super) const APPS: Policy = Policy::anywhere();

/// How often idle connections are looked at; those that the app has closed, or that are too old, go.
const LOOK_EVERY: Duration = Duration::from_secs(5);

// === impl Upstream ===

impl Upstream {
    /// An app without a connection yet. Must be called within a runtime.
    #[must_use]
    pub fn new(url: EndpointUrl, speaks: Speaks) -> Arc<Self> {
        let (offered, shared): (&[_], _) = match speaks {
            Speaks::Either if url.is_https() => (&[HTTP2, HTTP1], true),
            Speaks::Http1 | Speaks::Either => (&[HTTP1], false),
            Speaks::Http2 => (&[HTTP2], true),
        };
        let shared = shared.then(|| (Destined::to(&url), Sessions::new(speaks == Speaks::Either)));
        let connector = Connector::with_tls(Tls::offering(offered));
        let upstream = Arc::new(Self { url, connector, idle: Idle::new(), shared });
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
        onward: Onward<'_>,
        deadline: Instant,
    ) -> Result<Response<AnswerBody>, AppError> {
        if let Some((destined, sessions)) = &self.shared {
            return Box::pin(self.pass_among_others(destined, sessions, onward, deadline)).await;
        }
        match self.pass_over_idle(onward, deadline).await {
            Ok(answer) => answer,
            // Apart, since it is rare: what it needs would make every request's future large.
            Err(onward) => Box::pin(self.pass_anew(onward, deadline)).await,
        }
    }

    /// The same over a connection of HTTP/1.1 that is idle, or the request as it was.
    async fn pass_over_idle<'a>(
        self: &Arc<Self>,
        mut onward: Onward<'a>,
        deadline: Instant,
    ) -> Result<Result<Response<AnswerBody>, AppError>, Onward<'a>> {
        let now = Instant::now();
        while let Some(mut connection) = self.idle.take(now) {
            if !connection.still_leads(&self.connector, now).await {
                continue;
            }
            match self.exchange(connection, onward, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(unsent) => onward = unsent,
            }
        }
        Err(onward)
    }

    /// The same over a connection of HTTP/2, or of HTTP/1.1 where the app has chosen that.
    async fn pass_among_others(
        self: &Arc<Self>,
        destined: &Destined,
        sessions: &Sessions,
        mut onward: Onward<'_>,
        deadline: Instant,
    ) -> Result<Response<AnswerBody>, AppError> {
        for _ in 0..SENT_MAX {
            onward = match self.pass_over_idle(onward, deadline).await {
                Ok(answer) => return answer,
                Err(onward) => onward,
            };
            match sessions.way(&self.connector, &self.url, deadline).await? {
                Way::Http1(opened) => return self.pass_over(opened, onward, deadline).await,
                Way::Http2(slot) => match destined.pass(slot, onward, deadline).await {
                    Ok(answer) => return answer,
                    Err(unprocessed) => onward = unprocessed,
                },
            }
        }
        Err(AppError::Unreachable("the app has refused the request again and again".into()))
    }

    /// The same over a new connection.
    async fn pass_anew(
        self: &Arc<Self>,
        onward: Onward<'_>,
        deadline: Instant,
    ) -> Result<Response<AnswerBody>, AppError> {
        let opened = self.connector.connect(&self.url, &APPS, deadline).await.map_err(unconnected)?;
        self.pass_over(opened, onward, deadline).await
    }

    /// The same over a connection that was just opened.
    async fn pass_over(
        self: &Arc<Self>,
        opened: Opened,
        onward: Onward<'_>,
        deadline: Instant,
    ) -> Result<Response<AnswerBody>, AppError> {
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
        let Onward { method, path, query, headers, body, interim } = onward;
        let mut bytes = connection.take_head();
        let mut head = Head::start(&mut bytes, method, path, query, self.url.host_header().as_bytes());
        head.block(headers.as_bytes());
        head.finish(method, body.bytes());
        let is_head = *method == Method::HEAD;
        match Passing::new(connection, bytes, body, is_head, deadline).answer(self, interim).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(Unpassed::Failed(error)) => Ok(Err(error)),
            Err(Unpassed::NotSent(body)) => Err(Onward { method, path, query, headers, body, interim }),
        }
    }

    /// Takes a connection back whose answer was whole.
    pub(super) fn give_back(&self, connection: Connection) {
        if connection.stays_open() {
            self.idle.give_back(connection);
        }
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
        upstream.idle.retain(|connection| connection.is_of_use(now) && connection.0.is_quiet(&mut context));
        if let Some((_, sessions)) = &upstream.shared {
            sessions.tidy(now);
        }
    }
}

/// There is no connection, whatever the reason.
pub(super) fn unconnected(Failure { class, message }: Failure) -> AppError {
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
