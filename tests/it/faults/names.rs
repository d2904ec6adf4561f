//! F33: names that lead elsewhere, that do not exist, whose server fails, is silent or says too much.

use std::net::Ipv4Addr;
use std::time::Instant;

use serde_json::Value;

use crate::support::{Gateway, NAME, Names, PATIENCE, SECRET, Sender, Sink, Zone, event, eventually};

const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A destination by name, one request at a time: all use one connection.
fn queue(sink: &Sink, settings: &str) -> String {
    format!(
        "sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes:\n  - {{ from: appmint, to: [crm] }}\n\
         destinations:\n  crm:\n    url: \"http://{NAME}:{}/hook\"\n    concurrency: 1\n    {settings}\n",
        sink.address().port()
    )
}

fn proxy(sink: &Sink) -> String {
    format!(
        "sources:\n  appmint:\n    path: /in\n    mode: proxy\n    app: \"http://{NAME}:{}\"\n    \
         verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }}\n",
        sink.address().port()
    )
}

async fn start(names: &Names, config: &str) -> Gateway {
    let mut gateway = Gateway::prepare(config);
    gateway.under(names.command());
    gateway.run().await;
    gateway
}

/// Sends until the second server has got a request, then some more: none goes to the first any more, although that
/// has never closed a connection.
async fn moves(names: &Names, gateway: &Gateway, sinks: [&Sink; 2]) {
    let [first, second] = sinks;
    let mut sender = Sender::new(gateway);
    let mut sent = 0;
    let mut send = async || {
        sent += 1;
        let reply = sender.send(&event(&format!("evt_{sent}"), "payment.succeeded")).await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        // One by one: what is sent later is delivered later.
        eventually("the delivery", async || (first.count() + second.count() == sent).then_some(())).await;
    };
    for _ in 0..20 {
        send().await;
    }
    assert_eq!((first.count(), second.count()), (20, 0));
    names.move_to(SECOND);
    eventually("a request at the new address", async || {
        send().await;
        (second.count() > 0).then_some(())
    })
    .await;
    let before = first.count();
    for _ in 0..50 {
        send().await;
    }
    assert_eq!(first.count(), before, "nothing goes to the old address any more");
}

#[tokio::test]
async fn f33_a_destination_whose_name_leads_elsewhere_is_followed_on_kept_connections() {
    let first = Sink::start().await;
    let second = first.beside(SECOND).await;
    let names = Names::in_file(FIRST);
    let gateway = start(&names, &queue(&first, "")).await;
    moves(&names, &gateway, [&first, &second]).await;
}

#[tokio::test]
async fn f33_an_app_whose_name_leads_elsewhere_is_followed_on_kept_connections() {
    let first = Sink::start().await;
    let second = first.beside(SECOND).await;
    let names = Names::in_file(FIRST);
    let gateway = start(&names, &proxy(&first)).await;
    moves(&names, &gateway, [&first, &second]).await;
}

/// The attempts of the one delivery there is.
async fn attempts(gateway: &Gateway) -> Vec<Value> {
    let rows = gateway.list("/v1/deliveries?limit=1").await;
    let Some(row) = rows.first() else { return Vec::new() };
    let shown = gateway.get(&format!("/v1/deliveries/{}", row["id"].as_str().unwrap())).await.json();
    shown["attempts"].as_array().unwrap().clone()
}

/// An event is kept while the name server says this; attempts fail so, and when the server is well again it arrives.
async fn check(zone: Zone, error_class: &str, error: &str) {
    let sink = Sink::start().await;
    let names = Names::by_server(zone);
    // More than the test will use up, however slowly it looks.
    let settings = format!("timeout: 1s\n    retry: {{ schedule: [{}] }}", ["100ms"; 100].join(", "));
    let gateway = start(&names, &queue(&sink, &settings)).await;
    assert_eq!(Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await.status, 200);
    let failed = eventually("two failed attempts", async || {
        let attempts = attempts(&gateway).await;
        (attempts.len() >= 2).then_some(attempts)
    })
    .await;
    for attempt in &failed {
        assert_eq!(attempt["error_class"], error_class, "{attempt}");
        assert!(attempt["error"].as_str().unwrap().contains(error), "{attempt}");
    }
    assert!(names.asked() > 0, "the server was asked");
    names.answer(Zone::Addresses(vec![FIRST]));
    sink.wait_for(1).await;
    gateway.drained(PATIENCE).await;
    assert_eq!(sink.count(), 1);
}

#[tokio::test]
async fn f33_a_name_that_does_not_exist_is_tried_again() {
    check(Zone::NoSuchName, "dns", NAME).await;
}

#[tokio::test]
async fn f33_a_name_server_that_fails_is_asked_again() {
    check(Zone::Fails, "dns", NAME).await;
}

#[tokio::test]
async fn f33_a_thousand_dead_addresses_cost_one_attempt_each_time() {
    // Nobody listens there; a thousand records do not fit into a datagram.
    let dead = (0..1000_u16).map(|number| Ipv4Addr::new(127, 9, (number >> 8) as u8, number as u8)).collect();
    check(Zone::Addresses(dead), "connect", "127.9.").await;
}

#[tokio::test]
async fn f33_a_silent_name_server_is_asked_once_at_a_time_and_costs_nobody_else_anything() {
    let sink = Sink::start().await;
    let other = Sink::start().await;
    let names = Names::by_server(Zone::Silent);
    let config = format!(
        "sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes:\n  - {{ from: appmint, to: [crm, other] }}\n\
         destinations:\n  crm:\n    url: \"http://{NAME}:{}/hook\"\n    timeout: 300ms\n    concurrency: 32\n    \
         breaker: {{ failures: 100000 }}\n    retry: {{ schedule: [{}] }}\n  other: {{ url: \"{}\" }}\n",
        sink.address().port(),
        ["100ms"; 100].join(", "),
        other.url("/hook")
    );
    let mut gateway = start(&names, &config).await;
    let begun = Instant::now();
    let mut sender = Sender::new(&gateway);
    for number in 0..100 {
        assert_eq!(sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await.status, 200);
    }
    other.wait_for(100).await;
    eventually("many failed attempts", async || {
        let failed = gateway.metrics().await.sum("hookward_attempts_total", &[("destination", "crm")]);
        (failed > 200.0).then_some(())
    })
    .await;
    // Each look-up takes the system's resolver a second at least, for two questions; 32 workers ask for the same name.
    let (asked, seconds) = (names.asked(), begun.elapsed().as_secs() as usize);
    assert!(asked <= 2 * (seconds + 2), "{asked} questions in {seconds} s");
    names.answer(Zone::Addresses(vec![FIRST]));
    sink.wait_for(100).await;
    gateway.drained(PATIENCE).await;
    assert_eq!(sink.count(), 100);
    gateway.terminate();
    assert!(gateway.ended().await.success());
}
