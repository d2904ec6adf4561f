//! Once more, or no more: redelivery, replay and cancellation, as people ask for them.

use crate::domain::{DeliveryId, EventId, Plan, WebhookId};
use crate::store::{DeliveryRow, Store, StoreError};
use crate::telemetry::Metrics;

/// Delivers again, now; the delivery as it stands then.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Conflict`] while it is in flight, [`StoreError::Engine`].
pub async fn redeliver<S: Store>(store: &S, id: DeliveryId) -> Result<DeliveryRow, StoreError> {
    store.redeliver(id).await?;
    tracing::info!(delivery = %id, "redelivery asked for");
    Ok(store.delivery(id).await?.0)
}

/// Stops a delivery that is open; the delivery as it stands then.
///
/// # Errors
/// As [`redeliver`].
pub async fn cancel<S: Store>(store: &S, id: DeliveryId, metrics: &Metrics) -> Result<DeliveryRow, StoreError> {
    store.cancel(id).await?;
    let (row, _) = store.delivery(id).await?;
    // Webhooks are not counted one by one.
    let counted_as = if row.target.parse::<WebhookId>().is_ok() { "(webhooks)" } else { &*row.target };
    metrics.destination(counted_as).cancelled();
    tracing::info!(delivery = %id, destination = %row.target, "delivery cancelled");
    Ok(row)
}

/// Sends an event that is kept once more, to where `plan` says; the new deliveries.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Engine`].
pub async fn replay<S: Store>(store: &S, event: EventId, plan: Plan) -> Result<Vec<DeliveryId>, StoreError> {
    let made = store.replay(event, plan.deliveries).await?;
    tracing::info!(event = %event, deliveries = made.len(), "replay asked for");
    Ok(made)
}
