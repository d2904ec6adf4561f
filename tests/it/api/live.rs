//! A whole gateway from outside: its access log and its metrics say what happened.

use bytes::Bytes;
use http_body_util::Full;
use serde_json::Value;

use crate::support::{Answer, Client, Gateway, Sender, Sink, appmint_to, event, eventually, raw, sign};

/// The lines of the access log: JSON with a status, among the lines of the log.
fn access_lines(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("request_id").is_some() && line.get("status").is_some()).collect()
}

async fn access_line(gateway: &Gateway, path: &str) -> Value {
    eventually(&format!("the line of {path}"), async || {
        access_lines(gateway).into_iter().find(|line| line["path"] == path)
    })
    .await
}

#[tokio::test]
async fn a_request_is_followed_from_the_access_log_to_its_destination() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let mut sender = Sender::new(&gateway);
    let body = event("evt_1", "payment.failed");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{trace}-b7ad6b7169203331-01");
    let request = sender.request(&body).uri("/in?token=canary-query");
    let request =
        request.header("traceparent", &traceparent).header("user-agent", "tests/1").header("x-request-id", "forged");
    let reply = sender.send_as(request, &body).await;
    assert_eq!(reply.status, 200);
    let id = reply.header("hookward-event-id").to_owned();
    let line = access_line(&gateway, "/in").await;
    for (field, value) in [
        ("method", Value::from("POST")),
        ("status", 200.into()),
        ("source", "appmint".into()),
        ("event_id", id.clone().into()),
        ("trace_id", trace.into()),
        ("user_agent", "tests/1".into()),
        ("remote_ip", "127.0.0.1".into()),
        ("proto", "HTTP/1.1".into()),
        ("bytes_in", body.len().into()),
        ("bytes_out", 2.into()),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    assert_eq!(line["request_id"].as_str().unwrap().len(), 32, "nobody trusts the sender's own");
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0 && line["time"].as_str().unwrap().ends_with('Z'));
    assert!(!line.to_string().contains("canary-query"), "queries carry credentials");
    assert_eq!(sink.wait_for(1).await[0].header("traceparent"), traceparent, "passed on as it came");

    let copy = sender.send(&body).await;
    assert!(copy.is_duplicate());
    let forged = Client::new(gateway.ingress())
        .send(
            http::Request::post("/in")
                .header("x-appmint-signature", "sha256=00")
                .body(Full::from(Bytes::new()))
                .unwrap(),
        )
        .await
        .unwrap();
    let rejection = forged.header("hookward-rejection-id").to_owned();
    assert!(rejection.starts_with("rejection_"), "{forged:?}");
    eventually("the lines of the copy and of the forged one", async || {
        let lines = access_lines(&gateway);
        let copied = lines.iter().any(|line| line["duplicate"] == true && line["event_id"] == id);
        let refused = lines.iter().any(|line| line["rejection_id"] == rejection && line["reason"].is_string());
        (copied && refused).then_some(())
    })
    .await;
    let listed = eventually("the ledger", async || {
        gateway.list("/v1/rejections").await.into_iter().find(|row| row["id"] == rejection)
    })
    .await;
    assert_eq!(listed["source"], "appmint");
}

#[tokio::test]
async fn what_the_connection_itself_refuses_has_its_line_and_its_place_in_the_ledger() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&format!(
        "ingress: {{ listen: \"@INGRESS@\", header_timeout: 300ms }}\n{}",
        appmint_to(&[("crm", &sink)])
    ))
    .await;
    let long = "x".repeat(9000);
    let large = format!("POST /in HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(70 << 10));
    // What is sent, and the line's status, reason, method, path and protocol.
    for (request, status, reason, method, path, proto) in [
        (
            "POST /in?token=canary HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n",
            400,
            "malformed_request",
            "POST",
            "/in",
            "HTTP/1.1",
        ),
        ("BREW /pot HTTP/1.0\r\ncontent-length: 1, 1\r\n\r\n", 400, "malformed_request", "BREW", "/pot", "HTTP/1.0"),
        (
            "POST /in HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            501,
            "transfer_coding_unknown",
            "POST",
            "/in",
            "HTTP/1.1",
        ),
        ("POST /\u{1b}[2J HTTP/1.1\r\nhost: a\r\n\r\n", 400, "malformed_request", "POST", "*", "HTTP/1.1"),
        ("\u{16}\u{3}\u{1}\r\n\r\n", 400, "malformed_request", "-", "*", "-"),
        (&format!("POST /in?{long} HTTP/1.1\r\n\r\n"), 414, "uri_too_long", "POST", "/in", "HTTP/1.1"),
        (&format!("POST /in?{}", long.repeat(8)), 414, "uri_too_long", "POST", "/in", "-"),
        (&large, 431, "headers_too_large", "POST", "/in", "HTTP/1.1"),
        ("POST /in HTTP/1.1\r\nhost: a\r\nx-half", 408, "header_timeout", "POST", "/in", "HTTP/1.1"),
        ("PUT /hal", 408, "header_timeout", "PUT", "/hal", "-"),
        ("", 408, "header_timeout", "-", "*", "-"),
    ] {
        let answer = raw(gateway.ingress(), request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.80}: {answer}");
        let id = answer.split("hookward-rejection-id: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
        let line = eventually(&format!("the line of {request:.80}"), async || {
            access_lines(&gateway).into_iter().find(|line| line["rejection_id"] == id)
        })
        .await;
        for (field, value) in [
            ("status", Value::from(status)),
            ("reason", reason.into()),
            ("method", method.into()),
            ("path", path.into()),
            ("proto", proto.into()),
            ("remote_ip", "127.0.0.1".into()),
            ("bytes_out", answer.split("\r\n\r\n").nth(1).unwrap().len().into()),
        ] {
            assert_eq!(line[field], value, "{field} of {line}");
        }
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:") && line.get("source").is_none(), "{line}");
        assert_eq!(line["request_id"].as_str().unwrap().len(), 32);
        let waited = line["duration_ms"].as_f64().unwrap();
        assert!(status != 408 || waited >= 290.0, "from the connection or the first byte: {line}");
        let row = eventually("the ledger", async || {
            gateway.list("/v1/rejections").await.into_iter().find(|row| row["id"] == id)
        })
        .await;
        assert_eq!(row["reason"], reason);
    }
    assert!(!gateway.log().contains("canary"), "queries carry credentials");
    assert_eq!(access_lines(&gateway).len(), 11, "one line a request");
}

#[tokio::test]
async fn nobody_writes_lines_into_the_logs() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let body = event("evt_1\\n\\u001b[2J{\\\"forged\\\":1}", "pay\\u009b\\nment");
    let mut sender = Sender::new(&gateway);
    let request = sender.request(&body).header("user-agent", "a\tb");
    let _whatever_is_said = sender.send_as(request, &body).await;
    let hostile = "POST /in%0a%1b[31m?x=%0d%0a HTTP/1.1\r\nhost: a\r\nuser-agent: \u{9b}31mx\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    raw(gateway.ingress(), hostile.as_bytes()).await;
    raw(gateway.ingress(), b"GET /\x1b[2J HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    access_line(&gateway, "/in").await;
    eventually("all lines", async || (access_lines(&gateway).len() >= 3).then_some(())).await;
    let log = gateway.log();
    let unsafe_ones: Vec<&str> =
        log.lines().filter(|line| line.chars().any(hookward::telemetry::escape::is_unsafe)).collect();
    assert!(unsafe_ones.is_empty(), "{unsafe_ones:#?}");
    for line in log.lines() {
        let parsed = serde_json::from_str::<Value>(line);
        assert!(parsed.is_ok_and(|parsed| parsed.is_object()), "every line is one of ours: {line:?}");
    }
    assert!(!log.lines().any(|line| line.trim_start().starts_with("{\"forged\"")));
}

#[tokio::test]
async fn metrics_agree_with_what_happened() {
    let sink = Sink::scripted([Answer::status(500), Answer::status(200)]).await;
    let gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let mut sender = Sender::new(&gateway);
    let body = event("evt_1", "payment.failed");
    sender.send(&body).await;
    sender.send(&body).await;
    let unsigned = sender.request(&body).method("POST");
    let mut forged = unsigned;
    forged.headers_mut().unwrap().insert("x-appmint-signature", sign("wrong", &body).parse().unwrap());
    assert_eq!(sender.send_as(forged, &body).await.status, 401);
    gateway.drained(std::time::Duration::from_secs(20)).await;
    let metrics = gateway.metrics().await;
    let source = [("source", "appmint")];
    let crm = ("destination", "crm");
    for (name, labels, expected) in [
        ("hookward_requests_received_total", &source[..], 3.0),
        ("hookward_events_accepted_total", &source[..], 1.0),
        ("hookward_events_duplicate_total", &source[..], 1.0),
        ("hookward_requests_rejected_total", &[source[0], ("reason", "signature_mismatch")][..], 1.0),
        ("hookward_accept_duration_seconds_count", &source[..], 2.0),
        ("hookward_attempts_total", &[crm, ("outcome", "status")][..], 1.0),
        ("hookward_attempts_total", &[crm, ("outcome", "succeeded")][..], 1.0),
        ("hookward_deliveries_total", &[crm, ("outcome", "succeeded")][..], 1.0),
        ("hookward_attempt_duration_seconds_count", &[crm][..], 2.0),
        ("hookward_end_to_end_duration_seconds_count", &[crm][..], 1.0),
        ("hookward_queue_pending", &[crm][..], 0.0),
        ("hookward_store_ready", &[][..], 1.0),
        ("hookward_config_last_reload_successful", &[][..], 1.0),
    ] {
        assert_eq!(metrics.sum(name, labels), expected, "{name}{labels:?}\n{}", metrics.text());
    }
    assert!(metrics.sum("hookward_store_commit_events_count", &[]) >= 1.0, "the store counts its commits");
    assert!(metrics.sum("hookward_store_fsync_duration_seconds_count", &[]) >= 1.0);
    assert!(metrics.sum("hookward_store_journal_size_bytes", &[]) > 0.0);
    assert!(metrics.sum("hookward_connections_accepted_total", &[]) >= 1.0);
    assert_eq!(metrics.sum("hookward_responses_total", &[("class", "2xx")]), 2.0);
    assert_eq!(metrics.sum("hookward_responses_total", &[("class", "4xx")]), 1.0);
    let bodies = 3 * body.len();
    assert!(metrics.sum("hookward_received_bytes_total", &[]) > bodies as f64, "heads and bodies");
    assert!(metrics.sum("hookward_sent_bytes_total", &[]) > 0.0);
}

#[tokio::test]
async fn totals_outlive_a_kill() {
    let sink = Sink::scripted([Answer::status(500)]).await;
    let mut gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let mut sender = Sender::new(&gateway);
    for _ in 0..2 {
        assert_eq!(sender.send(&event("evt_1", "payment.failed")).await.status, 200);
    }
    let body = event("evt_2", "payment.failed");
    let mut forged = sender.request(&body);
    forged.headers_mut().unwrap().insert("x-appmint-signature", sign("wrong", &body).parse().unwrap());
    assert_eq!(sender.send_as(forged, &body).await.status, 401);
    gateway.drained(std::time::Duration::from_secs(20)).await;
    let before = gateway.get("/v1/stats").await.json();
    assert_eq!(before["sources"][0]["received"], 3);
    assert_eq!(before["sources"][0]["rejections"], serde_json::json!({ "signature_mismatch": 1 }));
    assert_eq!(
        (&before["destinations"][0]["attempts"], &before["destinations"][0]["succeeded"]),
        (&2.into(), &1.into())
    );
    gateway.kill();
    gateway.run().await;
    let mut after = gateway.get("/v1/stats").await.json();
    // A mean of what this process saw: nothing yet.
    assert_eq!(after["sources"][0]["accept_time_mean"].take(), Value::Null);
    after["sources"][0]["accept_time_mean"] = before["sources"][0]["accept_time_mean"].clone();
    assert_eq!(after, before);
}
