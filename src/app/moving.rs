//! What the configured store holds, out to another one and in from one, with no gateway around it.

use std::io::{BufRead, Write};

use super::StartError;
use super::opened::{Opened, open_store};
use crate::config::Checked;
use crate::domain::Clock;
use crate::records::moving::{self, MoveError, Moved, Opening};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// Why nothing, or not everything, was moved.
#[derive(Debug, thiserror::Error)]
pub enum Unmoved {
    /// The store could not be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It ended early.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// The store could not be closed: what was taken in last may not be kept.
    #[error(transparent)]
    Close(StoreError),
    /// There is no store yet, or it holds something else.
    #[error("{0}")]
    Store(String),
}

/// Writes everything that the store of this configuration holds to `out`. `told` hears how far it is, of how many events.
///
/// # Errors
/// [`Unmoved`].
pub async fn export(checked: &Checked, out: impl Write, told: impl FnMut(&Moved, u64)) -> Result<Moved, Unmoved> {
    if checked.store.redis.is_none() && !checked.store.path.join("journal").is_dir() {
        return Err(Unmoved::Store(format!("there is no store in {}", checked.store.path.display())));
    }
    match Box::pin(open_store(checked, &Clock::machine(), &Metrics::new(), None)).await? {
        Opened::Embedded(store) => Box::pin(export_from(*store, out, told)).await,
        Opened::Redis(store) => Box::pin(export_from(*store, out, told)).await,
    }
}

/// Reads an export, of which the first line was read, into the store of this configuration, which must be new or have been
/// begun with the same export.
///
/// # Errors
/// [`Unmoved`]; what was read before is kept, and reading all of it again does no harm.
pub async fn import<R: BufRead>(
    checked: &Checked,
    opening: Opening<R>,
    told: impl FnMut(&Moved),
) -> Result<Moved, Unmoved> {
    match Box::pin(open_store(checked, &Clock::machine(), &Metrics::new(), Some(opening.keys))).await? {
        Opened::Embedded(store) => Box::pin(import_into(*store, opening, told)).await,
        Opened::Redis(store) => Box::pin(import_into(*store, opening, told)).await,
    }
}

async fn export_from<S: Store>(store: S, out: impl Write, mut told: impl FnMut(&Moved, u64)) -> Result<Moved, Unmoved> {
    let all = store.count_events().await.map_err(MoveError::from)?;
    let moved = moving::export(&store, Clock::machine().now(), out, |moved| told(moved, all)).await;
    store.close().await.map_err(Unmoved::Close)?;
    Ok(moved?)
}

async fn import_into<S: Store, R: BufRead>(
    store: S,
    opening: Opening<R>,
    told: impl FnMut(&Moved),
) -> Result<Moved, Unmoved> {
    if store.keys() != opening.keys {
        return Err(Unmoved::Store(
            "the store that is configured was not begun with this export, and keeps its own keys: import into a new one \
             (an empty `store.path`, or another `store.key_prefix`)"
                .into(),
        ));
    }
    let moved = moving::import(&store, opening, told).await;
    store.close().await.map_err(Unmoved::Close)?;
    Ok(moved?)
}
