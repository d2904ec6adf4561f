//! The end: everything is written, and what was claimed here is given back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::Cmd;
use tokio::time::timeout;

use super::config::Config;
use super::connection::{Connection, pipeline};
use super::engine::{Redis, Shared};
use super::errand::Errand;
use super::key::time;
use super::script;
use crate::store::StoreError;

/// How long an end waits for the server.
const END_MAX: Duration = Duration::from_secs(3);

/// Errands of one command.
const ERRANDS_MAX: usize = 512;

// === impl Redis ===

impl Redis {
    pub(super) async fn close_whole(&self) -> Result<(), StoreError> {
        if self.shared.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.tasks().abort_all();
        let last = Box::pin(bring_last(Arc::clone(&self.shared), self.config.clone()));
        last.await.map_err(StoreError::Engine)
    }
}

/// Dropped without being closed: what waits is still written, but nobody is told whether it could be.
impl Drop for Redis {
    fn drop(&mut self) {
        if self.shared.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.tasks().abort_all();
        let (shared, config) = (Arc::clone(&self.shared), self.config.clone());
        // On a thread of its own: the runtime that the engine was opened in may be this thread's, or gone.
        let thread = std::thread::Builder::new().name("store-end".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map_err(|error| error.to_string().into())
                .and_then(|runtime| runtime.block_on(bring_last(shared, config)))
        });
        if let Ok(Ok(Err(reason))) = thread.map(std::thread::JoinHandle::join) {
            tracing::warn!(
                reason = &*reason,
                "the last outcomes could not be written: their deliveries are made again"
            );
        }
    }
}

/// Over a connection of its own, since the tasks that used the other one are gone.
async fn bring_last(shared: Arc<Shared>, config: Config) -> Result<(), Arc<str>> {
    let brought = timeout(END_MAX, bring(&shared, &config)).await;
    brought.unwrap_or_else(|_| Err("redis does not answer in time".into()))
}

async fn bring(shared: &Shared, config: &Config) -> Result<(), Arc<str>> {
    let words = |error: redis::RedisError| Arc::<str>::from(error.to_string());
    let mut connection = Connection::open(config).await.map_err(words)?;
    let now = shared.clock.now();
    let mut commands: Vec<Cmd> = script::all().into_iter().map(script::Script::load).collect();
    let notes = shared.ledger.drain();
    if let Some(first) = shared.outboxes().next() {
        first.run_all(notes);
    }
    for (mark, seq) in std::mem::take(&mut *shared.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner)) {
        shared.outbox(shared.shard_of_mark(&mark)).run(Errand::ReleaseMark { mark, seq });
    }
    for (base, outbox) in shared.bases.iter().zip(shared.outboxes()) {
        for some in outbox.abandon().chunks(ERRANDS_MAX) {
            let mut call = script::APPLY.on(base);
            call.number(time(now)).number(some.len() as u64);
            some.iter().for_each(|errand| errand.write(&mut call, shared.bounds));
            commands.push(call.done());
        }
        let mut call = script::LEAVE.on(base);
        call.bytes(shared.lease_prefix());
        commands.push(call.done());
    }
    for reply in connection.all(&pipeline(commands)).await.map_err(words)? {
        reply.map_err(words)?;
    }
    Ok(())
}
