//! Connections that read the index: a few, short-lived transactions, off the runtime's own threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::index::{self, IndexFault};
use super::indexer::Progress;
use crate::store::StoreError;

/// Connections that stay open.
const READERS_MAX: usize = 4;

/// Readers that wait for work.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    /// Each with the life of the index that it was opened in.
    idle: Mutex<Vec<(u64, Connection)>>,
    progress: Arc<Progress>,
}

// === impl Readers ===

impl Readers {
    pub(super) fn new(path: PathBuf, progress: Arc<Progress>) -> Self {
        Self { path, idle: Mutex::default(), progress }
    }

    /// Runs a short query on the blocking threads; damage that it finds lets the index be built anew.
    pub(super) async fn read<R: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> Result<R, IndexFault> + Send + 'static,
    ) -> Result<R, StoreError> {
        let readers = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || readers.read_here(query)).await;
        let outcome = read.map_err(|error| StoreError::Engine(error.to_string().into()))?;
        outcome.map_err(|fault| {
            if let IndexFault::Damaged(what) = &fault {
                self.progress.report_damage(what.clone());
            }
            StoreError::Engine(fault.to_string().into())
        })
    }

    /// Runs a query on this thread.
    pub(super) fn read_here<R>(
        &self,
        query: impl FnOnce(&Connection) -> Result<R, IndexFault>,
    ) -> Result<R, IndexFault> {
        let life = self.progress.lives();
        let idle = self.lock().pop().filter(|(its_life, _)| *its_life == life);
        let connection = match idle {
            Some((_, connection)) => connection,
            None => index::open_reader(&self.path)?,
        };
        let result = query(&connection);
        // A connection that met a fault may look at a file that was set aside.
        if result.is_ok() && self.progress.lives() == life {
            let mut idle = self.lock();
            if idle.len() < READERS_MAX {
                idle.push((life, connection));
            }
        }
        result
    }

    /// Closes what is idle: the engine closes.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
