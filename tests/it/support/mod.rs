//! What tests need to run a real gateway and look at it from outside.
//!
//! A [`Gateway`] is a `hookward serve` child process on free ports in a folder of its own. A [`Sender`] signs
//! events and sends them over a kept-alive connection; a [`Sink`] is a destination that notes what reached it and
//! answers as the test tells it. Nothing here knows anything of the gateway but its public contract.
//!
//! ```ignore
//! let sink = Sink::start().await;
//! let gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
//! let reply = Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await;
//! assert_eq!(reply.status, 200);
//! assert_eq!(sink.wait_for(1).await[0].body, event("evt_1", "payment.succeeded"));
//! ```
#![allow(dead_code, unused_imports, reason = "what one test module does not need, another does")]

mod cgroup;
mod client;
mod disk;
mod gateway;
mod metrics;
mod names;
mod port;
mod redis;
mod redis_cluster;
mod sender;
mod sink;
mod strace;
mod wait;

pub(crate) use cgroup::Cgroup;
pub(crate) use client::{Client, Reply, raw};
pub(crate) use disk::Disk;
pub(crate) use gateway::{Gateway, hookward};
pub(crate) use metrics::Metrics;
pub(crate) use names::{NAME, Names, Zone};
pub(crate) use port::Port;
pub(crate) use redis::{Brand, DURABLE, RedisServer};
pub(crate) use redis_cluster::RedisCluster;
pub(crate) use sender::{SECRET, Sender, event, event_filled_to, event_of_bytes, sha256, sign};
pub(crate) use sink::{Answer, Held, Hit, Sink};
pub(crate) use strace::Strace;
pub(crate) use wait::{PATIENCE, eventually, eventually_within, join_all};

/// A configuration with the source `appmint` at `/in`, without allowlist or rate limit, whose events all go to
/// these destinations; each retries quickly (50 ms, ten times) and has a breaker that opens for 200 ms only.
pub(crate) fn appmint_to(destinations: &[(&str, &Sink)]) -> String {
    let names = destinations.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let lanes = destinations
        .iter()
        .map(|(name, sink)| {
            format!(
                "  {name}:\n    url: \"{}\"\n    retry: {{ schedule: [50ms, 50ms, 50ms, 50ms, 50ms, 50ms, 50ms, 50ms, 50ms, 50ms] }}\n    \
                 breaker: {{ failures: 1000, window: 30s, open: 200ms }}\n",
                sink.url("/hook")
            )
        })
        .collect::<String>();
    format!(
        "sources:\n  appmint:\n    path: /in\n    verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }}\n\
         routes:\n  - {{ from: appmint, to: [{names}] }}\ndestinations:\n{lanes}"
    )
}
