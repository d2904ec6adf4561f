//! Promise 2: a copy is answered as the first was and not delivered again, whatever comes between.

use crate::support::{Answer, Gateway, PATIENCE, Sender, Sink, appmint_to, event, eventually};

#[tokio::test]
async fn copies_that_arrive_together_are_all_acknowledged_and_delivered_once() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let mut tasks = tokio::task::JoinSet::new();
    for copy in 0..20 {
        let mut sender = Sender::new(&gateway);
        tasks.spawn(async move {
            let mut duplicates = 0;
            for number in 0..20 {
                let reply = sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await;
                assert_eq!(reply.status, 200, "copy {copy} of event {number}");
                duplicates += usize::from(reply.is_duplicate());
            }
            duplicates
        });
    }
    let duplicates: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(duplicates, 20 * 20 - 20, "each event is new once");
    gateway.drained(PATIENCE).await;
    assert_eq!(sink.count(), 20);
}

#[tokio::test]
async fn a_copy_is_known_after_a_crash_and_after_a_clean_restart() {
    let sink = Sink::start().await;
    let mut gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let body = event("evt_1", "payment.succeeded");
    assert!(!Sender::new(&gateway).send(&body).await.is_duplicate());
    gateway.drained(PATIENCE).await;
    gateway.kill();
    gateway.run().await;
    assert!(Sender::new(&gateway).send(&body).await.is_duplicate());
    gateway.terminate();
    assert!(gateway.ended().await.success());
    gateway.run().await;
    assert!(Sender::new(&gateway).send(&body).await.is_duplicate());
}

#[tokio::test]
async fn a_copy_of_an_event_with_a_dead_delivery_arms_it_again() {
    let sink = Sink::answering(|_| Answer::status(410)).await;
    let gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let body = event("evt_1", "payment.succeeded");
    Sender::new(&gateway).send(&body).await;
    sink.wait_for(1).await;
    eventually("the dead letter", async || {
        (!gateway.list("/v1/deliveries?status=dead").await.is_empty()).then_some(())
    })
    .await;
    sink.answer(|_| Answer::status(200));
    let copy = Sender::new(&gateway).send(&body).await;
    assert!(copy.is_duplicate());
    let hits = sink.wait_for(2).await;
    assert_eq!(hits[1].header("hookward-delivery-id"), hits[0].header("hookward-delivery-id"), "the same delivery");
    gateway.drained(PATIENCE).await;
    assert!(gateway.list("/v1/deliveries?status=dead").await.is_empty());
    assert!(Sender::new(&gateway).send(&body).await.is_duplicate(), "a third copy changes nothing");
    gateway.drained(PATIENCE).await;
    assert_eq!(sink.count(), 2);
}

#[tokio::test]
async fn the_same_id_of_two_sources_is_two_events() {
    let sink = Sink::start().await;
    let config = appmint_to(&[("crm", &sink)]);
    let second = config
        .replace(
            "routes:",
            &format!(
                "  other:\n    path: /other\n    verify: {{ scheme: appmint, secrets: [\"{}\"] }}\nroutes:",
                crate::support::SECRET
            ),
        )
        .replace("from: appmint", "from: \"*\"");
    let gateway = Gateway::start(&second).await;
    let body = event("evt_1", "payment.succeeded");
    assert!(!Sender::new(&gateway).send(&body).await.is_duplicate());
    let mut other = Sender::to(gateway.ingress(), "/other", crate::support::SECRET);
    assert!(!other.send(&body).await.is_duplicate());
    assert_eq!(sink.wait_for(2).await.len(), 2);
}
