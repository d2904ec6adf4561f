//! `replicas_min` at a server that can tell what its replicas have on their disks (WAITAOF): only that counts.

use crate::support::{Brand, Gateway, RedisServer, Sender, Sink, appmint_to, event, eventually};

/// A replica that has all of its master, and keeps it in memory only.
async fn forgetful_replica_of(master: &RedisServer) -> RedisServer {
    let port = master.address().port().to_string();
    let replica = RedisServer::start_of(Brand::Valkey, &["--appendonly", "no", "--replicaof", "127.0.0.1", &port]);
    eventually("a replica that keeps up", async || {
        replica.ask("INFO replication").contains("master_link_status:up").then_some(())
    })
    .await;
    replica
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_has_only_in_memory_is_not_acknowledged() {
    let master = RedisServer::start_of(Brand::Valkey, &[]);
    let replica = forgetful_replica_of(&master).await;
    let sink = Sink::start().await;
    let gateway = Gateway::start(&(master.store(", replicas_min: 1") + &appmint_to(&[("crm", &sink)]))).await;
    let body = event("evt_1", "payment.succeeded");
    assert!(master.ask("WAIT 1 1000").starts_with(":1"), "it has confirmed, and that would have been enough for WAIT");
    assert_eq!(Sender::new(&gateway).send(&body).await.status, 503);
    assert!(replica.ask("CONFIG SET appendonly yes").starts_with("+OK"));
    let reply = eventually("a replica that has it on its disk", async || {
        let reply = Sender::new(&gateway).send(&body).await;
        (reply.status == 200).then_some(reply)
    })
    .await;
    assert!(reply.is_duplicate(), "it was kept after all, and now there are two of it");
    assert_eq!(Sender::new(&gateway).send(&event("evt_2", "payment.succeeded")).await.status, 200);
    sink.wait_for(2).await;
}

/// A replica that syncs once a second is waited for; its master need not sync itself a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_syncs_every_second_is_waited_for() {
    let master = RedisServer::start_of(Brand::Valkey, &[]);
    let replica = forgetful_replica_of(&master).await;
    assert!(replica.ask("CONFIG SET appendfsync everysec").starts_with("+OK"));
    assert!(replica.ask("CONFIG SET appendonly yes").starts_with("+OK"));
    eventually("an append-only file", async || {
        let info = replica.ask("INFO persistence");
        (info.contains("aof_enabled:1") && info.contains("aof_rewrite_in_progress:0")).then_some(())
    })
    .await;
    let sink = Sink::start().await;
    let gateway = Gateway::start(&(master.store(", replicas_min: 1") + &appmint_to(&[("crm", &sink)]))).await;
    assert_eq!(Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await.status, 200);
    sink.wait_for(1).await;
}
