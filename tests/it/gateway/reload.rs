//! Promise 8: reload is atomic and loses no request; a bad configuration changes nothing and is reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use crate::support::{Gateway, PATIENCE, SECRET, Sender, Sink, appmint_to, event, eventually};

/// A load on several connections; stops when told and gives the number of events that were acknowledged.
async fn under_load(gateway: &Gateway, during: impl AsyncFnOnce()) -> usize {
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for connection in 0..8 {
        let mut sender = Sender::new(gateway);
        let stop = Arc::clone(&stop);
        tasks.spawn(async move {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                let body = event(&format!("evt_{connection}_{sent}"), "payment.succeeded");
                let reply = sender.try_send(&body).await.unwrap_or_else(|error| panic!("a request failed: {error}"));
                assert_eq!(reply.status, 200, "{reply:?}");
                sent += 1;
            }
            sent
        });
    }
    during().await;
    stop.store(true, Ordering::Relaxed);
    tasks.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_load_fail_no_request_and_lose_no_event() {
    let (crm, analytics) = (Sink::start().await, Sink::start().await);
    let one = appmint_to(&[("crm", &crm)]);
    let two = appmint_to(&[("crm", &crm), ("analytics", &analytics)]);
    let gateway = Gateway::start(&one).await;
    let sent = under_load(&gateway, async || {
        for round in 0..100 {
            gateway.reload(if round % 2 == 0 { &two } else { &one }).await;
        }
        gateway.reload(&two).await;
    })
    .await;
    assert!(sent > 100, "{sent} events are no load");
    gateway.drained(PATIENCE).await;
    assert_eq!(crm.count(), sent, "each event once");
    assert!(analytics.count() > 0 && analytics.count() <= sent);
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_and_is_reported_with_its_place() {
    let sink = Sink::start().await;
    let good = appmint_to(&[("crm", &sink)]);
    let gateway = Gateway::start(&good).await;
    assert_eq!((gateway.reloads("ok").await, gateway.reloads("failed").await), (0, 0), "a start is no reload");
    let mut number = 0;
    for (name, bad, words) in [
        (
            "unknown key",
            good.replace("path: /in", "path: /elsewhere\n    pathh: /in"),
            &["pathh", "did you mean `path`", "hookward.yaml:7:5"][..],
        ),
        ("no YAML", format!("{good}\n  }}{{: ["), &[]),
        ("unknown destination", good.replace("to: [crm]", "to: [crn]"), &["crn"]),
        (
            "key of a later feature",
            good.replace("path: /in", "path: /elsewhere\n    mode: proxy\n    app: http://x"),
            &["mode"],
        ),
        ("empty", String::from("sources: {}\n"), &[]),
    ] {
        let before = gateway.reloads("failed").await;
        let log_before = gateway.log().len();
        gateway.configure(&bad);
        gateway.hang_up();
        eventually(name, async || (gateway.reloads("failed").await > before).then_some(())).await;
        let said = gateway.log()[log_before..].to_owned();
        for word in words {
            assert!(said.contains(word), "{name}: no {word:?} in {said}");
        }
        number += 1;
        let reply = Sender::new(&gateway).send(&event(&format!("evt_{number}"), "payment.succeeded")).await;
        assert_eq!(reply.status, 200, "{name}: the old configuration stays");
        sink.wait_for(number).await;
        assert_eq!(gateway.get("/readyz").await.status, 200, "{name}");
    }
    gateway.reload(&good).await;
}

#[tokio::test]
async fn a_reload_cannot_move_the_listeners_or_the_store_and_says_so() {
    let sink = Sink::start().await;
    let good = appmint_to(&[("crm", &sink)]);
    let gateway = Gateway::start(&good).await;
    for (section, changed) in [
        ("listen", "ingress: { listen: \"127.0.0.1:1\" }"),
        ("listen", "admin: { listen: \"127.0.0.1:1\" }"),
        ("store", "store: { path: \"@DIR@/elsewhere\" }"),
    ] {
        let before = gateway.reloads("failed").await;
        let log_before = gateway.log().len();
        gateway.configure(&format!("{changed}\n{good}"));
        gateway.hang_up();
        eventually(section, async || (gateway.reloads("failed").await > before).then_some(())).await;
        assert!(gateway.log()[log_before..].contains(section), "{changed}");
        assert!(!gateway.folder().join("elsewhere").exists());
    }
    assert_eq!(Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await.status, 200);
}

#[tokio::test]
async fn a_changed_file_is_read_without_a_signal_and_secrets_with_it() {
    let sink = Sink::start().await;
    let secret_file = "secrets: [{ file: \"@DIR@/secret\" }]";
    let config = appmint_to(&[("crm", &sink)]).replace(&format!("secrets: [\"{SECRET}\"]"), secret_file);
    let mut gateway = Gateway::prepare(&config);
    std::fs::write(gateway.folder().join("secret"), "the first\n").unwrap();
    gateway.run().await;
    let status = async |secret: &str, id: &str| {
        Sender::to(gateway.ingress(), "/in", secret).send(&event(id, "payment.succeeded")).await.status
    };
    assert_eq!((status("the first", "evt_1").await, status("the second", "evt_1").await), (200, 401));
    std::fs::write(gateway.folder().join("secret"), "the second\n").unwrap();
    gateway.configure(&format!("{config}# changed\n"));
    eventually("the new secret", async || (status("the second", "evt_2").await == 200).then_some(())).await;
    assert_eq!(status("the first", "evt_3").await, 401);
}
