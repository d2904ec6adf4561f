//! One event, one delivery, one rejection, sources and destinations: what exactly is shown.

use std::time::Duration;

use bytes::Bytes;
use hookward::domain::{NewEvent, Next, Reason, Rejection, Timestamp};
use hookward::store::{RejectedRequest, Store};
use hookward::telemetry::BreakerState;
use http::Method;
use serde_json::{Value, json};

use super::fixture::{ADMIN, DEAD, Fixture, START, event, settled};

#[tokio::test]
async fn an_event_is_found_by_our_id_and_by_its_senders() {
    let fixture = Fixture::new().await;
    // A sender's id may look like one of ours, and hold what must be escaped in a path.
    for senders in ["evt_1Nx", "evt_01kb9w3v1m0000000000000000", "a/b c?d", "ü"] {
        let id = fixture.admit(event(&fixture.clock, senders, "payment.failed"), &["crm", "log"]).await;
        let escaped: String = url::form_urlencoded::byte_serialize(senders.as_bytes()).collect();
        let escaped = escaped.replace('+', "%20");
        for key in [id.to_string(), escaped] {
            let shown = fixture.get(&format!("/v1/events/{key}")).await.json();
            assert_eq!(shown["id"], id.to_string(), "{key}");
            assert_eq!(shown["source_event_id"], senders);
            assert_eq!(
                (&shown["object"], &shown["type"], &shown["method"]),
                (&json!("event"), &json!("payment.failed"), &json!("POST"))
            );
            assert_eq!(shown["created"], "2026-11-23T18:00:00.000Z");
            assert_eq!(shown["body_url"], format!("/v1/events/{id}/body"));
            let deliveries = shown["deliveries"]["data"].as_array().unwrap();
            let to: Vec<&Value> = deliveries.iter().map(|delivery| &delivery["destination"]).collect();
            assert_eq!(to.len(), 2, "{to:?}");
            assert!(deliveries.iter().all(|delivery| delivery["status"] == "pending"));
        }
    }
}

#[tokio::test]
async fn a_body_comes_back_byte_for_byte_and_no_browser_renders_it() {
    let fixture = Fixture::new().await;
    let bytes = Bytes::from_static(b"\x00\xff<script>alert(1)</script>\r\n\xf0\x28");
    let id = fixture.admit(NewEvent { body: bytes.clone(), ..event(&fixture.clock, "a", "b") }, &[]).await;
    for key in [id.to_string(), "a".to_owned()] {
        let reply = fixture.get(&format!("/v1/events/{key}/body")).await;
        assert_eq!((reply.status, &reply.body), (200, &bytes));
        assert_eq!(reply.header("content-type"), "application/octet-stream");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(reply.header("content-disposition").starts_with("attachment"));
        assert!(reply.header("content-security-policy").contains("sandbox"));
    }
    let head = fixture.ask(Method::HEAD, "/v1/events/a/body", &[("authorization", &format!("Bearer {ADMIN}"))]).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "31", 0));
}

#[tokio::test]
async fn a_delivery_shows_its_attempts() {
    let fixture = Fixture::new().await;
    fixture.admit(event(&fixture.clock, "a", "payment.failed"), &["crm"]).await;
    let claim = fixture.claim("crm").await.remove(0);
    let path = format!("/v1/deliveries/{}", claim.id);
    assert_eq!(fixture.get(&path).await.json()["status"], "in_flight");

    let retry = Next::RetryAt(fixture.clock.now().plus(Duration::from_secs(60)));
    fixture.store.settle(&claim, settled(&claim, &fixture.clock, 503, b"\xffbusy", retry));
    let shown = fixture.get(&path).await.json();
    assert_eq!((&shown["object"], &shown["status"]), (&json!("delivery"), &json!("pending")));
    assert_eq!((&shown["response_code"], &shown["response_time"]), (&json!(503), &json!(12.0)));
    assert_eq!(shown["next_attempt_at"], "2026-11-23T18:01:00.000Z");
    assert_eq!(shown["response_body"], json!({ "encoding": "base64", "content": "/2J1c3k=" }));
    let attempt = &shown["attempts"][0];
    assert_eq!((&attempt["number"], &attempt["error_class"]), (&json!(1), &json!("status")));
    assert_eq!(attempt["error"], "answered 503");
    assert!(
        attempt["response_headers"].as_array().unwrap().contains(&json!({ "name": "x-served-by", "value": "crm-1" }))
    );
    assert!(attempt["id"].as_str().unwrap().starts_with("attempt_"));

    fixture.clock.advance(Duration::from_secs(60));
    let claim = fixture.claim("crm").await.remove(0);
    fixture.store.settle(&claim, settled(&claim, &fixture.clock, 200, b"thanks", Next::Succeeded));
    let shown = fixture.get(&path).await.json();
    assert_eq!((&shown["status"], &shown["attempt_count"]), (&json!("succeeded"), &json!(2)));
    assert_eq!((&shown["next_attempt_at"], &shown["response_code"]), (&Value::Null, &json!(200)));
    assert_eq!(shown["response_body"], json!({ "encoding": "utf8", "content": "thanks" }));
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(shown["attempts"][1]["error_class"], Value::Null);
}

pub(super) fn rejection(fixture: &Fixture, reason: Reason, source: Option<&str>) -> RejectedRequest {
    RejectedRequest {
        rejection: Rejection::new(reason, "what was found"),
        source: source.map(Into::into),
        at: fixture.clock.now(),
        client: Some([192, 0, 2, 7].into()),
        request_line: "POST /webhooks/appmint?x=1&token=canary".into(),
        headers: "content-type: text/plain\nx-note: a: b\n".into(),
        body: Bytes::from_static(b"not json"),
    }
}

#[tokio::test]
async fn rejections_are_listed_with_their_reasons() {
    let fixture = Fixture::new().await;
    for (reason, source) in [(Reason::SignatureMismatch, Some("appmint")), (Reason::UnknownPath, None)] {
        fixture.store.reject(rejection(&fixture, reason, source));
        fixture.clock.advance(Duration::from_secs(1));
    }
    let list = crate::support::eventually("both in the ledger", async || {
        let list = fixture.get("/v1/rejections").await.json();
        (list["data"].as_array().unwrap().len() == 2).then_some(list)
    })
    .await;
    let (newest, oldest) = (&list["data"][0], &list["data"][1]);
    assert_eq!(
        (&newest["reason"], &newest["status"], &newest["source"]),
        (&json!("unknown_path"), &json!(404), &Value::Null)
    );
    assert_eq!(
        (&oldest["reason"], &oldest["status"], &oldest["source"]),
        (&json!("signature_mismatch"), &json!(401), &json!("appmint"))
    );
    assert_eq!((&oldest["client"], &oldest["detail"]), (&json!("192.0.2.7"), &json!("what was found")));
    assert_eq!(oldest["request_line"], "POST /webhooks/appmint?x=1&token=[masked]");
    assert_eq!(oldest["headers"][1], json!({ "name": "x-note", "value": "a: b" }));
    assert_eq!(oldest["body"], json!({ "encoding": "utf8", "content": "not json" }));
    assert!(oldest["id"].as_str().unwrap().starts_with("rejection_"));
    for listed in [newest, oldest] {
        let alone = fixture.get(&format!("/v1/rejections/{}", listed["id"].as_str().unwrap())).await;
        assert_eq!(alone.json(), *listed, "the id that the sender was told leads to it");
    }
    assert_eq!(fixture.get("/v1/rejections/rejection_01kb9w3v1m0000000000000000").await.status, 404);
    let filtered = fixture.get("/v1/rejections?reason=unknown_path").await.json();
    assert_eq!(filtered["data"].as_array().unwrap().len(), 1);
    let after = fixture.get(&format!("/v1/rejections?starting_after={}", newest["id"].as_str().unwrap())).await.json();
    assert_eq!(after["data"], json!([oldest]));
}

#[tokio::test]
async fn sources_and_destinations_show_how_they_do() {
    let fixture = Fixture::new().await;
    fixture.admit(event(&fixture.clock, "a", "b"), &["crm", "gone"]).await;
    fixture.admit(event(&fixture.clock, "b", "b"), &["crm"]).await;
    fixture.metrics.source("appmint").received.inc_by(5);
    fixture.metrics.source("appmint").rejected(Reason::SignatureMismatch);
    fixture.metrics.destination("crm").breaker.set(BreakerState::Open);
    let sources = fixture.get("/v1/sources").await.json();
    assert_eq!(sources["data"][0]["name"], "appmint");
    assert_eq!(sources["data"][0]["path"], "/webhooks/appmint");
    assert_eq!(
        sources["data"][0]["since_start"],
        json!({ "received": 5, "accepted": 0, "duplicates": 0, "unrouted": 0, "rejected": 1 })
    );
    let destinations = fixture.get("/v1/destinations").await.json();
    let named = |name: &str| {
        let all = destinations["data"].as_array().unwrap();
        all.iter().find(|destination| destination["name"] == name).unwrap_or_else(|| panic!("no {name} in {all:?}"))
    };
    assert_eq!((&named("crm")["breaker"], &named("crm")["state"]), (&json!("open"), &json!("active")));
    assert_eq!((&named("crm")["queue"]["pending"], &named("crm")["queue"]["max"]), (&json!(2), &json!(1_000_000)));
    let since: Timestamp = fixture.clock.now();
    assert_eq!(named("crm")["queue"]["oldest_due_at"], since.to_string());
    assert_eq!(named("log")["queue"]["pending"], 0);
    assert_eq!((&named("gone")["state"], &named("gone")["queue"]["held"]), (&json!("removed"), &json!(1)));
}

#[tokio::test]
async fn stats_add_up_what_was_counted() {
    let fixture = Fixture::new().await;
    fixture.metrics.source("appmint").accept_duration.observe(Duration::from_millis(3));
    for id in ["a", "b", "c"] {
        fixture.admit(event(&fixture.clock, id, "x"), &["crm"]).await;
    }
    fixture.admit(event(&fixture.clock, "unrouted", "x"), &[]).await;
    fixture.store.reject(rejection(&fixture, Reason::SignatureMismatch, Some("appmint")));
    for (claim, next) in fixture.claim("crm").await.iter().zip([Next::Succeeded, DEAD, Next::RetryAt(START)]) {
        fixture.store.settle(claim, settled(claim, &fixture.clock, 200, b"", next));
    }
    let stats = fixture.get("/v1/stats").await.json();
    let expected = json!({ "name": "appmint", "received": 5, "accepted": 4, "duplicates": 0, "unrouted": 1, "rejected": 1,
        "rejections": { "signature_mismatch": 1 }, "accept_time_mean": 3.0 });
    assert_eq!(stats["sources"], json!([expected]));
    let expected = json!({ "name": "crm", "attempts": 3, "succeeded": 1, "dead": 1, "expired": 0, "cancelled": 0,
        "success_rate": 0.5, "response_time_mean": 12.0 });
    assert_eq!(stats["destinations"][0], expected);
    assert_eq!(stats["destinations"][1]["success_rate"], Value::Null);
    assert_eq!(stats["destinations"][1]["response_time_mean"], Value::Null);
}
