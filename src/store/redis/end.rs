//! The end: everything is written, and what was claimed here is given back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Cmd, RedisResult};
use tokio::time::timeout;

use super::connection::pipeline;
use super::engine::{Redis, Shared};
use super::errand::Errand;
use super::key::time;
use super::link::Link;
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
        let last = Box::pin(bring_last(Arc::clone(&self.shared)));
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
        let shared = Arc::clone(&self.shared);
        // On a thread of its own: the runtime that the engine was opened in may be this thread's, or gone.
        let thread = std::thread::Builder::new().name("store-end".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string().into()).and_then(|runtime| runtime.block_on(bring_last(shared)))
        });
        if let Ok(Ok(Err(reason))) = thread.map(std::thread::JoinHandle::join) {
            tracing::warn!(
                reason = &*reason,
                "the last outcomes could not be written: their deliveries are made again"
            );
        }
    }
}

/// Over connections of its own, since the tasks that used the others are gone.
async fn bring_last(shared: Arc<Shared>) -> Result<(), Arc<str>> {
    let brought = timeout(END_MAX, bring(&shared)).await;
    brought.unwrap_or_else(|_| Err("redis does not answer in time".into()))
}

/// As much as can be brought; the first failure.
async fn bring(shared: &Shared) -> Result<(), Arc<str>> {
    let notes = shared.ledger.drain();
    if let Some(first) = shared.outboxes().next() {
        first.run_all(notes);
    }
    for (mark, seq) in std::mem::take(&mut *shared.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner)) {
        shared.outbox(shared.shard_of_mark(&mark)).run(Errand::ReleaseMark { mark, seq });
    }
    let mut brought = Ok(());
    for (place, link) in shared.links.iter().enumerate() {
        let is_its = |shard: usize| shared.links.is_one() || shard == place;
        let mut commands: Vec<Cmd> = script::all().into_iter().map(script::Script::load).collect();
        for shard in (0..shared.bases.count()).filter(|shard| is_its(*shard)) {
            last_of(shared, shard, &mut commands);
        }
        brought = brought.and(send(link, commands).await.map_err(|error| Arc::from(error.to_string())));
    }
    brought
}

/// What a shard still has to hear.
fn last_of(shared: &Shared, shard: usize, commands: &mut Vec<Cmd>) {
    let (base, now) = (shared.bases.get(shard), shared.clock.now());
    for some in shared.outbox(shard).abandon().chunks(ERRANDS_MAX) {
        let mut call = script::APPLY.on(base);
        call.number(time(now)).number(some.len() as u64);
        some.iter().for_each(|errand| errand.write(&mut call, shared.bounds));
        commands.push(call.done());
    }
    let mut call = script::LEAVE.on(base);
    call.bytes(shared.lease_prefix());
    commands.push(call.done());
}

async fn send(link: &Link, commands: Vec<Cmd>) -> RedisResult<()> {
    let mut connection = Box::pin(link.reach()).await?;
    let replies = connection.all(&pipeline(commands)).await?;
    replies.into_iter().try_for_each(|reply| reply.map(drop))
}
