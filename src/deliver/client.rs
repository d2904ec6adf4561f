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

    /// Makes one attempt, which begins at `begun`, that is now; takes no longer than the endpoint's `timeout`.
    ///
    /// A connection that is handed in and still serves is used; one that the next attempt can use is left
    /// behind. A request goes out a second time only where nothing of it had been written.
    pub async fn attempt(
        &self,
        endpoint: &Endpoint,
        connection: &mut Option<Connection>,
        parcel: Parcel<'_>,
        begun: Instant,
    ) -> Attempt {
        let started_at = self.clock.at(begun.into_std());
        let mut head = connection.as_mut().map(Connection::take_head).unwrap_or_default();
        request::write(&mut head, endpoint, parcel, &self.clock, &*self.resign);
        let received = &parcel.event.received;
        let request = Outgoing { head: &head, body: &received.body, is_head: received.method == Method::HEAD };
        let result = self.exchange(endpoint, connection, request, begun).await;
        if let Some(open) = connection {
            open.keep_head(head);
        }
        attempt(parcel.attempt, started_at, begun.elapsed(), result)
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
        begun: Instant,
    ) -> Result<Exchanged, Failure> {
        let deadline = begun + endpoint.timeout;
        // Out of its place meanwhile: whoever drops this future half way drops the connection with it.
        if let Some(mut warm) = connection.take().filter(|warm| warm.serves(&endpoint.url, &endpoint.policy, begun))
            && warm.still_leads(&self.connector, begun).await
        {
            match warm.exchange(request, endpoint.response_bytes_max, deadline).await {
                Ok(exchanged) => {
                    *connection = Some(warm).filter(Connection::stays_open);
                    return Ok(exchanged);
                }
                Err(Unanswered::Failed(failure)) => return Err(failure),
                Err(Unanswered::NotSent) => {}
            }
        }
        // Apart, since it is rare: what it needs would make every attempt's future large.
        Box::pin(self.exchange_anew(endpoint, connection, request, deadline)).await
    }

    /// The same over a new connection.
    async fn exchange_anew(
        &self,
        endpoint: &Endpoint,
        connection: &mut Option<Connection>,
        request: Outgoing<'_>,
        deadline: Instant,
    ) -> Result<Exchanged, Failure> {
        let opened = self.connector.connect(&endpoint.url, &endpoint.policy, deadline).await?;
        let mut fresh = Connection::over(opened, &endpoint.url, &endpoint.policy, deadline);
        match fresh.exchange(request, endpoint.response_bytes_max, deadline).await {
            Ok(exchanged) => {
                *connection = Some(fresh).filter(Connection::stays_open);
                Ok(exchanged)
            }
            Err(Unanswered::Failed(failure)) => Err(failure),
            Err(Unanswered::NotSent) => {
                Err(Failure::protocol(&"the connection was closed before the request was sent"))
            }
        }
    }
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
