//! Finding an event by whatever name somebody has for it, with everything that became of it.

use std::sync::Arc;

use crate::domain::{Event, EventId, RejectionId, Seq};
use crate::store::{
    DeliveryFilter, DeliveryRow, EventFilter, Page, PageRequest, RejectionFilter, RejectionRow, Store, StoreError,
};

/// How many deliveries are shown with their event; more are listed by a filter.
pub const DELIVERIES_SHOWN_MAX: usize = crate::store::query::PAGE_ROWS_MAX;

/// The event with our id `key`, else the newest one whose sender called it `key`; where a project is given, of this
/// project only.
///
/// A sender may give ids that look like ours (Stripe's start with `evt_` too), so an id of ours that
/// nothing has is tried as the sender's.
///
/// # Errors
/// [`StoreError::NotFound`] where neither exists, [`StoreError::Damaged`], [`StoreError::Engine`].
pub async fn event<S: Store>(store: &S, key: &str, project: Option<&str>) -> Result<Arc<Event>, StoreError> {
    if let Ok(id) = key.parse::<EventId>() {
        match store.event(id).await {
            Err(StoreError::NotFound) => {}
            // Somebody else's: as if it were not there.
            Ok(event) if project.is_some_and(|project| *event.received.project != *project) => {}
            found => return found,
        }
    }
    let filter =
        EventFilter { source_event_id: Some(key.into()), project: project.map(Box::from), ..EventFilter::default() };
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
