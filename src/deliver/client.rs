//! Makes attempts: a request out, an outcome back, whatever the other side does.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;
use tokio_rustls::rustls::ClientConfig;

use super::connection::{Connection, Exchanged, Outgoing, Unanswered};
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
        let mut head = connection.as_mut().map(Connection::take_head).unwrap_or_default();
        request::write(&mut head, endpoint, parcel, &self.clock, &*self.resign);
        let received = &parcel.event.received;
        let request = Outgoing { head: &head, body: &received.body, is_head: received.method == Method::HEAD };
        let result = self.exchange(endpoint, connection, request, started).await;
        if let Some(open) = connection {
            open.keep_head(head);
        }
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
        request: Outgoing<'_>,
        started: Instant,
    ) -> Result<Exchanged, Failure> {
        let deadline = started + endpoint.timeout;
        if let Some(warm) = connection.take().filter(|warm| warm.serves(&endpoint.url, started)) {
            match exchange_over(warm, connection, request, endpoint.response_bytes_max, deadline).await {
                Ok(exchanged) => return Ok(exchanged),
                Err(Unanswered::Failed(failure)) => return Err(failure),
                Err(Unanswered::NotSent) => {}
            }
        }
        let stream = self.connector.connect(&endpoint.url, deadline).await?;
        let fresh = Connection::over(stream, &endpoint.url, deadline);
        match exchange_over(fresh, connection, request, endpoint.response_bytes_max, deadline).await {
            Ok(exchanged) => Ok(exchanged),
            Err(Unanswered::Failed(failure)) => Err(failure),
            Err(Unanswered::NotSent) => {
                Err(Failure::protocol(&"the connection was closed before the request was sent"))
            }
        }
    }
}

/// Sends the request; `slot` holds the connection afterwards if it can be used again. Whoever drops this
/// future half way drops the connection with it.
async fn exchange_over(
    mut connection: Connection,
    slot: &mut Option<Connection>,
    request: Outgoing<'_>,
    body_bytes_max: usize,
    deadline: Instant,
) -> Result<Exchanged, Unanswered> {
    let exchanged = connection.exchange(request, body_bytes_max, deadline).await?;
    if connection.stays_open() {
        *slot = Some(connection);
    }
    Ok(exchanged)
}

fn attempt(number: u16, started_at: Timestamp, duration: Duration, result: Result<Exchanged, Failure>) -> Attempt {
    let (answer, failure) = match result {
        Ok(Exchanged { answer, cut }) => (Some(answer), cut),
        Err(failure) => (None, Some(failure)),
    };
    let status = answer.as_ref().map(|answer| answer.status);
    let outcome = match (&failure, status) {
        (Some(failure), _) => failure.class,
        (None, Some(200..=299)) => OutcomeClass::Succeeded,
        (None, _) => OutcomeClass::Status,
    };
    let answer = answer.unwrap_or_default();
    Attempt {
        number,
        started_at,
        duration,
        outcome,
        status,
        response_headers: answer.headers,
        response_body: answer.body,
        error: failure.map(|failure| failure.message),
    }
}
