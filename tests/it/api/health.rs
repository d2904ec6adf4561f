//! `/livez` and `/readyz`: ready only while senders should come, with the reasons.

use hookward::store::Store;
use http::Method;
use serde_json::Value;

use super::fixture::{Fixture, START};

async fn ready(fixture: &Fixture) -> (u16, Value) {
    let reply = fixture.ask(Method::GET, "/readyz", &[]).await;
    let alias = fixture.ask(Method::GET, "/healthz", &[]).await;
    assert_eq!((reply.status, &reply.body), (alias.status, &alias.body));
    (reply.status, reply.json())
}

#[tokio::test]
async fn ready_until_it_drains() {
    let fixture = Fixture::new().await;
    fixture.readiness.config_loaded(START);
    let (status, said) = ready(&fixture).await;
    assert_eq!((status, &said["status"], &said["durability"]), (200, &Value::from("ready"), &Value::from("strict")));
    assert_eq!(said["config"]["loaded_at"], "2026-11-23T18:00:00.000Z");
    fixture.readiness.set_draining();
    let (status, said) = ready(&fixture).await;
    assert_eq!((status, &said["status"]), (503, &Value::from("not_ready")));
    assert!(said["reasons"][0].as_str().unwrap().starts_with("draining"));
    assert_eq!(fixture.ask(Method::GET, "/livez", &[]).await.status, 200, "alive all the same");
}

#[tokio::test]
async fn a_refused_configuration_and_relaxed_durability_are_shown_but_do_not_stop_traffic() {
    let fixture = Fixture::new().await;
    fixture.readiness.config_refused(START, "hookward.yaml:3:5: unknown key");
    fixture.readiness.set_relaxed(true);
    let (status, said) = ready(&fixture).await;
    assert_eq!((status, &said["durability"]), (200, &Value::from("relaxed")));
    assert_eq!(said["config"]["error"], "hookward.yaml:3:5: unknown key");
    fixture.readiness.config_loaded(START);
    assert_eq!(ready(&fixture).await.1["config"]["error"], Value::Null);
}

#[tokio::test]
async fn a_store_that_takes_nothing_makes_it_not_ready() {
    let fixture = Fixture::new().await;
    fixture.store.close().await.unwrap();
    let (status, said) = ready(&fixture).await;
    assert_eq!(status, 503);
    assert!(said["reasons"][0].as_str().unwrap().starts_with("store: "), "{said}");
    let scrape = fixture.ask(Method::GET, "/metrics", &[]).await;
    assert!(String::from_utf8_lossy(&scrape.body).contains("\nhookward_store_ready 0\n"));
}
