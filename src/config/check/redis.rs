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
        replicas_min: written.replicas_min.as_ref().map_or(0, |min| min.value),
        tls: tls.map(|tls| certificates(tls, problems)).unwrap_or_default(),
        key_prefix: key_prefix(written.key_prefix.as_ref(), problems),
        shards: shards(written.shards.as_ref(), problems),
        assume_durable: written.assume_durable.as_ref().is_some_and(|assumed| assumed.value),
    })
}

/// Keys that mean nothing to the embedded engine.
pub(super) fn only_redis(written: &written::Store, problems: &mut Problems<'_>) {
    let keys: [Option<NodeId>; 7] = [
        written.url.as_ref().map(|key| key.at),
        written.key_prefix.as_ref().map(|key| key.at),
        written.shards.as_ref().map(|key| key.at),
        written.tls.as_ref().map(|key| key.at),
        written.assume_durable.as_ref().map(|key| key.at),
        written.sentinels.as_ref().map(|key| key.at),
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
    let mut sentinels = Vec::with_capacity(list.len());
    for At { value, at } in list {
        match Address::parse(value.0.trim()) {
            Ok(address) if !address.host().is_empty() => sentinels.push(Secret::new(value.0.trim())),
            Ok(_) => problems.wrong(*at, "a sentinel is asked over TCP", "write it like redis://sentinel:26379"),
            Err(error) => problems.wrong(*at, error.to_string(), "write it like redis://sentinel:26379"),
        }
    }
    sentinels
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
