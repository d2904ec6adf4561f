//! The seam between dispatch, which says when, and deliver, which knows how.

use tokio::time::Instant;

use crate::deliver::{Client, Connection, Endpoint, Parcel};
use crate::dispatch::Attempts;
use crate::domain::Attempt;
use crate::store::Claim;

/// Deliver's client as dispatch wants it.
pub(super) struct Deliveries(pub(super) Client);

impl Attempts for Deliveries {
    type Endpoint = Endpoint;
    type Connection = Connection;

    fn attempt(
        &self,
        endpoint: &Endpoint,
        connection: &mut Option<Connection>,
        claim: &Claim,
        begun: Instant,
    ) -> impl Future<Output = Attempt> + Send {
        let parcel = Parcel { event: &claim.event, delivery: claim.id, attempt: claim.attempt };
        self.0.attempt(endpoint, connection, parcel, begun)
    }

    fn closed(&self, connection: &mut Connection) -> impl Future<Output = ()> + Send {
        self.0.closed(connection)
    }
}
