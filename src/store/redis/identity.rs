//! What a store is known by: the keys of its ids and marks, made once and for all by the first gateway.

use redis::{FromRedisValue, RedisError};

use super::config::{Config, OpenError};
use super::connection::{Connection, pipeline};
use super::settings::command;
use crate::store::StoreKeys;

/// The format that this build writes.
const FORMAT: u64 = 1;

/// The store's own keys, and which start this is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) keys: StoreKeys,
    /// Counts the starts of gateways.
    pub(super) start: u64,
}

/// Why the store there is not ours.
pub(super) enum IdentityFault {
    Failed(RedisError),
    Refused(OpenError),
    /// It has other keys than before.
    Other,
}

/// Reads the identity; makes it where there is none: the store is new, or this shard of it (`is_new`), or the server has
/// lost what it had (with `own`). Where this one is to take in what another store held, it gets that one's keys.
pub(super) async fn settle(
    connection: &mut Connection,
    base: &str,
    config: &Config,
    own: Option<&Identity>,
    is_new: bool,
) -> Result<Identity, IdentityFault> {
    let key = format!("{base}meta");
    let keys = match own.map(|own| own.keys).or(config.new_keys) {
        Some(keys) => keys,
        None => StoreKeys::random().map_err(|error| IdentityFault::Failed(error.into()))?,
    };
    let keys = [keys.mint, keys.hash].concat();
    let (shards, format) = (config.shards.to_string(), FORMAT.to_string());
    let asked = [
        command("HSETNX", &[&key, "keys", &hex::encode(keys)]),
        command("HSETNX", &[&key, "shards", &shards]),
        command("HSETNX", &[&key, "format", &format]),
        command("HMGET", &[&key, "keys", "shards", "format"]),
        command("HINCRBY", &[&key, "starts", if own.is_some() { "0" } else { "1" }]),
    ];
    let mut values = Vec::with_capacity(asked.len());
    for reply in connection.all(&pipeline(asked)).await.map_err(IdentityFault::Failed)? {
        values.push(reply.map_err(IdentityFault::Failed)?);
    }
    let parsed = |error: redis::ParsingError| IdentityFault::Failed(error.into());
    let start = values.pop().map(u64::from_redis_value).transpose().map_err(parsed)?.unwrap_or_default();
    let found = values.pop().map(<(String, u64, u64)>::from_redis_value).transpose().map_err(parsed)?;
    let (keys, shards, format) = found.unwrap_or_default();
    let made_now = values.into_iter().next().is_some_and(|made| matches!(made, redis::Value::Int(1)));
    if made_now && !is_new {
        tracing::error!("redis has lost everything that it held: the store begins anew");
    }
    let prefix = config.key_prefix.clone();
    if format != FORMAT {
        return Err(IdentityFault::Refused(OpenError::Format { prefix, found: format, expected: FORMAT }));
    }
    if shards != u64::from(config.shards) {
        return Err(IdentityFault::Refused(OpenError::Shards { prefix, found: shards }));
    }
    let keys = hex::decode(keys).unwrap_or_default();
    let half = |from: usize| keys.get(from..from + 16).and_then(|half| half.try_into().ok()).unwrap_or_default();
    let keys = StoreKeys { mint: half(0), hash: half(16) };
    let identity = Identity { keys, start: own.map_or(start, |own| own.start) };
    match own {
        Some(own) if *own != identity => Err(IdentityFault::Other),
        _ => Ok(identity),
    }
}
