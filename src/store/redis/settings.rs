//! Whether the server keeps what it acknowledges: its settings, looked at before a connection is used.

use redis::{Cmd, FromRedisValue, RedisError, Value};

use super::config::Durability;
use super::connection::{Connection, pipeline};

/// What a server says of itself, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Its master, where it is a replica.
    pub(super) replica_of: Option<String>,
    /// Reads its data and answers nothing yet.
    pub(super) is_loading: bool,
    /// Whether it keeps an append-only file.
    pub(super) append_only: bool,
    /// When it syncs that; `None`: it does not tell.
    pub(super) append_sync: Option<String>,
    /// What it does when its memory is full.
    pub(super) eviction: String,
    /// Bytes at which its memory is full; 0: no bound.
    pub(super) memory_max: u64,
    /// Bytes in use.
    pub(super) memory: u64,
    /// Whether it can say what replicas have on their disks (WAITAOF: Redis 7.2, Valkey).
    pub(super) tells_disks: bool,
}

// === impl Settings ===

impl Settings {
    /// Asks the server.
    pub(super) async fn read(connection: &mut Connection) -> Result<Self, RedisError> {
        let info = |section: &str| command("INFO", &[section]);
        let config = |name: &str| command("CONFIG", &["GET", name]);
        // Waits for nobody: only whether it can be asked.
        let waits = command("WAITAOF", &["0", "0", "0"]);
        let asked = [info("replication"), info("persistence"), info("memory"), config("appendfsync"), waits];
        let mut replies = connection.all(&pipeline(asked)).await?.into_iter();
        let mut settings = Self::default();
        for reply in replies.by_ref().take(3) {
            settings.note(&String::from_redis_value(reply?).map_err(RedisError::from)?);
        }
        // Where CONFIG is forbidden or renamed the server does not tell.
        if let Some(Ok(value)) = replies.next() {
            let pair = Vec::<String>::from_redis_value(value).unwrap_or_default();
            settings.append_sync = pair.into_iter().nth(1);
        }
        settings.tells_disks = replies.next().is_some_and(|reply| reply.is_ok());
        Ok(settings)
    }

    /// Takes what matters out of a section of INFO.
    pub(super) fn note(&mut self, section: &str) {
        let mut is_replica = false;
        let mut master = (String::new(), String::new());
        for (name, value) in section.lines().filter_map(|line| line.trim_end().split_once(':')) {
            match name {
                "role" => is_replica = value == "slave",
                "master_host" => master.0 = value.to_owned(),
                "master_port" => master.1 = value.to_owned(),
                "loading" => self.is_loading = value == "1",
                "aof_enabled" => self.append_only = value == "1",
                "maxmemory_policy" => self.eviction = value.to_owned(),
                "maxmemory" => self.memory_max = value.parse().unwrap_or(0),
                "used_memory" => self.memory = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        if is_replica {
            self.replica_of = Some(format!("{}:{}", master.0, master.1));
        }
    }

    /// Why nothing can be kept here now; each sentence says how to mend it.
    pub(super) fn refusal(&self, wanted: Durability, assume_durable: bool) -> Option<String> {
        if self.is_loading {
            return Some("redis is still loading its data".into());
        }
        if let Some(master) = &self.replica_of {
            return Some(format!(
                "this redis is a replica of {master} and takes no writes: name its master in store.url"
            ));
        }
        if self.evicts() && self.memory_max > 0 {
            return Some(format!(
                "redis may throw events away when its memory is full (maxmemory-policy {}): set maxmemory-policy noeviction",
                self.eviction
            ));
        }
        if wanted == Durability::Relaxed {
            return None;
        }
        let weaknesses = self.weaknesses(assume_durable);
        (!weaknesses.is_empty())
            .then(|| format!("{}; or accept the loss with `store.durability: relaxed`", weaknesses.join("; ")))
    }

    /// What an acknowledged event does not survive here, a sentence each.
    pub(super) fn weaknesses(&self, assume_durable: bool) -> Vec<String> {
        let mut found = Vec::new();
        if !self.append_only {
            found.push(
                "redis keeps no append-only file, so that a crash loses events: set appendonly yes and appendfsync always"
                    .to_owned(),
            );
        } else {
            match self.append_sync.as_deref() {
                Some("always") => {}
                Some(other) => found.push(format!(
                    "redis acknowledges before its append-only file is synced (appendfsync {other}): set appendfsync always"
                )),
                None if assume_durable => {}
                None => found.push(
                    "redis does not tell its appendfsync (CONFIG is forbidden for this user): allow CONFIG GET, or state \
                     with `store.assume_durable: true` that it is always"
                        .to_owned(),
                ),
            }
        }
        if self.evicts() {
            found.push(format!(
                "redis would throw events away as soon as it had a maxmemory (maxmemory-policy {}): set maxmemory-policy \
                 noeviction",
                self.eviction
            ));
        }
        found
    }

    fn evicts(&self) -> bool {
        !self.eviction.is_empty() && self.eviction != "noeviction"
    }
}

/// A command with its arguments.
pub(super) fn command(name: &str, arguments: &[&str]) -> Cmd {
    let mut command = redis::cmd(name);
    for argument in arguments {
        command.arg(argument);
    }
    command
}

/// Used memory and its bound, as `INFO memory` says.
pub(super) fn memory(info: Value) -> Option<(u64, u64)> {
    let mut settings = Settings::default();
    settings.note(&String::from_redis_value(info).ok()?);
    Some((settings.memory, settings.memory_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict() -> Settings {
        Settings {
            append_only: true,
            append_sync: Some("always".into()),
            eviction: "noeviction".into(),
            ..Settings::default()
        }
    }

    #[test]
    fn each_weakness_is_refused_with_its_remedy() {
        assert_eq!(strict().refusal(Durability::Strict, false), None);
        let cases: [(&str, Settings); 6] = [
            ("appendonly yes", Settings { append_only: false, ..strict() }),
            ("set appendfsync always", Settings { append_sync: Some("everysec".into()), ..strict() }),
            ("store.assume_durable", Settings { append_sync: None, ..strict() }),
            ("noeviction", Settings { eviction: "allkeys-lru".into(), ..strict() }),
            ("replica of 10.0.0.1:6379", Settings { replica_of: Some("10.0.0.1:6379".into()), ..strict() }),
            ("loading", Settings { is_loading: true, ..strict() }),
        ];
        for (remedy, settings) in &cases {
            let said = settings.refusal(Durability::Strict, false).unwrap();
            assert!(said.contains(remedy), "{said}");
        }
        for (_, settings) in &cases[..4] {
            assert_eq!(settings.refusal(Durability::Relaxed, false), None);
        }
        assert_eq!(cases[2].1.refusal(Durability::Strict, true), None);
        let evicting = Settings { memory_max: 1, ..cases[3].1.clone() };
        assert!(evicting.refusal(Durability::Relaxed, false).is_some(), "what is open is never forgotten");
    }

    #[test]
    fn info_is_read_as_servers_write_it() {
        let mut settings = Settings::default();
        settings.note("# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n");
        settings.note("# Persistence\r\nloading:1\r\naof_enabled:1\r\n");
        settings.note("# Memory\r\nused_memory:1024\r\nmaxmemory:2048\r\nmaxmemory_policy:noeviction\r\n");
        let expected = Settings {
            replica_of: Some("10.0.0.1:6379".into()),
            is_loading: true,
            append_only: true,
            append_sync: None,
            eviction: "noeviction".into(),
            memory_max: 2048,
            memory: 1024,
            tells_disks: false,
        };
        assert_eq!(settings, expected);
    }
}
