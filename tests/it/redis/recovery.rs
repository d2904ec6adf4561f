//! How soon all is well again, and what a failover loses: by what happens, and as figures for docs/redis.md.

use std::time::{Duration, Instant};

use super::fleet::{DRAIN_MAX, Fleet};
use super::relay::Relay;
use crate::support::{
    Gateway, RedisCluster, RedisServer, Sender, Sink, appmint_to, event, eventually, eventually_within,
};

/// The slot of `{hookward:0}`.
const SLOT: usize = 1929;

/// Events between two faults.
const EVENTS: usize = 400;

/// A gateway tries again every 200 ms, and a try takes a second at the most: so what has to be shown is that the first
/// try after the server's return is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_connection_after_the_return_is_enough() {
    let mut redis = RedisServer::start();
    let sink = Sink::start().await;
    let relay = Relay::start(redis.address(), b"nothing is lost").await;
    let store = format!("store: {{ engine: redis, url: \"{}\", path: \"@STORE@\" }}\n", relay.url());
    let gateway = Gateway::start(&(store + &appmint_to(&[("crm", &sink)]))).await;
    for round in 0..3 {
        redis.kill();
        eventually("its loss is noticed", async || (gateway.get("/readyz").await.status == 503).then_some(())).await;
        redis.run();
        let before = relay.connected();
        let mut number = 0;
        eventually("an acknowledgement", async || {
            number += 1;
            let body = event(&format!("evt_{round}_{number}"), "payment.succeeded");
            (Sender::new(&gateway).send(&body).await.status == 200).then_some(())
        })
        .await;
        // None, where one that had begun before met the server's first answers.
        let tries = relay.connected() - before;
        assert!(tries <= 1, "{tries} connections");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures for docs/redis.md: run by tests/redis, which says how often"]
async fn long_run_of_recoveries() {
    let mut redis = RedisServer::start();
    let sink = Sink::start().await;
    let gateway = Gateway::start(&(redis.store("") + &appmint_to(&[("crm", &sink)]))).await;
    let ready = async |status: u16| {
        eventually("readyz", async || (gateway.get("/readyz").await.status == status).then_some(())).await;
    };
    let (mut killed, mut paused) = (Vec::new(), Vec::new());
    for round in 0..rounds() {
        redis.kill();
        ready(503).await;
        redis.run();
        killed.push(until_acknowledged(&gateway, &format!("killed_{round}")).await);
        redis.freeze();
        ready(503).await;
        redis.thaw();
        paused.push(until_acknowledged(&gateway, &format!("paused_{round}")).await);
    }
    show("killed: from the server's first answer to the first 2xx", &mut killed);
    show("paused: from its going on to the first 2xx", &mut paused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures for docs/redis.md: run by tests/redis, which says how often"]
async fn long_run_of_failovers() {
    for replicas_min in [0, 1] {
        let cluster = RedisCluster::start(3, 1).await;
        let store = cluster.store(&format!(", shards: 6, replicas_min: {replicas_min}"));
        let mut fleet = Fleet::at(cluster, &store).await;
        let storm = fleet.storm();
        let (mut elected, mut followed) = (Vec::new(), Vec::new());
        for _ in 0..rounds() {
            let goal = storm.acknowledged() + EVENTS;
            eventually_within(DRAIN_MAX, "more events", async || (storm.acknowledged() >= goal).then_some(())).await;
            let victim = fleet.redis.master_of(SLOT);
            let begun = Instant::now();
            fleet.redis.nodes[victim].kill();
            fleet.redis.master_of(SLOT);
            elected.push(begun.elapsed());
            let begun = Instant::now();
            let ready = async || fleet.gateways[0].get("/readyz").await.status;
            eventually_within(DRAIN_MAX, "readyz", async || (ready().await == 200).then_some(())).await;
            followed.push(begun.elapsed());
            fleet.redis.nodes[victim].run();
            fleet.redis.is_whole().await;
        }
        let log = storm.stop().await;
        let outcome = fleet.judge(&log, &[]).await;
        println!("replicas_min: {replicas_min}: {outcome}");
        show("  from the kill to the new master", &mut elected);
        show("  from the new master to a gateway that is ready", &mut followed);
        assert!(replicas_min == 0 || outcome.lost.is_empty(), "{outcome}");
    }
}

pub(super) fn rounds() -> usize {
    std::env::var("REDIS_KILLS").expect("REDIS_KILLS is set by tests/redis").parse().unwrap()
}

async fn until_acknowledged(gateway: &Gateway, name: &str) -> Duration {
    let begun = Instant::now();
    let mut number = 0;
    eventually("an acknowledgement", async || {
        number += 1;
        let body = event(&format!("evt_{name}_{number}"), "payment.succeeded");
        (Sender::new(gateway).send(&body).await.status == 200).then_some(())
    })
    .await;
    begun.elapsed()
}

pub(super) fn show(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: median {} ms, longest {} ms, of {}", median.as_millis(), longest.as_millis(), times.len());
}
