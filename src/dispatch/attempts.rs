//! What this stage asks of whoever makes the attempts.

use std::future::Future;

use tokio::time::Instant;

use crate::domain::Attempt;
use crate::store::Claim;

/// Makes attempts: stage 5 in the gateway, something simpler in tests.
pub trait Attempts: Send + Sync + 'static {
    /// Where a destination's requests go, and how they look.
    type Endpoint: PartialEq + Send + Sync + 'static;

    /// What a worker keeps warm between two attempts.
    type Connection: Send + 'static;

    /// Makes one attempt, which begins at `begun`, that is now; never takes longer than the destination's `timeout`.
    ///
    /// Uses what is in `connection` where that still serves, and leaves there what the next attempt can use.
    fn attempt(
        &self,
        endpoint: &Self::Endpoint,
        connection: &mut Option<Self::Connection>,
        claim: &Claim,
        begun: Instant,
    ) -> impl Future<Output = Attempt> + Send;

    /// Waits, while nothing is sent, until the other side has closed the connection.
    fn closed(&self, connection: &mut Self::Connection) -> impl Future<Output = ()> + Send;
}
