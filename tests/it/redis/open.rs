//! Proxy mode while Redis is away: refused, or passed on and marked, as `fail` says.

use crate::support::{Gateway, RedisServer, SECRET, Sender, Sink, event, eventually};

/// Two sources in front of one app, one of which goes on without the store.
fn config(store: &str, app: &Sink) -> String {
    let source = |name: &str, fail: &str| {
        format!(
            "  {name}: {{ path: /{name}, mode: proxy, app: \"{}\", verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }}{fail} }}\n",
            app.url("")
        )
    };
    format!("{store}sources:\n{}{}", source("closed", ""), source("open", ", fail: open"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_a_source_that_fails_open_goes_on_and_says_so() {
    let (mut redis, app) = (RedisServer::start(), Sink::start().await);
    let gateway = Gateway::start(&config(&redis.store(""), &app)).await;
    let send = async |source: &str, id: &str| {
        Sender::to(gateway.ingress(), &format!("/{source}"), SECRET).send(&event(id, "order.paid")).await
    };
    for source in ["closed", "open"] {
        assert_eq!(send(source, "evt_1").await.status, 200);
        assert!(send(source, "evt_1").await.is_duplicate());
    }
    assert!(app.hits().iter().all(|hit| hit.header("hookward-dedup").is_empty()));

    redis.kill();
    let warning = eventually("its absence is said", async || {
        let ready = gateway.get("/readyz").await;
        let json = ready.json();
        let warnings = json["warnings"].to_string();
        (ready.status == 200 && warnings.contains("store: ")).then_some(warnings)
    })
    .await;
    assert!(warning.contains("dedup is off for open, other sources are refused"), "{warning}");
    let refused = send("closed", "evt_2").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
    assert!(!refused.header("retry-after").is_empty());
    // The guards that need no store go on, and a copy is passed on like the first.
    let forged = Sender::to(gateway.ingress(), "/open", "wrong").send(&event("evt_2", "order.paid")).await;
    assert_eq!(forged.status, 401);
    for _ in 0..2 {
        let reply = send("open", "evt_2").await;
        assert_eq!((reply.status, reply.is_duplicate()), (200, false));
        assert!(reply.header("hookward-event-id").starts_with("evt_"));
    }
    let hits = app.wait_for(4).await;
    let marked: Vec<_> = hits.iter().filter(|hit| hit.header("hookward-dedup") == "off").collect();
    assert_eq!(marked.len(), 2);
    assert!(marked.iter().all(|hit| hit.header("hookward-source-event-id") == "evt_2"));
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("hookward_dedup_skipped_total", &[("source", "open")]), 2.0);
    assert_eq!(metrics.sum("hookward_store_ready", &[]), 0.0);

    redis.run();
    eventually("dedup again", async || {
        let reply = send("open", "evt_1").await;
        reply.is_duplicate().then_some(())
    })
    .await;
    assert_eq!(gateway.get("/readyz").await.json()["warnings"].as_array().map(Vec::len), Some(0));
}

/// Without the source that goes on there is nothing to do: not ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_fails_closed_is_the_default() {
    let (mut redis, app) = (RedisServer::start(), Sink::start().await);
    let config = config(&redis.store(""), &app);
    let (closed, _) = config.rsplit_once("  open:").unwrap();
    let gateway = Gateway::start(closed).await;
    redis.kill();
    eventually("not ready", async || (gateway.get("/readyz").await.status == 503).then_some(())).await;
    let reply = Sender::to(gateway.ingress(), "/closed", SECRET).send(&event("evt_1", "order.paid")).await;
    assert_eq!(reply.status, 503);
    assert!(app.hits().is_empty());
}
