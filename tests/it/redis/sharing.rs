//! A destination's concurrency with three gateways at one Redis: each one's own, or shared, and no gateway starves.

use std::time::{Duration, Instant};

use crate::support::{Answer, Gateway, Hit, PATIENCE, RedisServer, SECRET, Sender, Sink, event};

/// How long the destination takes for an answer.
const ANSWERED_AFTER: Duration = Duration::from_millis(20);

/// Events of a run.
const EVENTS: usize = 150;

/// Three gateways with one destination, whose settings these are; all events come in at the first of them.
async fn run(settings: &str) -> (Vec<Gateway>, Vec<Hit>) {
    let (redis, sink) = (RedisServer::start(), Sink::start().await);
    sink.answer(|_| Answer::status(200).after(ANSWERED_AFTER));
    let config = format!(
        "{}sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes:\n  - {{ from: appmint, to: [crm], delay: 1s }}\n\
         destinations:\n  crm: {{ url: \"{}\", {settings} }}\n",
        redis.store(""),
        sink.url("/hook")
    );
    let mut gateways = Vec::new();
    for _ in 0..3 {
        gateways.push(Gateway::start(&config).await);
    }
    let mut sender = Sender::new(&gateways[0]);
    for number in 0..EVENTS {
        assert_eq!(sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await.status, 200);
    }
    gateways[0].drained(PATIENCE).await;
    let hits = sink.hits();
    assert_eq!(hits.len(), EVENTS, "each once");
    (gateways, hits)
}

/// How many requests were under way at once, by the time that the destination alone took for each.
fn most_at_once(hits: &[Hit]) -> usize {
    let under_way = |at: Instant| hits.iter().filter(|hit| hit.at <= at && at < hit.at + ANSWERED_AFTER).count();
    hits.iter().map(|hit| under_way(hit.at)).max().unwrap_or(0)
}

/// How many of the requests each gateway made, the fewest first.
async fn parts(gateways: &[Gateway]) -> Vec<f64> {
    let mut parts = Vec::new();
    for gateway in gateways {
        parts.push(gateway.metrics().await.sum("hookward_attempts_total", &[("destination", "crm")]));
    }
    parts.sort_by(f64::total_cmp);
    parts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_limit_is_the_limit_of_all_together_and_no_gateway_starves() {
    for concurrency in [1, 4] {
        let (gateways, hits) = run(&format!("concurrency: {concurrency}, concurrency_shared: true")).await;
        assert!(most_at_once(&hits) <= concurrency, "{} of {concurrency}", most_at_once(&hits));
        let parts = parts(&gateways).await;
        assert!(parts[0] >= EVENTS as f64 / 10.0, "of {EVENTS} with {concurrency} places: {parts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_it_each_gateway_has_its_own_limit_and_none_starves() {
    let (gateways, hits) = run("concurrency: 2").await;
    let most = most_at_once(&hits);
    assert!((3..=6).contains(&most), "three times two: {most}");
    let parts = parts(&gateways).await;
    assert!(parts[0] >= EVENTS as f64 / 10.0, "{parts:?}");
}
