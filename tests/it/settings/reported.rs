//! `sources.*.enforce: report`, in both modes.

use super::{send, with_source};
use crate::support::{Gateway, Hit, Sink, eventually};

const GUARDS: &str = "enforce: report, allow_ips: [192.0.2.1], verify: { scheme: token, header: x-token, \
                      secrets: of-the-test, id: 'body:/id', type: 'body:/type' }";

/// What is marked, counted and noted of one request without a token from an address that is not on the list.
async fn check(gateway: &Gateway, hit: &Hit) {
    assert_eq!(hit.header("hookward-reported"), "address_not_allowed, signature_missing");
    assert_eq!(hit.header("hookward-event-type"), "order.paid", "the guards behind it are asked all the same");
    let metrics = gateway.metrics().await;
    for (name, expected) in [("reported", 1.0), ("rejected", 0.0)] {
        let name = format!("hookward_requests_{name}_total");
        let counted = metrics.sum(&name, &[("source", "a"), ("reason", "address_not_allowed")]);
        assert_eq!(counted, expected, "{name}");
    }
    let noted = eventually("both reasons in the ledger", async || {
        let noted = gateway.list("/v1/rejections").await;
        (noted.len() >= 2).then_some(noted)
    })
    .await;
    for entry in &noted {
        assert!(entry.to_string().contains("let through (enforce: report)"), "{entry}");
        assert!(!entry.to_string().contains("of-the-test"), "{entry}");
    }
    let line = eventually("the line of the access log", async || {
        gateway.log().lines().find(|line| line.contains("address_not_allowed")).map(str::to_owned)
    })
    .await;
    assert!(line.contains("\"status\":200") && line.contains("\"event_id\":\"evt_"), "{line}");
}

#[tokio::test]
async fn guards_that_only_report_let_everything_through_marked_counted_and_noted() {
    let sink = Sink::start().await;
    let body = "{\"id\":\"1\",\"type\":\"order.paid\"}";
    let forged = |request: http::request::Builder| request.header("hookward-reported", "nothing");
    let queue = with_source(GUARDS, &sink).await;
    assert_eq!(send(&queue, forged, body).await.status, 200);
    check(&queue, &sink.wait_for(1).await[0]).await;
    // Nobody who is not believed makes a genuine event a copy.
    let genuine = send(&queue, |request| request.header("x-token", "of-the-test"), body).await;
    assert!(genuine.status == 200 && !genuine.is_duplicate(), "{genuine:?}");

    let app = Sink::start().await;
    let url = app.url("");
    let proxied =
        Gateway::start(&format!("sources: {{ a: {{ path: /in, mode: proxy, app: \"{url}\", {GUARDS} }} }}\n")).await;
    assert_eq!(send(&proxied, forged, body).await.status, 200);
    check(&proxied, &app.wait_for(1).await[0]).await;
}

#[tokio::test]
async fn what_passes_every_guard_is_not_marked_and_bounds_hold_all_the_same() {
    let sink = Sink::start().await;
    let settings =
        GUARDS.replace("192.0.2.1", "127.0.0.1").replace("enforce: report", "enforce: report, body_bytes_max: 100B");
    let gateway = with_source(&settings, &sink).await;
    let body = "{\"id\":\"1\",\"type\":\"order.paid\"}";
    let genuine = |request: http::request::Builder| request.header("x-token", "of-the-test");
    assert_eq!(send(&gateway, genuine, body).await.status, 200);
    assert_eq!(sink.wait_for(1).await[0].header("hookward-reported"), "");
    assert!(send(&gateway, genuine, body).await.is_duplicate());
    let large = send(&gateway, genuine, vec![b' '; 101]).await;
    assert_eq!((large.status, large.code().as_str()), (413, "body_too_large"));
}
