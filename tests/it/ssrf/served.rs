//! The same through `hookward serve`, end to end: webhooks at names that change their mind, and at names that nobody answers for.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::name_server::{Family, NameServer};
use super::rebinding::{PUBLIC, listeners};
use crate::outbound::SECRETS_KEY;
use crate::support::{Gateway, Names, Sink, eventually, join_all};

/// A gateway that asks this server, and may call this network.
async fn gateway(names: &Names, allow_private: &str, more: &str) -> Gateway {
    let mut gateway = Gateway::prepare(&format!(
        "outbound: {{ enabled: true, allow_private: [{allow_private}], secrets_key: \"{SECRETS_KEY}\"{more} }}\n"
    ));
    gateway.under(names.command());
    gateway.run().await;
    gateway
}

async fn register(gateway: &Gateway, url: &str, event_type: &str) -> String {
    let reply = gateway.post("/v1/webhooks", &json!({ "url": url, "events": [event_type] })).await;
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()["id"].as_str().unwrap().to_owned()
}

async fn emit(gateway: &Gateway, event_type: &str) {
    let reply = gateway.post("/v1/events", &json!({ "type": event_type, "data": {} })).await;
    assert_eq!(reply.status, 202);
}

async fn log(gateway: &Gateway, webhook: &str) -> Vec<Value> {
    gateway.list(&format!("/v1/webhooks/{webhook}/deliveries?limit=100")).await
}

/// Nothing that a customer reads says where a name led.
async fn refused(gateway: &Gateway, row: &Value) {
    let shown = gateway.get(&format!("/v1/deliveries/{}", row["id"].as_str().unwrap())).await.json();
    for attempt in shown["attempts"].as_array().unwrap() {
        let error = attempt["error"].as_str().unwrap_or_default();
        assert!(attempt["error_class"] == "connect" || attempt["response_code"] == 200, "{attempt}");
        for secret in ["127.", "::", "loopback", "private"] {
            assert!(!error.contains(secret), "{attempt}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_flips_after_it_was_saved_leads_to_no_address_that_may_not_be_called() {
    let (flips, trapped) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let sprung = Arc::clone(&trapped);
    let (server, _server) = NameServer::anywhere(move |name, family| {
        let list = |texts: &[&str]| Some(texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect());
        match (name.split('.').next().unwrap(), family, sprung.load(Ordering::SeqCst)) {
            ("trap", Family::V4, false) => list(&[PUBLIC]),
            ("trap", Family::V4, true) => list(&["127.0.0.1"]),
            ("trap6", Family::V4, false) => list(&[PUBLIC]),
            ("trap6", Family::V6, true) => list(&["::1"]),
            ("flip", Family::V4, _) => list(&[[PUBLIC, "127.0.0.1"][flips.fetch_add(1, Ordering::SeqCst) % 2]]),
            ("inside", Family::V4, _) => list(&[PUBLIC, "127.9.0.1"]),
            _ => list(&[]),
        }
    });
    let (port, public, forbidden) = listeners();
    let forbidden = || forbidden.iter().map(|count| count.load(Ordering::SeqCst)).sum::<usize>();
    let names = Names::of_server(server, "timeout:2 attempts:2");
    let gateway = gateway(&names, "127.8.0.0/16", "").await;
    let url = |name: &str| format!("http://{name}.rebind.test:{port}/hook");

    let reply = gateway.post("/v1/webhooks", &json!({ "url": url("inside"), "events": ["*"] })).await;
    assert_eq!((reply.status, &reply.json()["errors"][0]["pointer"]), (400, &json!("#/url")));

    let (trap, trap6) = (register(&gateway, &url("trap"), "a").await, register(&gateway, &url("trap6"), "a").await);
    trapped.store(true, Ordering::SeqCst);
    emit(&gateway, "a").await;
    for webhook in [&trap, &trap6] {
        let row = eventually("an attempt that was refused", async || {
            let rows = log(&gateway, webhook).await;
            rows.into_iter().find(|row| row["attempt_count"].as_u64() >= Some(1))
        })
        .await;
        assert_eq!(row["outcome"], "connect");
        refused(&gateway, &row).await;
    }
    assert_eq!((public.load(Ordering::SeqCst), forbidden()), (0, 0));

    // Whether it may be saved is a matter of when: asked until it may.
    let flip = eventually("a moment in which it looks harmless", async || {
        let reply = gateway.post("/v1/webhooks", &json!({ "url": url("flip"), "events": ["b"] })).await;
        (reply.status == 201).then(|| reply.json()["id"].as_str().unwrap().to_owned())
    })
    .await;
    let rows = eventually("both of its faces", async || {
        emit(&gateway, "b").await;
        let rows = log(&gateway, &flip).await;
        let is = |outcome: &str| rows.iter().any(|row| row["outcome"] == outcome);
        (is("succeeded") && is("connect")).then_some(rows)
    })
    .await;
    for row in &rows {
        refused(&gateway, row).await;
    }
    assert!(public.load(Ordering::SeqCst) > 0, "its other face was called");
    assert_eq!(forbidden(), 0);
}

/// How many webhooks are at names that nobody answers for.
const SILENT: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_server_that_goes_silent_keeps_its_own_names_waiting_and_nobody_else() {
    let (silent, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(HashSet::new())));
    let (is_silent, noted) = (Arc::clone(&silent), Arc::clone(&asked));
    let (server, _server) = NameServer::anywhere(move |name, family| {
        if name.ends_with("silent.test") && is_silent.load(Ordering::SeqCst) {
            noted.lock().unwrap().insert(name.to_owned());
            return None;
        }
        Some(if family == Family::V4 { vec![Ipv4Addr::LOCALHOST.into()] } else { Vec::new() })
    });
    let sink = Sink::start().await;
    // Longer than the test: a look-up that has begun does not end.
    let names = Names::of_server(server, "timeout:30 attempts:1");
    let gateway = gateway(&names, "127.0.0.0/8", ", timeout: 1s").await;
    let url = |name: &str| format!("http://{name}:{}/hook", sink.address().port());
    let quick = register(&gateway, &url("hook.quick.test"), "*").await;
    let urls: Vec<_> = (0..SILENT).map(|number| url(&format!("n{number}.silent.test"))).collect();
    let waiting = join_all(urls.iter().map(|url| register(&gateway, url, "*")).collect()).await;
    silent.store(true, Ordering::SeqCst);
    for number in 1..=5 {
        emit(&gateway, "a").await;
        sink.wait_for(number).await;
    }
    let all_tried = eventually("an attempt to each of them", async || {
        let mut tried = 0;
        for webhook in &waiting {
            tried += usize::from(log(&gateway, webhook).await.iter().any(|row| row["outcome"] == "timeout"));
        }
        (tried == SILENT).then_some(tried)
    })
    .await;
    assert_eq!(all_tried, SILENT);
    let asked_at_once = asked.lock().unwrap().len();
    assert_eq!(asked_at_once, 4, "of one zone so many are looked up at once, whoever gave up meanwhile");
    // Whoever registers another one now does not wait for those.
    register(&gateway, &url("other.quick.test"), "b").await;
    emit(&gateway, "b").await;
    sink.wait_for(7).await;
    assert!(log(&gateway, &quick).await.iter().all(|row| row["status"] == "succeeded"));
}
