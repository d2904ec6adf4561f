//! Finding an event by whatever name somebody has for it, with everything that became of it.

use std::sync::Arc;

use crate::domain::{Event, EventId, RejectionId, Seq};
use crate::store::{
    DeliveryFilter, DeliveryRow, EventFilter, Page, PageRequest, RejectionFilter, RejectionRow, Store, StoreError,
};

/// How many deliveries are shown with their event; more are listed by a filter.
pub const DELIVERIES_SHOWN_MAX: usize = crate::store::query::PAGE_ROWS_MAX;

/// The project's event with our id `key`, else its newest one whose sender called it `key`.
///
/// A sender may give ids that look like ours (Stripe's start with `evt_` too), so an id of ours that
/// nothing has is tried as the sender's.
///
/// # Errors
/// [`StoreError::NotFound`] where neither exists, [`StoreError::Damaged`], [`StoreError::Engine`].
pub async fn event<S: Store>(store: &S, project: &str, key: &str) -> Result<Arc<Event>, StoreError> {
    if let Ok(id) = key.parse::<EventId>() {
        match store.event(id).await {
            Err(StoreError::NotFound) => {}
            // Another project's is not there.
            Ok(event) if *event.received.project != *project => {}
            found => return found,
        }
    }
    let filter =
        EventFilter { project: Some(project.into()), source_event_id: Some(key.into()), ..EventFilter::default() };
    let page = store.events(filter, PageRequest { limit: 1, after: None }).await?;
    let row = page.rows.first().ok_or(StoreError::NotFound)?;
    store.event(row.id).await
}

/// The event's deliveries, at most [`DELIVERIES_SHOWN_MAX`].
///
/// # Errors
/// [`StoreError::Engine`].
pub async fn deliveries_of<S: Store>(store: &S, event: EventId) -> Result<Page<DeliveryRow>, StoreError> {
    let filter = DeliveryFilter { event: Some(event), ..DeliveryFilter::default() };
    store.deliveries(filter, PageRequest { limit: DELIVERIES_SHOWN_MAX, after: None }).await
}

/// The rejection with this id, which the refused sender was told.
///
/// # Errors
/// [`StoreError::NotFound`] where the ledger does not hold it (any more), [`StoreError::Engine`].
pub async fn rejection<S: Store>(store: &S, id: RejectionId) -> Result<RejectionRow, StoreError> {
    // The ledger is in the order of the ids: right below the next place lies this one, or it is not there.
    let page = PageRequest { limit: 1, after: Some((Seq(id.seq().0.saturating_add(1)), 0)) };
    let found = store.rejections(RejectionFilter::default(), page).await?;
    found.rows.into_iter().find(|row| row.id == id).ok_or(StoreError::NotFound)
}
