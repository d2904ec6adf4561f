//! Promise 9: fan-out is frozen at admission, and a destination's name is its identity.

use crate::support::{Answer, Gateway, PATIENCE, Sender, Sink, appmint_to, event, eventually};

#[tokio::test]
async fn deliveries_of_a_removed_destination_are_held_until_its_name_returns_even_with_another_url() {
    let (crm, old, new) = (Sink::start().await, Sink::answering(|_| Answer::status(500)).await, Sink::start().await);
    let both = |billing: &Sink| appmint_to(&[("crm", &crm), ("billing", billing)]).replace("50ms, 50ms", "1h, 1h");
    let mut gateway = Gateway::start(&both(&old)).await;
    let body = event("evt_1", "payment.succeeded");
    Sender::new(&gateway).send(&body).await;
    old.wait_for(1).await;
    crm.wait_for(1).await;
    let waiting = async || gateway.list("/v1/deliveries?status=pending&destination=billing").await;
    eventually("the retry that waits", async || (waiting().await.first()?["attempt_count"] == 1).then_some(())).await;

    gateway.reload(&appmint_to(&[("crm", &crm)])).await;
    let held = eventually("the held delivery", async || gateway.list("/v1/deliveries?status=held").await.pop()).await;
    assert_eq!(held["destination"], "billing");
    // New events no longer go there, and a restart keeps what is held.
    Sender::new(&gateway).send(&event("evt_2", "payment.succeeded")).await;
    crm.wait_for(2).await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
    gateway.run().await;
    assert_eq!(gateway.list("/v1/deliveries?status=held").await.len(), 1);

    gateway.reload(&both(&new)).await;
    let id = held["id"].as_str().unwrap();
    eventually("the end of holding", async || {
        gateway.list("/v1/deliveries?status=held").await.is_empty().then_some(())
    })
    .await;
    // It waits for its retry again; a person does not want to wait an hour.
    let reply = gateway.post(&format!("/v1/deliveries/{id}/redeliver"), &serde_json::json!({})).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let hit = new.wait_for(1).await.pop().unwrap();
    assert!(hit.body == body && hit.header("hookward-delivery-id") == id);
    gateway.drained(PATIENCE).await;
    assert_eq!((new.count(), crm.count()), (1, 2));
}

#[tokio::test]
async fn a_new_url_applies_to_deliveries_that_wait() {
    let mut gone = Sink::start().await;
    gone.down().await;
    let moved = Sink::start().await;
    let gateway = Gateway::start(&appmint_to(&[("crm", &gone)]).replace("50ms, 50ms, 50ms", "50ms, 1s, 1s")).await;
    let body = event("evt_1", "payment.succeeded");
    Sender::new(&gateway).send(&body).await;
    gateway.reload(&appmint_to(&[("crm", &moved)])).await;
    assert!(moved.wait_for(1).await[0].body == body);
}
