//! Makes attempts: a request out, an outcome back, whatever the other side does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

use super::connection::{Answer, Connection, Unanswered};
use super::connector::Connector;
use super::failure::Failure;
use super::request::{self, Parcel};
use super::tls::Tls;
use super::{Endpoint, Resign};
use crate::domain::{Attempt, Clock, OutcomeClass, Timestamp};

/// The client of every destination; connections belong to those who call it.
pub struct Client {
    clock: Clock,
    connector: Connector,
    resign: Arc<dyn Resign>,
}

/// The most bytes of an answer's headers (names and values) that are kept with the attempt.
pub const RESPONSE_HEADERS_BYTES_MAX: usize = 8 * 1024;

// === impl Client ===

impl Client {
    /// A client that believes the machine's certificates, or Mozilla's where the machine has none.
    #[must_use]
    pub fn new(clock: Clock, resign: Arc<dyn Resign>) -> Self {
        Self { clock, connector: Connector::default(), resign }
    }

    /// A client with a TLS configuration of the caller's.
    #[must_use]
    pub fn with_tls(clock: Clock, resign: Arc<dyn Resign>, tls: Arc<ClientConfig>) -> Self {
        Self { clock, connector: Connector::with_tls(Tls::with(tls)), resign }
    }

    /// Makes one attempt; takes no longer than the endpoint's `timeout`.
    ///
    /// A connection that is handed in and still serves is used; one that the next attempt can use is left
    /// behind. A request goes out a second time only where nothing of it had been written.
    pub async fn attempt(
        &self,
        endpoint: &Endpoint,
        connection: &mut Option<Connection>,
        parcel: Parcel<'_>,
    ) -> Attempt {
        let started_at = self.clock.now();
        let started = Instant::now();
        let request = request::build(endpoint, parcel, &self.clock, &*self.resign);
        let result = self.exchange(endpoint, connection, request, started + endpoint.timeout).await;
        attempt(parcel.attempt, started_at, started.elapsed(), result)
    }

    /// Waits until the other side closes a connection that is not in use.
    pub async fn closed(&self, connection: &mut Connection) {
        connection.closed().await;
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        connection: &mut Option<Connection>,
        mut request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        if let Some(warm) = connection.take().filter(|warm| warm.serves(&endpoint.url)) {
            match exchange_over(warm, connection, request, endpoint.response_bytes_max, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Failed(failure)) => return Err(failure),
                Err(Unanswered::NotSent(unsent)) => request = *unsent,
            }
        }
        let stream = self.connector.connect(&endpoint.url, deadline).await?;
        let fresh = Connection::over(stream, &endpoint.url, deadline).await?;
        match exchange_over(fresh, connection, request, endpoint.response_bytes_max, deadline).await {
            Ok(answer) => Ok(answer),
            Err(Unanswered::Failed(failure)) => Err(failure),
            Err(Unanswered::NotSent(_)) => {
                Err(Failure::new(OutcomeClass::Protocol, "the connection was closed before the request was sent"))
            }
        }
    }
}

/// Sends the request; `slot` holds the connection afterwards if it can be used again. Whoever drops this
/// future half way drops the connection with it.
async fn exchange_over(
    mut connection: Connection,
    slot: &mut Option<Connection>,
    request: Request<Full<Bytes>>,
    body_bytes_max: usize,
    deadline: Instant,
) -> Result<Answer, Unanswered> {
    let answer = connection.exchange(request, body_bytes_max, deadline).await?;
    if answer.cut.is_none() && connection.stays_open() {
        *slot = Some(connection);
    }
    Ok(answer)
}

fn attempt(number: u16, started_at: Timestamp, duration: Duration, result: Result<Answer, Failure>) -> Attempt {
    let (status, response_headers, response_body, failure) = match result {
        Ok(Answer { status, head, body, cut }) => (Some(status), head.headers, body, cut),
        Err(failure) => (None, HeaderMap::new(), Bytes::new(), Some(failure)),
    };
    let outcome = match (&failure, status) {
        (Some(failure), _) => failure.class,
        (None, Some(status)) if status.is_success() => OutcomeClass::Succeeded,
        (None, _) => OutcomeClass::Status,
    };
    Attempt {
        number,
        started_at,
        duration,
        outcome,
        status: status.map(|status| status.as_u16()),
        response_headers: bounded(response_headers),
        response_body,
        error: failure.map(|failure| failure.message),
    }
}

/// The headers up to a bound; the fields that go over it are left out.
fn bounded(headers: HeaderMap) -> HeaderMap {
    let size =
        |headers: &HeaderMap| -> usize { headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum() };
    if size(&headers) <= RESPONSE_HEADERS_BYTES_MAX {
        return headers;
    }
    let mut kept = HeaderMap::new();
    let mut bytes = 0;
    for (name, value) in &headers {
        bytes += name.as_str().len() + value.len();
        if bytes <= RESPONSE_HEADERS_BYTES_MAX {
            kept.append(name, value.clone());
        }
    }
    kept
}
