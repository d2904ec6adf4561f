//! `sources.*` but for `verify`.

use http::Method;

use super::{send, with_source};
use crate::support::{Gateway, Sink, eventually};

const OPEN: &str = "verify: { scheme: none, id: 'body:/id' }";

/// The status of each request in turn: a header `x-key` and a body.
async fn statuses(gateway: &Gateway, requests: &[(&str, &str)]) -> Vec<(u16, bool)> {
    let mut statuses = Vec::new();
    for (key, body) in requests {
        let reply = send(gateway, |request| request.header("x-key", *key), (*body).to_owned()).await;
        statuses.push((reply.status, reply.is_duplicate()));
    }
    statuses
}

const KEPT: (u16, bool) = (200, false);
const COPY: (u16, bool) = (200, true);

#[tokio::test]
async fn only_the_methods_of_a_source_are_taken() {
    let sink = Sink::start().await;
    let gateway = with_source(&format!("methods: [PUT, DELETE], {OPEN}"), &sink).await;
    let refused = send(&gateway, |request| request, "{\"id\":\"1\"}").await;
    assert_eq!((refused.status, refused.header("allow")), (405, "PUT, DELETE"));
    let taken = send(&gateway, |request| request.method(Method::PUT), "{\"id\":\"1\"}").await;
    assert_eq!(taken.status, 200, "{taken:?}");
    assert_eq!(sink.wait_for(1).await[0].method, Method::PUT);
}

#[tokio::test]
async fn only_the_content_types_of_a_source_are_taken() {
    let sink = Sink::start().await;
    let gateway = with_source("content_types: [text/plain], dedup: off, verify: { scheme: none }", &sink).await;
    assert_eq!(send(&gateway, |request| request, "x").await.status, 415);
    let request = |request: http::request::Builder| {
        let mut request = request;
        request.headers_mut().unwrap().insert("content-type", "text/plain; charset=utf-8".parse().unwrap());
        request
    };
    assert_eq!(send(&gateway, request, "x").await.status, 200);
}

#[tokio::test]
async fn a_source_has_its_own_bound_of_the_body() {
    let sink = Sink::start().await;
    let gateway = with_source("body_bytes_max: 2MiB, dedup: off, verify: { scheme: none }", &sink).await;
    // More than ingress.body_bytes_max, and no more than the source's own.
    assert_eq!(send(&gateway, |request| request, vec![b'x'; 2 << 20]).await.status, 200);
    assert_eq!(send(&gateway, |request| request, vec![b'x'; (2 << 20) + 1]).await.status, 413);
}

#[tokio::test]
async fn a_list_of_addresses_may_be_a_file() {
    let sink = Sink::start().await;
    for (list, status) in [("127.0.0.0/8 # here\n", 200), ("# nobody here\n10.0.0.0/8\n", 403)] {
        let mut gateway = Gateway::prepare("");
        std::fs::write(gateway.folder().join("list"), list).unwrap();
        gateway.configure(&format!(
            "sources:\n  a: {{ path: /in, allow_ips: {{ file: list }}, {OPEN} }}\nroutes: [{{ from: a, to: crm }}]\n\
             destinations:\n  crm: {{ url: \"{}\" }}\n",
            sink.url("/hook")
        ));
        gateway.run().await;
        assert_eq!(send(&gateway, |request| request, "{\"id\":\"1\"}").await.status, status, "{list}");
    }
}

#[tokio::test]
async fn a_rate_by_header_counts_each_value_with_its_burst() {
    let sink = Sink::start().await;
    let limit = "rate_limit: { requests: 1, per: 1h, burst: 2, by: 'header:x-key' }, dedup: off";
    let gateway = with_source(&format!("{limit}, verify: {{ scheme: none }}"), &sink).await;
    let statuses = statuses(&gateway, &[("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("b", "5"), ("b", "6")]).await;
    assert_eq!(statuses.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 429, 200, 200, 429]);
}

#[tokio::test]
async fn a_rate_fills_up_again_in_its_time() {
    let sink = Sink::start().await;
    let limit = "rate_limit: { requests: 2, per: 2s, burst: 1, by: source }, dedup: off";
    let gateway = with_source(&format!("{limit}, verify: {{ scheme: none }}"), &sink).await;
    assert_eq!(send(&gateway, |request| request, "1").await.status, 200);
    let refused = send(&gateway, |request| request, "2").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    eventually("room for one more", async || {
        (send(&gateway, |request| request, "3").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn copies_are_told_by_what_dedup_says() {
    let sink = Sink::start().await;
    let requests = [
        ("k1", r#"{"id":"1","data":{"n":1}}"#),
        ("k1", r#"{"id":"2","data":{"n":2}}"#),
        ("k2", r#"{"id":"1","data":{"n":1}}"#),
        ("k3", r#"{"id":"3","data":{"n":1}}"#),
    ];
    for (dedup, expected) in [
        ("{ by: id }", [KEPT, KEPT, COPY, KEPT]),
        ("{ by: body }", [KEPT, KEPT, COPY, KEPT]),
        ("{ by: 'header:x-key' }", [KEPT, COPY, KEPT, KEPT]),
        ("{ by: /data/n }", [KEPT, KEPT, COPY, COPY]),
        ("off", [KEPT, KEPT, KEPT, KEPT]),
    ] {
        // The id is signed by nobody here, so that `by: id` would ask for the body as well; it is the same.
        let gateway = with_source(&format!("dedup: {dedup}, {OPEN}"), &sink).await;
        assert_eq!(statuses(&gateway, &requests).await, expected, "{dedup}");
    }
}

#[tokio::test]
async fn a_copy_beyond_the_window_is_an_event_of_its_own() {
    let sink = Sink::start().await;
    let gateway = with_source(&format!("dedup: {{ window: 1s }}, {OPEN}"), &sink).await;
    let body = "{\"id\":\"1\"}";
    assert_eq!(statuses(&gateway, &[("", body), ("", body)]).await, [KEPT, COPY]);
    eventually("the end of the window", async || (statuses(&gateway, &[("", body)]).await == [KEPT]).then_some(()))
        .await;
}

#[tokio::test]
async fn a_queue_that_enforces_refuses_what_is_not_signed_and_keeps_what_is() {
    let sink = Sink::start().await;
    let verify = "verify: { scheme: token, header: x-token, secrets: of-the-test, id: 'body:/id' }";
    let gateway = with_source(&format!("mode: queue, enforce: on, {verify}"), &sink).await;
    assert_eq!(send(&gateway, |request| request, "{\"id\":\"1\"}").await.status, 401);
    let reply = send(&gateway, |request| request.header("x-token", "of-the-test"), "{\"id\":\"1\"}").await;
    assert!(reply.status == 200 && reply.header("hookward-event-id").starts_with("evt_"), "{reply:?}");
    assert_eq!(sink.wait_for(1).await.len(), 1);
}
