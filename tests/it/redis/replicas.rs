//! Several gateways, one truth: nothing lost, nothing doubled, whichever of them dies.
//!
//! `tests/redis --kills 50` is the long run.

use std::time::Instant;

use super::fleet::Fleet;
use crate::support::{RedisServer, eventually_within};

/// Events of the run without crashes.
const EVENTS: usize = 3_000;

/// Crashes in CI.
const KILLS: usize = 5;

/// Events between two crashes.
const EVENTS_BETWEEN: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_deliver_each_event_once() {
    let fleet = Fleet::start(RedisServer::start(), "").await;
    let storm = fleet.storm();
    eventually_within(super::fleet::DRAIN_MAX, "enough events", async || {
        (storm.acknowledged() >= EVENTS).then_some(())
    })
    .await;
    let log = storm.stop().await;
    let outcome = fleet.judge(&log, &[]).await;
    println!("{outcome}");
    assert!(outcome.is_clean() && outcome.copies > 100, "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_are_killed_lose_nothing() {
    kill_gateways(KILLS, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by tests/redis, which says how often"]
async fn long_run_of_killed_gateways() {
    let kills = std::env::var("REDIS_KILLS").expect("REDIS_KILLS is set by tests/redis").parse().unwrap();
    kill_gateways(kills, 4).await;
}

async fn kill_gateways(kills: usize, shards: usize) {
    let mut fleet = Fleet::start(RedisServer::start(), &format!(", shards: {shards}")).await;
    let storm = fleet.storm();
    let mut crashes = Vec::new();
    for _ in 0..kills {
        let goal = storm.acknowledged() + EVENTS_BETWEEN;
        eventually_within(super::fleet::DRAIN_MAX, "more events", async || {
            (storm.acknowledged() >= goal).then_some(())
        })
        .await;
        let victim = fastrand::usize(..fleet.gateways.len());
        fleet.gateways[victim].kill();
        crashes.push(Instant::now());
        fleet.gateways[victim].run().await;
    }
    let log = storm.stop().await;
    let outcome = fleet.judge(&log, &crashes).await;
    println!("{kills} kills of a gateway: {outcome}");
    assert!(outcome.is_clean(), "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_paused_and_restarted_under_load_loses_nothing() {
    torment_server(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by tests/redis, which says how often"]
async fn long_run_of_a_tormented_server() {
    let rounds = std::env::var("REDIS_KILLS").expect("REDIS_KILLS is set by tests/redis").parse().unwrap();
    torment_server(rounds).await;
}

async fn torment_server(rounds: usize) {
    let mut fleet = Fleet::start(RedisServer::start(), "").await;
    let storm = fleet.storm();
    let mut faults = Vec::new();
    for round in 0..rounds {
        let goal = storm.acknowledged() + EVENTS_BETWEEN;
        eventually_within(super::fleet::DRAIN_MAX, "more events", async || {
            (storm.acknowledged() >= goal).then_some(())
        })
        .await;
        match round % 2 {
            0 => {
                fleet.redis.kill();
                faults.push(Instant::now());
                fleet.redis.run();
            }
            _ => {
                fleet.redis.freeze();
                let ready = async || fleet.gateways[0].get("/readyz").await;
                eventually_within(super::fleet::DRAIN_MAX, "its absence is noticed", async || {
                    (ready().await.status == 503).then_some(())
                })
                .await;
                faults.push(Instant::now());
                fleet.redis.thaw();
            }
        }
    }
    let log = storm.stop().await;
    let outcome = fleet.judge(&log, &faults).await;
    println!("{rounds} faults of the server: {outcome}");
    assert!(outcome.lost.is_empty() && outcome.false_copies.is_empty(), "{outcome}");
}
