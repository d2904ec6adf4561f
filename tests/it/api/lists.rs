//! Pages and filters: every row once, newest first, and every wrong question answered with what is wrong.

use std::time::Duration;

use super::fixture::{DEAD, Fixture, START, event, settled};
use hookward::domain::{NewEvent, Next};
use hookward::store::Store;
use serde_json::Value;

/// All ids of a list, page by page, as a client would.
async fn all(fixture: &Fixture, path: &str, limit: usize) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let after = ids.last().map(|id| format!("&starting_after={id}")).unwrap_or_default();
        let joint = if path.contains('?') { '&' } else { '?' };
        let reply = fixture.get(&format!("{path}{joint}limit={limit}{after}")).await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        let page = reply.json();
        assert_eq!(page["object"], "list");
        let rows = page["data"].as_array().unwrap();
        assert!(rows.len() <= limit);
        ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        if page["has_more"] == Value::Bool(false) {
            return ids;
        }
        assert_eq!(rows.len(), limit, "a page with more behind it is full");
    }
}

#[tokio::test]
async fn pages_over_hundreds_of_rows_show_each_once_newest_first() {
    let fixture = Fixture::new().await;
    let mut admitted = Vec::new();
    for number in 0..250 {
        let new = event(&fixture.clock, &format!("sender-{number}"), "payment.succeeded");
        admitted.push(fixture.admit(new, &["crm", "log"]).await.to_string());
        fixture.clock.advance(Duration::from_millis(number % 3));
    }
    admitted.reverse();
    for limit in [1, 7, 100] {
        assert_eq!(all(&fixture, "/v1/events", limit).await, admitted, "limit {limit}");
    }
    let deliveries = all(&fixture, "/v1/deliveries", 99).await;
    assert_eq!(deliveries.len(), 500);
    let mut distinct = deliveries.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 500);
    assert_eq!(all(&fixture, "/v1/deliveries?destination=crm", 100).await.len(), 250);
    let page = fixture.get("/v1/events").await.json();
    assert_eq!((page["data"].as_array().unwrap().len(), &page["url"]), (10, &Value::from("/v1/events")));
}

#[tokio::test]
async fn filters_of_events_narrow_the_list() {
    let fixture = Fixture::new().await;
    let clock = &fixture.clock;
    let mut ids = Vec::new();
    for (id, event_type, source) in
        [("a", "payment.failed", "appmint"), ("b", "user.created", "appmint"), ("c", "push", "github")]
    {
        let new = NewEvent { source: source.into(), ..event(clock, id, event_type) };
        ids.push(fixture.admit(new, &["crm"]).await.to_string());
        clock.advance(Duration::from_secs(60));
    }
    let list = async |query: &str| all(&fixture, &format!("/v1/events?{query}"), 100).await;
    assert_eq!(list("source=appmint").await, [ids[1].clone(), ids[0].clone()]);
    assert_eq!(list("type=user.created").await, [ids[1].clone()]);
    assert_eq!(list("source=github&type=user.created").await, Vec::<String>::new());
    assert_eq!(list("source_event_id=c").await, [ids[2].clone()]);
    let minute = START.as_secs() + 60;
    assert_eq!(list(&format!("created[gte]={minute}")).await, [ids[2].clone(), ids[1].clone()]);
    assert_eq!(list(&format!("created%5Blte%5D={minute}")).await, [ids[1].clone(), ids[0].clone()]);
    assert_eq!(list("created[gte]=2026-11-23T18:01:30Z&created[lte]=2026-11-23T18:02:00Z").await, [ids[2].clone()]);
    assert_eq!(list("source=nobody").await, Vec::<String>::new());
}

#[tokio::test]
async fn filters_of_deliveries_narrow_the_list() {
    let fixture = Fixture::new().await;
    let first = fixture.admit(event(&fixture.clock, "a", "payment.failed"), &["crm", "log"]).await;
    let second = fixture.admit(event(&fixture.clock, "b", "user.created"), &["crm"]).await;
    for claim in fixture.claim("crm").await {
        let next = if claim.event.id == first { DEAD } else { Next::Succeeded };
        let status = if claim.event.id == first { 500 } else { 200 };
        fixture.store.settle(&claim, settled(&claim, &fixture.clock, status, b"", next));
    }
    let count = async |query: String| all(&fixture, &format!("/v1/deliveries?{query}"), 100).await.len();
    assert_eq!(count("status=dead".into()).await, 1);
    assert_eq!(count("status=succeeded".into()).await, 1);
    assert_eq!(count("status=pending".into()).await, 1);
    assert_eq!(count("status=dead&destination=log".into()).await, 0);
    assert_eq!(count(format!("event={first}")).await, 2);
    assert_eq!(count(format!("event={second}")).await, 1);
    assert_eq!(count("type=user.created".into()).await, 1);
    let other = NewEvent { source: "github".into(), ..event(&fixture.clock, "c", "push") };
    fixture.admit(other, &["crm", "log"]).await;
    assert_eq!(count("source=github".into()).await, 2);
    assert_eq!(count("source=appmint".into()).await, 3);
    assert_eq!(count("source=github&destination=log&status=pending".into()).await, 1);
    assert_eq!(count("source=nobody".into()).await, 0);
    assert_eq!(count(format!("created[lte]={}", START.as_secs() - 1)).await, 0);
}

#[tokio::test]
async fn a_wrong_question_is_told_what_is_wrong() {
    let fixture = Fixture::new().await;
    for (path, pointer, words) in [
        ("/v1/events?limits=5", "#/query/limits", "did you mean limit?"),
        ("/v1/events?limit=0", "#/query/limit", "1 to 100"),
        ("/v1/events?limit=101", "#/query/limit", "1 to 100"),
        ("/v1/events?limit=5&limit=6", "#/query/limit", "twice"),
        ("/v1/events?status=dead", "#/query/status", "no such parameter"),
        ("/v1/events?starting_after=delivery_01kb9w3v1m000000000000000000", "#/query/starting_after", "evt_"),
        ("/v1/events?created[gte]=yesterday", "#/query/created[gte]", "1970"),
        ("/v1/deliveries?status=done", "#/query/status", "in_flight"),
        ("/v1/rejections?reason=none", "#/query/reason", "signature_mismatch"),
        ("/v1/sources?limit=3", "#/query/limit", "no parameters"),
        ("/v1/events/x?verbose=1", "#/query/verbose", "no parameters"),
    ] {
        let reply = fixture.get(path).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "parameter_invalid"), "{path}");
        let error = &reply.json()["errors"][0];
        assert_eq!(error["pointer"], pointer, "{path}");
        assert!(error["detail"].as_str().unwrap().contains(words), "{path}: {error}");
    }
    for path in ["/v1/nothing", "/v1/events/evt_x", "/v1/deliveries/x", "/v1/events/%ff", "/v1/events/a%2Fb/body"] {
        let reply = fixture.get(path).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{path}");
    }
}
