//! The seam between dispatch, which says when, and deliver, which knows how.

use crate::deliver::{Client, Connection, Endpoint, Parcel};
use crate::dispatch::Attempts;
use crate::domain::Attempt;
use crate::store::Claim;

/// Deliver's client as dispatch wants it.
pub(super) struct Deliveries(pub(super) Client);

impl Attempts for Deliveries {
    type Endpoint = Endpoint;
    type Connection = Connection;

    async fn attempt(&self, endpoint: &Endpoint, connection: &mut Option<Connection>, claim: &Claim) -> Attempt {
        let parcel = Parcel { event: &claim.event, delivery: claim.id, attempt: claim.attempt };
        self.0.attempt(endpoint, connection, parcel).await
    }

    async fn closed(&self, connection: &mut Connection) {
        self.0.closed(connection).await;
    }
}
