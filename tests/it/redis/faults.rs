//! The server is gone, paused, read-only, full or forgetful: 503 meanwhile, all well afterwards, nothing acknowledged
//! lost (RELIABILITY.md F20 to F22, F25).

use std::collections::HashMap;

use super::relay::Relay;
use crate::support::{Gateway, RedisServer, Sender, Sink, appmint_to, event, eventually};

/// A gateway at a server, a destination, and what was acknowledged.
struct Scene {
    redis: RedisServer,
    gateway: Gateway,
    sink: Sink,
    acknowledged: Vec<String>,
    sent: usize,
}

// === impl Scene ===

impl Scene {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let sink = Sink::start().await;
        let gateway = Gateway::start(&(redis.store("") + &appmint_to(&[("crm", &sink)]))).await;
        Self { redis, gateway, sink, acknowledged: Vec::new(), sent: 0 }
    }

    /// Sends a new event; the status.
    async fn send(&mut self) -> u16 {
        let id = format!("evt_{}", self.sent);
        self.sent += 1;
        let reply = Sender::new(&self.gateway).send(&event(&id, "payment.succeeded")).await;
        match reply.status {
            200 => self.acknowledged.push(id),
            503 => assert!(!reply.header("retry-after").is_empty(), "503 without Retry-After"),
            other => panic!("{id} was answered {other}"),
        }
        reply.status
    }

    async fn send_some(&mut self) {
        for _ in 0..20 {
            assert_eq!(self.send().await, 200);
        }
    }

    /// Waits until `/readyz` says that the store is unusable for this reason.
    async fn not_ready(&self, reason: &str) {
        eventually(reason, async || {
            let ready = self.gateway.get("/readyz").await;
            (ready.status == 503 && ready.json()["reasons"].to_string().contains(reason)).then_some(())
        })
        .await;
    }

    /// Waits until it takes events again, without a restart.
    async fn ready(&self) {
        eventually("a ready gateway", async || (self.gateway.get("/readyz").await.status == 200).then_some(())).await;
    }

    /// Every acknowledged event reached the destination, once.
    async fn all_delivered_once(self) {
        let Self { gateway, sink, acknowledged, .. } = self;
        gateway.drained(crate::support::PATIENCE).await;
        let mut taken: HashMap<String, usize> = HashMap::new();
        for hit in sink.hits() {
            *taken.entry(hit.header("hookward-source-event-id").to_owned()).or_default() += 1;
        }
        for id in &acknowledged {
            assert_eq!(taken.get(id), Some(&1), "{id}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back_loses_nothing() {
    let mut scene = Scene::start().await;
    scene.send_some().await;
    for _ in 0..3 {
        scene.redis.kill();
        scene.not_ready("refused").await;
        assert_eq!(scene.send().await, 503);
        scene.redis.run();
        scene.ready().await;
        scene.send_some().await;
    }
    scene.all_delivered_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_paused_makes_nobody_wait_for_long_and_nothing_is_doubled() {
    let mut scene = Scene::start().await;
    scene.send_some().await;
    scene.redis.freeze();
    // Of these the server does or does not hear; then it is known to be gone, and the others are refused at once.
    for _ in 0..30 {
        assert_eq!(scene.send().await, 503);
    }
    scene.not_ready("does not answer in time").await;
    scene.redis.thaw();
    scene.ready().await;
    // What was refused is sent again, as senders do: whether or not it was kept after all, it arrives once.
    let sent = scene.sent;
    for number in sent - 30..sent {
        let id = format!("evt_{number}");
        let reply = Sender::new(&scene.gateway).send(&event(&id, "payment.succeeded")).await;
        assert_eq!(reply.status, 200);
        scene.acknowledged.push(id);
    }
    scene.all_delivered_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_is_said_to() {
    let mut scene = Scene::start().await;
    scene.send_some().await;
    scene.redis.ask("REPLICAOF 127.0.0.1 1");
    assert_eq!(scene.send().await, 503);
    scene.not_ready("replica of 127.0.0.1:1").await;
    scene.redis.ask("REPLICAOF NO ONE");
    scene.ready().await;
    scene.send_some().await;
    scene.all_delivered_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory_takes_nothing_until_it_has_some() {
    let mut scene = Scene::start().await;
    scene.send_some().await;
    scene.redis.ask("CONFIG SET maxmemory 100000");
    assert_eq!(scene.send().await, 503);
    scene.not_ready("memory").await;
    scene.redis.ask("CONFIG SET maxmemory 0");
    scene.ready().await;
    scene.send_some().await;
    scene.all_delivered_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let mut scene = Scene::start().await;
    scene.send_some().await;
    for _ in 0..5 {
        assert_eq!(scene.redis.ask("SCRIPT FLUSH"), "+OK\r\n");
        assert_eq!(scene.send().await, 200);
    }
    scene.all_delivered_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_became_weaker_are_noticed_when_the_connection_is_made_anew() {
    let mut scene = Scene::start().await;
    scene.send_some().await;
    scene.redis.ask("CONFIG SET appendfsync everysec");
    scene.redis.ask("CLIENT KILL TYPE normal");
    scene.not_ready("set appendfsync always").await;
    assert_eq!(scene.send().await, 503);
    scene.redis.ask("CONFIG SET appendfsync always");
    scene.ready().await;
    scene.send_some().await;
    scene.all_delivered_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_doubles_nothing_with_and_without_dedup() {
    let redis = RedisServer::start();
    let sink = Sink::start().await;
    let relay = Relay::start(redis.address(), b"\"source\":\"appmint\"").await;
    let config = appmint_to(&[("crm", &sink)]);
    for (round, config) in [config.clone(), config.replace("path: /in", "path: /in\n    dedup: off")].iter().enumerate()
    {
        let store = format!("store: {{ engine: redis, url: \"{}\", path: \"@STORE@\" }}\n", relay.url());
        let gateway = Gateway::start(&(store + config)).await;
        let id = format!("evt_{round}");
        relay.lose(1);
        let reply = Sender::new(&gateway).send(&event(&id, "payment.succeeded")).await;
        assert_eq!((reply.status, reply.is_duplicate(), relay.left()), (200, false, 0), "kept, and known to be");
        gateway.drained(crate::support::PATIENCE).await;
        let hits = sink.hits();
        let its = hits.iter().filter(|hit| hit.header("hookward-source-event-id") == id);
        assert_eq!(its.count(), 1, "{id}");
    }
}
