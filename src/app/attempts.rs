//! The seam between dispatch, which says when, and deliver, which knows how.

use std::sync::Arc;

use tokio::time::Instant;

use crate::deliver::{Client, Connection, Endpoint, Parcel};
use crate::dispatch::Attempts;
use crate::domain::Attempt;
use crate::store::Claim;
use crate::telemetry::Tail;
use crate::telemetry::tail::{AttemptMade, Happening};

/// Deliver's client as dispatch wants it.
pub(super) struct Deliveries {
    pub(super) client: Client,
    /// Who looks on.
    pub(super) tail: Arc<Tail>,
}

/// Tells who looks on what came of an attempt.
pub(super) fn tell(tail: &Tail, claim: &Claim, attempt: &Attempt) {
    tail.tell(|| {
        let received = &claim.event.received;
        Happening::Attempt(Box::new(AttemptMade {
            delivery: claim.id,
            event: claim.event.id,
            project: Arc::clone(&received.project),
            source: Arc::clone(&received.source),
            event_type: received.event_type.clone(),
            destination: Arc::clone(&claim.target),
            number: attempt.number,
            outcome: attempt.outcome,
            response_code: attempt.status,
            duration: attempt.duration,
        }))
    });
}

impl Attempts for Deliveries {
    type Endpoint = Endpoint;
    type Connection = Connection;

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        connection: &mut Option<Connection>,
        claim: &Claim,
        begun: Instant,
    ) -> Attempt {
        let parcel = Parcel { event: &claim.event, delivery: claim.id, attempt: claim.attempt };
        let attempt = self.client.attempt(endpoint, connection, parcel, begun).await;
        tell(&self.tail, claim, &attempt);
        attempt
    }

    fn closed(&self, connection: &mut Connection) -> impl Future<Output = ()> + Send {
        self.client.closed(connection)
    }
}
