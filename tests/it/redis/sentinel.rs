//! Three sentinels, a master and two replicas: the gateway follows a failover (RELIABILITY.md F23).

use std::collections::HashSet;
use std::net::SocketAddr;

use crate::support::{DURABLE, Gateway, PATIENCE, RedisServer, Sender, Sink, appmint_to, event, eventually};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_loses_nothing_where_a_replica_must_have_it() {
    let mut master = RedisServer::start();
    let _replicas = [replica_of(master.address()).await, replica_of(master.address()).await];
    let sentinels = sentinels_of(master.address(), 2).await;
    let sink = Sink::start().await;
    let urls = sentinels.iter().map(|sentinel| format!("\"redis://{}\"", sentinel.address())).collect::<Vec<_>>();
    let store = format!(
        "store: {{ engine: redis, url: \"redis://mymaster/0\", sentinels: [{}], replicas_min: 1, path: \"@STORE@\" }}\n",
        urls.join(", ")
    );
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
