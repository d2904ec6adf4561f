//! Three sentinels, a master and two replicas: the gateway follows a failover (RELIABILITY.md F23).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::fleet::{DRAIN_MAX, Fleet};
use super::recovery::{rounds, show};
use crate::support::{
    DURABLE, Gateway, PATIENCE, RedisServer, Sender, Sink, appmint_to, event, eventually, eventually_within,
};

/// Events before a failover of the long run.
const EVENTS: usize = 400;

/// A replica that has all of its master.
async fn replica_of(master: SocketAddr) -> RedisServer {
    let port = master.port().to_string();
    let replica = RedisServer::start_with(&[DURABLE, &["--replicaof", "127.0.0.1", &port]].concat());
    eventually("a replica that keeps up", async || {
        replica.ask("INFO replication").contains("master_link_status:up").then_some(())
    })
    .await;
    replica
}

/// Sentinels that know the master, its replicas and each other.
async fn sentinels_of(master: SocketAddr, replicas: usize) -> Vec<RedisServer> {
    let sentinels: Vec<_> = (0..3).map(|_| RedisServer::start_sentinel("mymaster", master)).collect();
    for sentinel in &sentinels {
        eventually("sentinels that know each other", async || {
            let known = sentinel.ask("SENTINEL MASTER mymaster").replace("\r\n", " ");
            let has = |name: &str, count: usize| known.contains(&format!("{name} $1 {count} "));
            (has("num-slaves", replicas) && has("num-other-sentinels", 2)).then_some(())
        })
        .await;
    }
    sentinels
}

/// The `store` section of gateways that ask these.
fn store_of(sentinels: &[RedisServer], replicas_min: usize) -> String {
    let urls = sentinels.iter().map(|sentinel| format!("\"redis://{}\"", sentinel.address())).collect::<Vec<_>>();
    format!(
        "store: {{ engine: redis, url: \"redis://mymaster/0\", sentinels: [{}], replicas_min: {replicas_min}, \
         path: \"@STORE@\" }}\n",
        urls.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures for docs/redis.md: run by tests/redis, which says how often"]
async fn long_run_of_failovers() {
    for replicas_min in [0, 1] {
        let (mut elected, mut followed, mut acknowledged, mut lost) = (Vec::new(), Vec::new(), 0, 0);
        for _ in 0..rounds() {
            let mut master = RedisServer::start();
            let _replicas = [replica_of(master.address()).await, replica_of(master.address()).await];
            let sentinels = sentinels_of(master.address(), 2).await;
            let fleet = Fleet::at((), &store_of(&sentinels, replicas_min)).await;
            let storm = fleet.storm();
            eventually_within(DRAIN_MAX, "events", async || (storm.acknowledged() >= EVENTS).then_some(())).await;
            let old = master.address().port().to_string();
            let begun = Instant::now();
            master.kill();
            eventually_within(DRAIN_MAX, "a new master", async || {
                let named = sentinels[0].ask("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster");
                (!named.contains(&old)).then_some(())
            })
            .await;
            elected.push(begun.elapsed());
            let begun = Instant::now();
            let ready = async || fleet.gateways[0].get("/readyz").await.status;
            eventually_within(DRAIN_MAX, "readyz", async || (ready().await == 200).then_some(())).await;
            followed.push(begun.elapsed());
            let goal = storm.acknowledged() + EVENTS;
            eventually_within(DRAIN_MAX, "more events", async || (storm.acknowledged() >= goal).then_some(())).await;
            let log = storm.stop().await;
            let outcome = fleet.judge(&log, &[]).await;
            acknowledged += outcome.acknowledged;
            lost += outcome.lost.len();
            assert!(replicas_min == 0 || outcome.lost.is_empty(), "{outcome}");
        }
        println!("sentinel, replicas_min: {replicas_min}: {acknowledged} acknowledged, {lost} deliveries lost");
        show("  from the kill to the new master", &mut elected);
        show("  from the new master to a gateway that is ready", &mut followed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_loses_nothing_where_a_replica_must_have_it() {
    let mut master = RedisServer::start();
    let _replicas = [replica_of(master.address()).await, replica_of(master.address()).await];
    let sentinels = sentinels_of(master.address(), 2).await;
    let sink = Sink::start().await;
    let store = store_of(&sentinels, 1);
    let gateway = Gateway::start(&(store + &appmint_to(&[("crm", &sink)]))).await;
    let mut acknowledged = Vec::new();
    for number in 0..100 {
        let id = format!("evt_{number}");
        if number == 50 {
            master.kill();
        }
        eventually("an acknowledgement", async || {
            let reply = Sender::new(&gateway).send(&event(&id, "payment.succeeded")).await;
            assert!(matches!(reply.status, 200 | 503), "{reply:?}");
            (reply.status == 200).then_some(())
        })
        .await;
        acknowledged.push(id);
    }
    gateway.drained(PATIENCE).await;
    let taken: HashSet<_> = sink.hits().iter().map(|hit| hit.header("hookward-source-event-id").to_owned()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !taken.contains(*id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_replicas_that_must_have_it_nothing_is_acknowledged() {
    let master = RedisServer::start();
    let sink = Sink::start().await;
    let gateway = Gateway::start(&(master.store(", replicas_min: 1") + &appmint_to(&[("crm", &sink)]))).await;
    let body = event("evt_1", "payment.succeeded");
    assert_eq!(Sender::new(&gateway).send(&body).await.status, 503);
    let replica = replica_of(master.address()).await;
    let reply = Sender::new(&gateway).send(&body).await;
    assert_eq!((reply.status, reply.is_duplicate()), (200, true), "it was kept after all, and now there are two of it");
    drop(replica);
}
