//! The rate limits of a source hold over all gateways that share the store.

use std::net::SocketAddr;

use crate::support::{Gateway, RedisServer, SECRET, Sender, Sink, event, eventually};

/// So many requests get through, and no more within an hour.
const LIMIT: usize = 10;

/// Three gateways with a source that has this limit, and more settings.
async fn gateways(redis: &RedisServer, sink: &Sink, source: &str) -> Vec<Gateway> {
    let config = format!(
        "{}sources:\n  appmint: {{ path: /in, dedup: off, {source}, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes: [{{ from: appmint, to: crm }}]\ndestinations:\n  crm: {{ url: \"{}\" }}\n",
        redis.store(""),
        sink.url("/hook"),
    );
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(Gateway::start(&config).await);
    }
    gateways
}

fn limited(by: &str) -> String {
    format!("rate_limit: {{ requests: {LIMIT}, per: 1h, by: '{by}' }}")
}

async fn status(to: SocketAddr, number: usize) -> u16 {
    let reply = Sender::to(to, "/in", SECRET).send(&event(&format!("evt_{number}"), "payment.succeeded")).await;
    assert!(reply.status != 429 || !reply.header("retry-after").is_empty(), "{reply:?}");
    reply.status
}

/// How often a rate was looked at: without dedup nothing else gets single keys.
fn questions(redis: &RedisServer) -> usize {
    let stats = redis.ask("INFO commandstats");
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls="));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_holds_over_all_gateways_and_a_flood_costs_the_store_nothing() {
    for by in ["source", "ip", "header:content-type"] {
        let (redis, sink) = (RedisServer::start(), Sink::start().await);
        let gateways = gateways(&redis, &sink, &limited(by)).await;
        let mut sent = tokio::task::JoinSet::new();
        for number in 0..6 * LIMIT {
            sent.spawn(status(gateways[number % 3].ingress(), number));
        }
        let statuses = sent.join_all().await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), LIMIT, "by {by}: {statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 5 * LIMIT, "by {by}: {statuses:?}");
        // Every gateway has heard a refusal by now: it holds for the six minutes in which nothing comes back.
        let before = questions(&redis);
        for number in 0..30 * LIMIT {
            assert_eq!(status(gateways[number % 3].ingress(), number).await, 429, "by {by}");
        }
        assert_eq!(questions(&redis), before, "by {by}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_value_has_its_own_rate_and_strangers_use_up_none() {
    let (redis, sink) = (RedisServer::start(), Sink::start().await);
    let gateways = gateways(&redis, &sink, "rate_limit: { requests: 2, per: 1h, by: 'header:x-key' }").await;
    let mut statuses = Vec::new();
    for (number, key) in ["a", "a", "b", "a", "b", "b"].into_iter().enumerate() {
        let body = event(&format!("evt_{number}"), "payment.succeeded");
        let send = async |secret: &str| {
            let mut sender = Sender::to(gateways[number % 3].ingress(), "/in", secret);
            sender.send_as(sender.request(&body).header("x-key", key), &body).await.status
        };
        assert_eq!(send("another secret").await, 401);
        statuses.push(send(SECRET).await);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 200, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_allowlist_refuses_nobody_counts() {
    let (redis, sink) = (RedisServer::start(), Sink::start().await);
    let source = format!("allow_ips: [192.0.2.1], {}", limited("ip"));
    let gateways = gateways(&redis, &sink, &source).await;
    for (number, gateway) in gateways.iter().enumerate() {
        assert_eq!(status(gateway.ingress(), number).await, 403);
    }
    assert_eq!(questions(&redis), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_enforced_it_is_reported() {
    let (redis, sink) = (RedisServer::start(), Sink::start().await);
    let gateways = gateways(&redis, &sink, "enforce: report, rate_limit: { requests: 1, per: 1h, by: source }").await;
    for (number, gateway) in gateways.iter().enumerate() {
        assert_eq!(status(gateway.ingress(), number).await, 200);
    }
    let hits = sink.wait_for(3).await;
    let reported = hits.iter().filter(|hit| hit.header("hookward-reported").contains("rate_limited")).count();
    assert_eq!(reported, 2);
}

/// Without the store each gateway counts for itself: a flood is refused as ever, and nothing is kept anyway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_each_gateway_counts_for_itself() {
    let (mut redis, sink) = (RedisServer::start(), Sink::start().await);
    let gateways = gateways(&redis, &sink, "rate_limit: { requests: 2, per: 1h, by: ip }").await;
    redis.kill();
    for gateway in &gateways {
        eventually("the loss is noticed", async || (gateway.get("/readyz").await.status == 503).then_some(())).await;
        let mut statuses = Vec::new();
        for number in 0..4 {
            statuses.push(status(gateway.ingress(), number).await);
        }
        assert_eq!(statuses, [503, 503, 429, 429]);
        let alone = gateway.metrics().await.sum("hookward_rate_limits_alone_total", &[("source", "appmint")]);
        assert_eq!(alone, 4.0);
    }
    redis.run();
    eventually("one count for all again", async || (status(gateways[0].ingress(), 9).await == 200).then_some(())).await;
}
