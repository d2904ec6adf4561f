//! `if_app_fails: keep`: what the app saw nothing of is kept, answered, and delivered to it as to a destination.

use serde_json::{Value, json};

use super::to_app_with;
use crate::support::{Answer, Gateway, Hit, Port, Sender, Sink, event, eventually};

/// What reached the sink when a delivery was asked for again: the schedule would take minutes. While an attempt is under
/// way, the gateway refuses.
async fn redelivered(gateway: &Gateway, delivery: &Value, sink: &Sink, hits: usize) -> Vec<Hit> {
    let path = format!("/v1/deliveries/{}/redeliver", delivery["id"].as_str().unwrap());
    eventually("the delivery", async || {
        if sink.count() < hits {
            gateway.post(&path, &json!({})).await;
        }
        (sink.count() >= hits).then_some(())
    })
    .await;
    sink.hits()
}

#[tokio::test]
async fn events_are_kept_while_the_app_cannot_be_reached_and_delivered_to_it_afterwards() {
    let mut sink = Sink::start().await;
    let config = to_app_with(
        &sink.url("/base"),
        "    if_app_fails: keep\n    respond: { status: 202, body: kept }\n    dedup: { window: 1h }\n",
    );
    let gateway = Gateway::start(&config).await;
    let mut sender = Sender::new(&gateway);
    // While it is there the app answers itself.
    sink.answer(|_| Answer::status(201));
    assert_eq!(sender.send(&event("evt_1", "order.paid")).await.status, 201);
    sink.down().await;
    let body = event("evt_2", "order.paid");
    let request = sender.request(&body).uri("/in?a=%20b");
    let reply = sender.send_as(request, &body).await;
    assert_eq!((reply.status, &*reply.body), (202, b"kept".as_slice()), "{reply:?}");
    let id = reply.header("hookward-event-id").to_owned();
    assert!(id.starts_with("evt_"), "{reply:?}");
    let copy = sender.send(&body).await;
    assert!(copy.is_duplicate() && copy.header("hookward-event-id") == id, "held, so a copy: {copy:?}");
    // It is a destination like any other.
    let lanes = gateway.list("/v1/destinations").await;
    assert_eq!((lanes.len(), lanes[0]["name"].as_str()), (1, Some("app:appmint")), "{lanes:?}");
    let deliveries = gateway.list("/v1/deliveries").await;
    assert_eq!(deliveries[0]["destination"], "app:appmint", "{deliveries:?}");
    sink.up().await;
    let hits = redelivered(&gateway, &deliveries[0], &sink, 2).await;
    let hit = hits.iter().find(|hit| hit.header("hookward-event-id") == id).expect("the kept one");
    assert_eq!((hit.uri.to_string().as_str(), &hit.body), ("/base/in?a=%20b", &body));
    assert_eq!(hit.header("x-appmint-signature"), crate::support::sign(crate::support::SECRET, &body));
    eventually("its success", async || {
        (gateway.list("/v1/deliveries?status=succeeded").await.len() == 1).then_some(())
    })
    .await;
    // The app is back: it answers itself again, and what it has is a copy.
    assert_eq!(sender.send(&event("evt_3", "order.paid")).await.status, 201);
    assert!(sender.send(&body).await.is_duplicate());
    // The events of the other ways are in nobody's queue.
    assert_eq!(gateway.list("/v1/events").await.len(), 1);
}

#[tokio::test]
async fn what_the_app_may_have_seen_is_not_kept() {
    let sink = Sink::answering(|_| Answer::Close).await;
    let gateway = Gateway::start(&to_app_with(&sink.url(""), "    if_app_fails: keep\n")).await;
    let reply = Sender::new(&gateway).send(&event("evt_1", "order.paid")).await;
    assert_eq!((reply.status, reply.code().as_str()), (502, "app_broken"));
    sink.answer(|_| Answer::status(500));
    assert_eq!(Sender::new(&gateway).send(&event("evt_1", "order.paid")).await.status, 500);
    assert!(gateway.list("/v1/events").await.is_empty());
}

#[tokio::test]
async fn what_is_kept_outlives_a_restart_and_goes_to_the_app_that_is_configured_then() {
    let port = Port::take();
    let mut gateway =
        Gateway::start(&to_app_with(&format!("http://{}", port.address()), "    if_app_fails: keep\n")).await;
    assert_eq!(Sender::new(&gateway).send(&event("evt_1", "order.paid")).await.status, 200);
    gateway.kill();
    let sink = Sink::start().await;
    gateway.configure(&to_app_with(&sink.url(""), "    if_app_fails: keep\n"));
    gateway.run().await;
    let delivery = eventually("the delivery", async || gateway.list("/v1/deliveries").await.first().cloned()).await;
    assert_eq!(redelivered(&gateway, &delivery, &sink, 1).await[0].body, event("evt_1", "order.paid"));
}
