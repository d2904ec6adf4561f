//! `routes[].delay` and `expires`.

use std::time::{Duration, Instant};

use crate::support::{Answer, Gateway, Sink, eventually};

async fn with_route(route: &str, settings: &str, sink: &Sink) -> Gateway {
    Gateway::start(&format!(
        "sources:\n  a: {{ path: /in, verify: {{ scheme: none, type: 'body:/type' }}, dedup: off }}\n\
         routes:\n  - {{ from: a, to: crm, {route} }}\ndestinations:\n  crm: {{ url: \"{}\", {settings} }}\n",
        sink.url("/hook")
    ))
    .await
}

#[tokio::test]
async fn a_delayed_delivery_goes_out_after_its_delay() {
    let sink = Sink::start().await;
    let gateway = with_route("delay: 1s", "concurrency: 1", &sink).await;
    let sent = Instant::now();
    super::emit(&gateway, "a").await;
    let at = sink.wait_for(1).await[0].at;
    assert!(at - sent >= Duration::from_millis(990), "after {:?}", at - sent);
}

#[tokio::test]
async fn what_is_not_delivered_in_its_time_expires() {
    let sink = Sink::answering(|_| Answer::status(500)).await;
    let gateway = with_route("expires: 1s", "retry: { schedule: [100ms, 2s] }", &sink).await;
    super::emit(&gateway, "a").await;
    eventually("an expired delivery", async || {
        (gateway.list("/v1/deliveries?status=expired").await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(sink.count(), 2);
}
