//! The store that the configuration names, open.

use std::io;

use super::StartError;
use super::inherited::Patience;
use crate::config::{Checked, Durability, RedisStore};
use crate::domain::{Clock, Secret};
use crate::store::StoreKeys;
use crate::store::embedded::{self, Embedded};
use crate::store::redis::{self, Redis};
use crate::telemetry::Metrics;

/// An open store of either engine.
pub(super) enum Opened {
    Embedded(Box<Embedded>),
    Redis(Box<Redis>),
}

/// Opens the store when whoever has it has given it back.
pub(super) async fn succeed_to_store(
    checked: &Checked,
    clock: &Clock,
    metrics: &Metrics,
    patience: Patience,
) -> Result<Opened, StartError> {
    let mut told = false;
    loop {
        match open_store(checked, clock, metrics, None).await {
            Err(StartError::Store(embedded::OpenError::InUse { path, pid })) if patience.waits() => {
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(store = %path.display(), pid = &*pid, "waiting for the gateway before this one to end");
                }
                patience.nap().await;
            }
            opened => return opened,
        }
    }
}

/// Opens the store; a new one has `new_keys`, else keys of its own.
pub(super) async fn open_store(
    checked: &Checked,
    clock: &Clock,
    metrics: &Metrics,
    new_keys: Option<StoreKeys>,
) -> Result<Opened, StartError> {
    match &checked.store.redis {
        None => open_embedded(checked, clock, metrics, new_keys).await,
        Some(redis) => open_redis(redis, checked, clock, metrics, new_keys).await,
    }
}

async fn open_embedded(
    checked: &Checked,
    clock: &Clock,
    metrics: &Metrics,
    new_keys: Option<StoreKeys>,
) -> Result<Opened, StartError> {
    let mut config = embedded::Config::new(&checked.store.path);
    config.bytes_max = checked.store.bytes_max;
    config.disk_free_min = checked.store.disk_free_min;
    config.rejections_bytes_max = checked.store.rejections_bytes_max;
    config.dedup_window_max = config.dedup_window_max.max(longest_window(checked));
    config.durability = match checked.store.durability {
        Durability::Strict => embedded::Durability::Strict,
        Durability::Relaxed => embedded::Durability::Relaxed,
    };
    config.new_keys = new_keys;
    config.clock = clock.clone();
    config.metrics = metrics.store().clone();
    let opened = tokio::task::spawn_blocking(move || Embedded::open(config)).await;
    let cause = |error| StartError::Machine { what: "the store could not be opened", cause: io::Error::other(error) };
    Ok(Opened::Embedded(Box::new(opened.map_err(cause)??)))
}

async fn open_redis(
    written: &RedisStore,
    checked: &Checked,
    clock: &Clock,
    metrics: &Metrics,
    new_keys: Option<StoreKeys>,
) -> Result<Opened, StartError> {
    let mut config = redis::Config::new(address(&written.url)?);
    config.sentinels = written.sentinels.iter().map(address).collect::<Result<_, _>>()?;
    config.cluster = written.cluster;
    config.nodes = written.nodes.iter().map(address).collect::<Result<_, _>>()?;
    config.replicas_min = written.replicas_min;
    config.tls = written.tls.clone();
    config.key_prefix = written.key_prefix.clone();
    config.shards = written.shards;
    config.assume_durable = written.assume_durable;
    config.bytes_max = checked.store.bytes_max;
    config.rejections_bytes_max = checked.store.rejections_bytes_max;
    config.dedup_window_max = config.dedup_window_max.max(longest_window(checked));
    config.durability = match checked.store.durability {
        Durability::Strict => redis::Durability::Strict,
        Durability::Relaxed => redis::Durability::Relaxed,
    };
    config.new_keys = new_keys;
    config.clock = clock.clone();
    config.metrics = metrics.store().clone();
    Ok(Opened::Redis(Box::new(Box::pin(Redis::open(config)).await?)))
}

fn address(url: &Secret) -> Result<redis::Address, StartError> {
    let text = String::from_utf8_lossy(url.expose());
    redis::Address::parse(&text).map_err(|error| StartError::Machine {
        what: "the address of the store cannot be read",
        cause: io::Error::other(error),
    })
}

/// Marks are kept as long as any source asks for them.
fn longest_window(checked: &Checked) -> std::time::Duration {
    let windows = checked.sources.iter().filter_map(|source| Some(source.dedup.as_ref()?.window));
    windows.max().unwrap_or_default()
}
