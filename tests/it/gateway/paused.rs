//! What a person pauses waits, durably, and goes when it is resumed.

use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, SECRET, Sender, Sink, appmint_to, event, eventually, hookward};

async fn act(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway.post(path, &json!({})).await;
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

/// Waits until so many deliveries are in this state.
async fn count(gateway: &Gateway, state: &str, expected: usize) -> Vec<Value> {
    eventually(&format!("{expected} {state}"), async || {
        let rows = gateway.list(&format!("/v1/deliveries?limit=100&status={state}")).await;
        (rows.len() == expected).then_some(rows)
    })
    .await
}

#[tokio::test]
async fn a_paused_destination_holds_its_deliveries_across_kill_9_and_reload_until_it_is_resumed() {
    let (crm, log) = (Sink::start().await, Sink::start().await);
    let config = appmint_to(&[("crm", &crm), ("log", &log)]);
    let mut gateway = Gateway::start(&config).await;
    assert_eq!(act(&gateway, "/v1/destinations/crm/pause").await["state"], "paused");
    let mut sender = Sender::new(&gateway);
    for number in 0..3 {
        assert_eq!(sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await.status, 200);
    }
    log.wait_for(3).await;
    count(&gateway, "held", 3).await;
    gateway.kill();
    gateway.run().await;
    gateway.reload(&format!("{config}  third: {{ discard: true }}\n")).await;
    assert_eq!(Sender::new(&gateway).send(&event("evt_3", "payment.succeeded")).await.status, 200);
    log.wait_for(4).await;
    count(&gateway, "held", 4).await;
    let listed = gateway.list("/v1/destinations").await;
    let shown = |name: &str| listed.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!((&shown("crm")["state"], &shown("crm")["queue"]["held"]), (&json!("paused"), &json!(4)));
    assert_eq!(shown("log")["state"], "active");
    assert_eq!(crm.count(), 0);
    // By the command line, as a person does it at night.
    let admin = format!("http://{}", gateway.admin());
    let destinations = |act: &[&str]| hookward(&[&["destinations", "--admin", &admin], act].concat(), &[]);
    let out = destinations(&[]);
    assert!(String::from_utf8_lossy(&out.stdout).lines().any(|line| line.contains("crm") && line.contains("paused")));
    let out = destinations(&["resume", "crm"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "crm: active\n", "{}", String::from_utf8_lossy(&out.stderr));
    crm.wait_for(4).await;
    gateway.drained(PATIENCE).await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
    gateway.run().await;
    assert_eq!(gateway.list("/v1/destinations").await[0]["state"], "active", "that it was resumed is kept, too");
    assert_eq!((crm.count(), log.count()), (4, 4));
}

/// Two sources to one destination.
fn two_sources(crm: &Sink) -> String {
    let source = |name: &str, path: &str| {
        format!("  {name}: {{ path: {path}, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n")
    };
    format!(
        "sources:\n{}{}{}routes:\n  - {{ from: \"*\", to: [crm] }}\ndestinations:\n  crm: {{ url: \"{}\" }}\n",
        source("appmint", "/in"),
        source("other", "/other"),
        "  passing: { path: /passing, mode: proxy, app: \"http://127.0.0.1:9\", verify: { scheme: none } }\n",
        crm.url("/hook")
    )
}

#[tokio::test]
async fn events_of_a_paused_source_are_kept_and_wait_across_kill_9_and_other_sources_do_not() {
    let crm = Sink::start().await;
    let mut gateway = Gateway::start(&two_sources(&crm)).await;
    assert_eq!(act(&gateway, "/v1/sources/appmint/pause").await["state"], "paused");
    for number in 0..3 {
        let reply = Sender::new(&gateway).send(&event(&format!("evt_{number}"), "payment.succeeded")).await;
        assert_eq!(reply.status, 200, "its senders notice nothing");
    }
    let mut other = Sender::to(gateway.ingress(), "/other", SECRET);
    other.send(&event("evt_other", "payment.succeeded")).await;
    crm.wait_for(1).await;
    let waiting = count(&gateway, "pending", 3).await;
    assert!(waiting.iter().all(|row| row["next_attempt_at"].is_null() && row["source"] == "appmint"), "{waiting:?}");
    gateway.kill();
    gateway.run().await;
    assert_eq!(Sender::new(&gateway).send(&event("evt_3", "payment.succeeded")).await.status, 200);
    // A copy is a copy, also while its first one waits.
    let copy = Sender::new(&gateway).send(&event("evt_3", "payment.succeeded")).await;
    assert_eq!(copy.header("hookward-duplicate"), "true");
    Sender::to(gateway.ingress(), "/other", SECRET).send(&event("evt_another", "payment.succeeded")).await;
    crm.wait_for(2).await;
    count(&gateway, "pending", 4).await;
    assert_eq!(gateway.list("/v1/sources").await[0]["state"], "paused");
    assert!(crm.hits().iter().all(|hit| hit.header("hookward-source") == "other"));

    assert_eq!(act(&gateway, "/v1/sources/appmint/resume").await["state"], "active");
    crm.wait_for(6).await;
    Sender::new(&gateway).send(&event("evt_4", "payment.succeeded")).await;
    crm.wait_for(7).await;
    gateway.drained(PATIENCE).await;
    assert_eq!(crm.count(), 7, "each once");
}

#[tokio::test]
async fn a_crash_right_after_a_source_was_resumed_leaves_nothing_waiting() {
    let crm = Sink::start().await;
    let mut gateway = Gateway::start(&two_sources(&crm)).await;
    act(&gateway, "/v1/sources/appmint/pause").await;
    // Held for another reason too, so that nothing goes before the crash.
    act(&gateway, "/v1/destinations/crm/pause").await;
    for number in 0..3 {
        Sender::new(&gateway).send(&event(&format!("evt_{number}"), "payment.succeeded")).await;
    }
    act(&gateway, "/v1/sources/appmint/resume").await;
    gateway.kill();
    gateway.run().await;
    assert_eq!(crm.count(), 0);
    act(&gateway, "/v1/destinations/crm/resume").await;
    crm.wait_for(3).await;
    gateway.drained(PATIENCE).await;
    assert_eq!(crm.count(), 3);
}

#[tokio::test]
async fn what_is_not_there_or_passes_on_cannot_be_paused() {
    let crm = Sink::start().await;
    let gateway = Gateway::start(&two_sources(&crm)).await;
    for (path, status, code) in [
        ("/v1/sources/nobody/pause", 404, "not_found"),
        ("/v1/destinations/nobody/pause", 404, "not_found"),
        ("/v1/sources/passing/pause", 409, "source_passes_on"),
    ] {
        let reply = gateway.post(path, &json!({})).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{path}");
    }
}
