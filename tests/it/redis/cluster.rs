//! Gateways at a cluster: a master dies, another takes over, a slot moves. Nothing acknowledged is lost.

use super::fleet::{DRAIN_MAX, Fleet};
use crate::support::{
    Gateway, PATIENCE, Port, RedisCluster, RedisServer, Sender, Sink, appmint_to, event, eventually, eventually_within,
};

/// The slot of `{hookward:0}`, which is the first master's of three.
const SLOT: usize = 1929;

/// Events between two faults.
const EVENTS: usize = 400;

/// A gateway whose store cannot be used: what it says.
async fn refused(config: &str) -> String {
    let mut gateway = Gateway::prepare(config);
    gateway.spawn();
    assert!(!gateway.ended().await.success());
    gateway.log()
}

/// Sends until it is acknowledged.
async fn sent(gateway: &Gateway, id: &str) {
    eventually("an acknowledgement", async || {
        let reply = Sender::new(gateway).send(&event(id, "payment.succeeded")).await;
        assert!(matches!(reply.status, 200 | 503), "{reply:?}");
        (reply.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_is_followed_and_loses_nothing_where_a_replica_must_have_it() {
    let cluster = RedisCluster::start(3, 1).await;
    let store = cluster.store(", shards: 6, replicas_min: 1");
    let mut fleet = Fleet::at(cluster, &store).await;
    let storm = fleet.storm();
    let more = async || {
        let goal = storm.acknowledged() + EVENTS;
        eventually_within(DRAIN_MAX, "more events", async || (storm.acknowledged() >= goal).then_some(())).await;
    };
    more().await;
    let victim = fleet.redis.master_of(SLOT);
    fleet.redis.nodes[victim].kill();
    let heir = fleet.redis.master_of(SLOT);
    assert_ne!(heir, victim);
    // The new master has no replica yet: what goes there is acknowledged when the old one has come back as one.
    fleet.redis.nodes[victim].run();
    fleet.redis.is_whole().await;
    more().await;
    let log = storm.stop().await;
    let outcome = fleet.judge(&log, &[]).await;
    println!("a master killed, with replicas_min: 1: {outcome}");
    assert!(outcome.lost.is_empty() && outcome.false_copies.is_empty(), "{outcome}");
}

/// The harness sees what is lost; and nothing of it was acknowledged where a replica must have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_replica_had_is_lost_with_its_master_and_acknowledged_only_without_replicas_min() {
    for (replicas_min, status) in [(0, 200), (1, 503)] {
        let mut cluster = RedisCluster::start(3, 1).await;
        let sink = Sink::start().await;
        let settings = format!(", shards: 1, replicas_min: {replicas_min}");
        let gateway = Gateway::start(&(cluster.store(&settings) + &appmint_to(&[("crm", &sink)]))).await;
        assert_eq!(Sender::new(&gateway).send(&event("evt_before", "payment.succeeded")).await.status, 200);
        gateway.drained(PATIENCE).await;
        let (master, replica) = (0, 3);
        assert_eq!(cluster.master_of(SLOT), master);
        // Away, not frozen: what a frozen one has not read yet waits for it in its socket.
        cluster.nodes[replica].kill();
        let reply = Sender::new(&gateway).send(&event("evt_lost", "payment.succeeded")).await;
        assert_eq!(reply.status, status);
        cluster.nodes[master].kill();
        cluster.nodes[replica].run();
        assert_eq!(cluster.master_of(SLOT), replica);
        cluster.nodes[master].run();
        cluster.is_whole().await;
        sent(&gateway, "evt_after").await;
        let kept = async |id: &str| gateway.list(&format!("/v1/events?source_event_id={id}")).await.len();
        assert_eq!((kept("evt_before").await, kept("evt_lost").await, kept("evt_after").await), (1, 0, 1));
    }
}

/// A master hands over to its replica: `MOVED`, which nobody outside notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hands_over_is_followed_without_a_refusal() {
    let cluster = RedisCluster::start(3, 1).await;
    let sink = Sink::start().await;
    let config = cluster.store(", shards: 3") + &appmint_to(&[("crm", &sink)]);
    let gateway = Gateway::start(&config).await;
    let mut sender = Sender::new(&gateway);
    let mut number = 0;
    let mut send = async || {
        let reply = sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        number += 1;
    };
    send().await;
    assert_eq!(cluster.nodes[3].ask("CLUSTER FAILOVER"), "+OK\r\n");
    eventually("a new master", async || {
        send().await;
        cluster.nodes[3].ask("INFO replication").contains("role:master").then_some(())
    })
    .await;
    for _ in 0..20 {
        send().await;
    }
    assert_eq!(cluster.master_of(SLOT), 3);
    gateway.drained(PATIENCE).await;
    assert_eq!(sink.count(), number);
    assert!(gateway.log().contains("a shard has moved"), "{}", gateway.log());
}

/// While a slot is on its way, scripts would not find half of its keys: nothing is taken, nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_is_waited_for_and_everything_in_it_is_still_there() {
    let cluster = RedisCluster::start(3, 0).await;
    let mut sink = Sink::start().await;
    let gateway = Gateway::start(&(cluster.store(", shards: 1") + &appmint_to(&[("crm", &sink)]))).await;
    sink.down().await;
    for number in 0..30 {
        sent(&gateway, &format!("evt_{number}")).await;
    }
    cluster.begin_to_move(SLOT, 0, 1);
    eventually("a shard that waits", async || {
        let ready = gateway.get("/readyz").await;
        (ready.status == 503 && ready.json()["reasons"].to_string().contains("is being moved")).then_some(())
    })
    .await;
    assert_eq!(Sender::new(&gateway).send(&event("evt_meanwhile", "payment.succeeded")).await.status, 503);
    cluster.move_keys(SLOT, 0, 1);
    sink.up().await;
    sent(&gateway, "evt_meanwhile").await;
    let copy = Sender::new(&gateway).send(&event("evt_0", "payment.succeeded")).await;
    assert_eq!((copy.status, copy.is_duplicate()), (200, true), "its mark has moved with it");
    gateway.drained(PATIENCE).await;
    assert_eq!(sink.count(), 31);
}

/// There and back under load: the other shards go on meanwhile, and nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_under_load_loses_and_doubles_nothing() {
    let cluster = RedisCluster::start(3, 0).await;
    let store = cluster.store(", shards: 6");
    let fleet = Fleet::at(cluster, &store).await;
    let storm = fleet.storm();
    let more = async || {
        let goal = storm.acknowledged() + EVENTS;
        eventually_within(DRAIN_MAX, "more events", async || (storm.acknowledged() >= goal).then_some(())).await;
    };
    more().await;
    for (from, to) in [(0, 1), (1, 0)] {
        fleet.redis.begin_to_move(SLOT, from, to);
        fleet.redis.move_keys(SLOT, from, to);
        assert_eq!(fleet.redis.master_of(SLOT), to);
        more().await;
    }
    let log = storm.stop().await;
    let outcome = fleet.judge(&log, &[]).await;
    println!("a slot moved twice under load: {outcome}");
    assert!(outcome.is_clean() && outcome.acknowledged > 3 * EVENTS, "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_found_by_any_of_its_nodes() {
    let cluster = RedisCluster::start(3, 0).await;
    let sink = Sink::start().await;
    let nobody = Port::take().address();
    let config = |nodes: &str| {
        format!("store: {{ engine: redis, url: \"redis://{nobody}\", cluster: true{nodes}, path: \"@STORE@\" }}\n")
            + &appmint_to(&[("crm", &sink)])
    };
    let gateway = Gateway::start(&config(&format!(", nodes: [\"{}\"]", cluster.nodes[2].url()))).await;
    sent(&gateway, "evt_1").await;
    sink.wait_for(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_and_a_cluster_are_not_taken_for_each_other() {
    let (cluster, server) = (RedisCluster::start(3, 0).await, RedisServer::start());
    let sink = Sink::start().await;
    let rest = appmint_to(&[("crm", &sink)]);
    // The slot is not the third master's.
    let said = refused(&(cluster.nodes[2].store("") + &rest)).await;
    assert!(said.contains("write `store.cluster: true`"), "{said}");
    let said = refused(&(server.store(", cluster: true") + &rest)).await;
    assert!(said.contains("leave `store.cluster` out"), "{said}");
}

/// Nodes that name each other by their ports of TLS: found, asked, and asked again when one of them was away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_found_used_and_reached_again_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    super::settings::certificates(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let ports: Vec<Port> = (0..3).map(|_| Port::take()).collect();
    let mut cluster = RedisCluster::start_with(3, 0, |place| {
        let (port, ca) = (ports[place].address().port().to_string(), file("ca.pem"));
        let own = [
            ("port", port),
            ("cluster", "yes".to_owned()),
            ("ca-cert-file", ca),
            ("cert-file", file("server.pem")),
            ("key-file", file("server.key")),
        ];
        own.into_iter().flat_map(|(name, value)| [format!("--tls-{name}"), value]).collect()
    })
    .await;
    let sink = Sink::start().await;
    let config = |ca: &str| {
        let (address, cert, key) = (ports[1].address(), file("client.pem"), file("client.key"));
        format!(
            "store: {{ engine: redis, url: \"rediss://{address}\", cluster: true, shards: 3, path: \"@STORE@\", \
             tls: {{ {ca} cert: \"{cert}\", key: \"{key}\" }} }}\n"
        ) + &appmint_to(&[("crm", &sink)])
    };
    let gateway = Gateway::start(&config(&format!("ca: \"{}\",", file("ca.pem")))).await;
    for number in 0..20 {
        sent(&gateway, &format!("evt_{number}")).await;
    }
    sink.wait_for(20).await;
    gateway.drained(PATIENCE).await;
    cluster.nodes[2].kill();
    eventually("its loss is noticed", async || (gateway.get("/readyz").await.status == 503).then_some(())).await;
    cluster.nodes[2].run();
    for number in 20..40 {
        sent(&gateway, &format!("evt_{number}")).await;
    }
    sink.wait_for(40).await;
    let stranger = refused(&config("")).await;
    assert!(stranger.to_lowercase().contains("certificate"), "a CA that nobody trusts: {stranger}");
}
