//! Redeliver, cancel, replay: once more or no more, and only where the state allows it.

use hookward::domain::Next;
use hookward::store::Store;
use serde_json::json;

use super::fixture::{DEAD, Fixture, event, settled};

#[tokio::test]
async fn a_dead_delivery_goes_out_again() {
    let fixture = Fixture::new().await;
    fixture.admit(event(&fixture.clock, "a", "b"), &["crm"]).await;
    let claim = fixture.claim("crm").await.remove(0);
    let path = format!("/v1/deliveries/{}", claim.id);
    let early = fixture.post(&format!("{path}/redeliver")).await;
    assert_eq!((early.status, early.code().as_str()), (409, "conflict"), "it is in flight");

    fixture.store.settle(&claim, settled(&claim, &fixture.clock, 500, b"", DEAD));
    let dead = fixture.get(&path).await.json();
    assert_eq!((&dead["status"], &dead["dead_reason"]), (&json!("dead"), &json!("exhausted")));
    let again = fixture.post(&format!("{path}/redeliver")).await;
    assert_eq!((again.status, &again.json()["status"]), (202, &json!("pending")));
    let claim = fixture.claim("crm").await.remove(0);
    assert_eq!(path, format!("/v1/deliveries/{}", claim.id));
    fixture.store.settle(&claim, settled(&claim, &fixture.clock, 200, b"", Next::Succeeded));
    assert_eq!(fixture.get(&path).await.json()["status"], "succeeded");
    // Also what succeeded: a destination may have lost it.
    assert_eq!(fixture.post(&format!("{path}/redeliver")).await.status, 202);
}

#[tokio::test]
async fn a_cancelled_delivery_does_not_go_out() {
    let fixture = Fixture::new().await;
    fixture.admit(event(&fixture.clock, "a", "b"), &["crm"]).await;
    let list = fixture.get("/v1/deliveries").await.json();
    let path = format!("/v1/deliveries/{}", list["data"][0]["id"].as_str().unwrap());
    let cancelled = fixture.post(&format!("{path}/cancel")).await;
    assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &json!("cancelled")));
    assert!(fixture.claim("crm").await.is_empty());
    let scrape = fixture.get("/metrics").await.body;
    let cancelled = r#"deliveries_total{destination="crm",outcome="cancelled"} 1"#;
    assert!(String::from_utf8_lossy(&scrape).contains(cancelled));
    assert_eq!(fixture.post(&format!("{path}/redeliver")).await.status, 202);
    assert_eq!(fixture.claim("crm").await.len(), 1);
}

#[tokio::test]
async fn a_replay_goes_where_todays_routes_say() {
    let fixture = Fixture::new().await;
    let id = fixture.admit(event(&fixture.clock, "a", "b"), &["crm"]).await;
    let replay = fixture.post("/v1/events/a/replay").await;
    assert_eq!(replay.status, 202);
    let replay = replay.json();
    assert_eq!((&replay["event"], replay["deliveries"].as_array().unwrap().len()), (&json!(id.to_string()), 1));
    // Today everything goes to `log`, not to `crm` as when it was received.
    let claims = fixture.claim("log").await;
    assert_eq!((claims.len(), claims[0].id.to_string()), (1, replay["deliveries"][0].as_str().unwrap().to_owned()));
    assert_eq!(claims[0].event.received.body, event(&fixture.clock, "a", "b").body);
    // By our id and by the sender's own.
    for (key, deliveries) in [(id.to_string().as_str(), 2), ("a", 2), ("nobody's", 0)] {
        let list = fixture.get(&format!("/v1/deliveries?event={key}")).await.json();
        assert_eq!(list["data"].as_array().map(Vec::len), Some(deliveries), "{key}: {list}");
    }
}

#[tokio::test]
async fn what_is_not_there_cannot_be_sent_again() {
    let fixture = Fixture::new().await;
    for path in ["deliveries/delivery_01kb9w3v1m000000000000000000/redeliver", "deliveries/x/cancel", "events/x/replay"]
    {
        let reply = fixture.post(&format!("/v1/{path}")).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{path}");
    }
}
