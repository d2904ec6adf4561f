//! `store` with `engine: redis`: an address that can be read, certificates that fit it, and no key of the other engine.

use super::checked::RedisStore;
use crate::config::document::problem::Problems;
use crate::config::document::spanned::At;
use crate::config::document::tree::NodeId;
use crate::config::written::{self, Pem, SecretText, StoreTls};
use crate::domain::Secret;
use crate::store::redis::{Address, Config, Tls};

/// The longest prefix of the keys.
const PREFIX_BYTES_MAX: usize = 64;

const URL_HINT: &str = "write it like redis://user:password@host:6379/0, rediss://… for TLS, or unix:///path?db=0";

pub(super) fn redis(written: &written::Store, problems: &mut Problems<'_>) -> Option<RedisStore> {
    if let Some(disk_free_min) = &written.disk_free_min {
        problems.wrong(
            disk_free_min.at,
            "of the embedded engine: the redis engine has no disk of its own",
            "leave it out; `store.bytes_max` bounds the memory of Redis",
        );
    }
    let Some(url) = &written.url else {
        if let Some(engine) = &written.engine {
            problems.wrong(engine.at, "nothing says where Redis is", format!("add `store.url`: {URL_HINT}"));
        }
        return None;
    };
    let text = url.value.0.trim();
    let address = match Address::parse(text) {
        Ok(address) => address,
        Err(error) => {
            problems.wrong(url.at, error.to_string(), URL_HINT);
            return None;
        }
    };
    if address.has_password() && !problems.tree().is_referred(url.at) {
        problems.warn(
            url.at,
            "the password stands in the file itself",
            "fine for trying things out; else write the URL as ${NAME} or { file: … }",
        );
    }
    let tls = written.tls.as_ref();
    if let Some(tls) = tls
        && !address.is_tls()
    {
        problems.wrong(tls.at, "certificates, but the URL is not `rediss://`", "write rediss:// or leave `tls` out");
    }
    Some(RedisStore {
        url: Secret::new(text),
        sentinels: sentinels(written.sentinels.as_ref(), &address, problems),
        cluster: cluster(written, &address, problems),
        nodes: nodes(written, problems),
        replicas_min: written.replicas_min.as_ref().map_or(0, |min| min.value),
        tls: tls.map(|tls| certificates(tls, problems)).unwrap_or_default(),
        key_prefix: key_prefix(written.key_prefix.as_ref(), problems),
        shards: shards(written.shards.as_ref(), problems),
        assume_durable: written.assume_durable.as_ref().is_some_and(|assumed| assumed.value),
    })
}

/// Keys that mean nothing to the embedded engine.
pub(super) fn only_redis(written: &written::Store, problems: &mut Problems<'_>) {
    let keys: [Option<NodeId>; 9] = [
        written.url.as_ref().map(|key| key.at),
        written.key_prefix.as_ref().map(|key| key.at),
        written.shards.as_ref().map(|key| key.at),
        written.tls.as_ref().map(|key| key.at),
        written.assume_durable.as_ref().map(|key| key.at),
        written.sentinels.as_ref().map(|key| key.at),
        written.cluster.as_ref().map(|key| key.at),
        written.nodes.as_ref().map(|key| key.at),
        written.replicas_min.as_ref().map(|key| key.at),
    ];
    for at in keys.into_iter().flatten() {
        problems.wrong(at, "of the redis engine, and the engine is embedded", "write `engine: redis`, or leave it out");
    }
}

fn sentinels(written: Option<&At<Vec<At<SecretText>>>>, master: &Address, problems: &mut Problems<'_>) -> Vec<Secret> {
    let Some(At { value: list, at }) = written else { return Vec::new() };
    if list.is_empty() || master.host().is_empty() {
        problems.wrong(
            *at,
            "no sentinel, or no master",
            "write their URLs, and the master's name as the host of `store.url`",
        );
    }
    servers(list, ("a sentinel is asked over TCP", "write it like redis://sentinel:26379"), problems)
}

/// Whether it is a cluster, and one that the engine can use.
fn cluster(written: &written::Store, address: &Address, problems: &mut Problems<'_>) -> bool {
    let Some(At { value: true, at }) = written.cluster else { return false };
    if written.sentinels.is_some() {
        problems.wrong(at, "a cluster and sentinels", "a cluster finds its masters itself: leave one of the two out");
    }
    if address.host().is_empty() {
        problems.wrong(at, "a cluster is reached over TCP", "write `url` like redis://node:6379");
    }
    if address.database() != 0 {
        problems.wrong(at, "a cluster has no database but 0", "leave the number at the end of `url` out");
    }
    if written.shards.as_ref().is_none_or(|shards| shards.value < 2) {
        problems.warn(
            at,
            "everything is in one shard, and that is on one node",
            "write `shards`, some for each node: 16 for three",
        );
    }
    true
}

fn nodes(written: &written::Store, problems: &mut Problems<'_>) -> Vec<Secret> {
    let Some(At { value: list, at }) = &written.nodes else { return Vec::new() };
    if !written.cluster.as_ref().is_some_and(|cluster| cluster.value) {
        problems.wrong(*at, "nodes, and no cluster", "write `cluster: true`, or leave `nodes` out");
    }
    servers(list, ("a node is reached over TCP", "write it like redis://node-2:6379"), problems)
}

/// Servers that are asked over TCP; `told` where one has no host, and how to write it.
fn servers(list: &[At<SecretText>], told: (&str, &str), problems: &mut Problems<'_>) -> Vec<Secret> {
    let (no_host, hint) = told;
    let mut servers = Vec::with_capacity(list.len());
    for At { value, at } in list {
        match Address::parse(value.0.trim()) {
            Ok(address) if !address.host().is_empty() => servers.push(Secret::new(value.0.trim())),
            Ok(_) => problems.wrong(*at, no_host, hint),
            Err(error) => problems.wrong(*at, error.to_string(), hint),
        }
    }
    servers
}

fn certificates(tls: &At<StoreTls>, problems: &mut Problems<'_>) -> Tls {
    let At { value: tls, at } = tls;
    let secret = |pem: &At<Pem>| Secret::new(pem.value.0.as_bytes());
    match (&tls.cert, &tls.key) {
        (Some(_), None) => {
            problems.wrong_key(*at, "key", "a cert without its key", "write the path of its private key");
        }
        (None, Some(_)) => {
            problems.wrong_key(*at, "cert", "a key without its cert", "write the path of the certificate");
        }
        _ => {}
    }
    let identity = tls.cert.as_ref().zip(tls.key.as_ref()).map(|(cert, key)| (secret(cert), secret(key)));
    let checked = Tls { ca: tls.ca.as_ref().map(secret), identity };
    if let Err(reason) = checked.check() {
        problems.wrong(*at, reason, "certificates and keys in PEM; the key is the certificate's, unencrypted");
    }
    checked
}

fn key_prefix(written: Option<&At<String>>, problems: &mut Problems<'_>) -> Box<str> {
    let default = "hookward".into();
    let Some(At { value, at }) = written else { return default };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    if value.is_empty() || value.len() > PREFIX_BYTES_MAX || !value.bytes().all(fits) {
        problems.wrong(*at, "not a prefix of keys", "letters, digits, `-`, `_`, `.`, `:` and `/`, at most 64");
        return default;
    }
    value.as_str().into()
}

fn shards(written: Option<&At<u8>>, problems: &mut Problems<'_>) -> u8 {
    let Some(At { value, at }) = written else { return 1 };
    if !(1..=Config::SHARDS_MAX).contains(value) {
        problems.wrong(*at, "out of bounds", format!("write 1 to {}", Config::SHARDS_MAX));
        return 1;
    }
    *value
}
