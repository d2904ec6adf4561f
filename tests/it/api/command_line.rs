//! The verbs over a real socket: tables for people, JSON for machines, exit codes for scripts.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use hookward::domain::{NewEvent, Reason, Rejection};
use hookward::store::{RejectedRequest, Store};
use serde_json::Value;
use tokio::process::Command;

use super::fixture::{ADMIN, DEAD, Fixture, VIEWER, event, settled};
use crate::support::eventually;

/// Runs `hookward` with these words against the gateway, with this token in its environment.
async fn run(address: SocketAddr, token: &str, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(words)
        .env_clear()
        .env("HOOKWARD_ADMIN", format!("http://{address}"))
        .env("HOOKWARD_ADMIN_TOKEN", token)
        // Nobody's proxy gets to see the token.
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

#[track_caller]
fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn failed(output: &Output, code: i32, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_page_by_themselves_and_json_is_an_object_a_line() {
    let fixture = Fixture::new().await;
    for number in 0..230 {
        fixture.admit(event(&fixture.clock, &format!("sender-{number}"), "payment.failed"), &["crm"]).await;
    }
    let address = fixture.serve().await;
    let lines = out(&run(address, VIEWER, &["events", "--json", "--limit", "1000"]).await);
    let ids: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["source_event_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 230);
    assert_eq!((ids[0].as_str(), ids[229].as_str()), ("sender-229", "sender-0"));
    let words = ["deliveries", "--source", "appmint", "--destination", "crm", "--status", "pending", "-n", "5"];
    let table = run(address, VIEWER, &words).await;
    assert!(String::from_utf8_lossy(&table.stderr).contains("more: --after delivery_"));
    let table = out(&table);
    assert_eq!(table.lines().count(), 6, "a head and five rows: {table}");
    assert!(table.lines().next().unwrap().contains("DESTINATION") && table.contains("pending"));
    assert_eq!(out(&run(address, VIEWER, &["events", "--source", "nobody"]).await), "nothing found\n");
    assert_eq!(out(&run(address, VIEWER, &["deliveries", "--source", "nobody"]).await), "nothing found\n");
    assert_eq!(out(&run(address, VIEWER, &["rejections", "--since", "1h"]).await), "nothing found\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_and_one_delivery_are_shown_whole_and_cannot_drive_the_terminal() {
    let fixture = Fixture::new().await;
    let hostile = NewEvent {
        body: Bytes::from_static(b"\x00\xffbody"),
        ..event(&fixture.clock, "a/b \u{1b}[2J\u{9b}", "pay\nment\u{202e}")
    };
    let id = fixture.admit(hostile, &["crm"]).await;
    let claim = fixture.claim("crm").await.remove(0);
    fixture.store.settle(&claim, settled(&claim, &fixture.clock, 500, b"no\x1b[31m way", DEAD));
    let address = fixture.serve().await;
    for key in [id.to_string(), "a/b \u{1b}[2J\u{9b}".to_owned()] {
        let shown = out(&run(address, VIEWER, &["events", &key]).await);
        assert!(shown.contains(&id.to_string()) && shown.contains("dead (exhausted)"), "{shown}");
        assert!(shown.contains("\\u001b[2J") && shown.contains("authorization: [masked]"), "{shown}");
        assert!(!shown.replace('\n', "").chars().any(hookward::telemetry::escape::is_unsafe), "{shown:?}");
    }
    let shown = out(&run(address, VIEWER, &["deliveries", &claim.id.to_string()]).await);
    for words in [
        "attempt 1 at",
        "500 in 12 ms: answered 500",
        "x-served-by: crm-1",
        "no\\u001b[31m way",
        "set-cookie: [masked]",
    ] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    let rejection = fixture.store.reject(RejectedRequest {
        rejection: Rejection::new(Reason::SignatureMismatch, "none of 2 secrets"),
        source: Some("appmint".into()),
        at: fixture.clock.now(),
        client: Some([192, 0, 2, 7].into()),
        request_line: "POST /in".into(),
        headers: "x-evil: \u{1b}[2J\n".into(),
        body: Bytes::from_static(b"\x1b[31m"),
    });
    let shown = eventually("the rejection", async || {
        let output = run(address, VIEWER, &["rejections", &rejection.to_string()]).await;
        output.status.success().then(|| out(&output))
    })
    .await;
    for words in ["signature_mismatch", "none of 2 secrets", "192.0.2.7", "x-evil: \\u001b[2J", "  \\u001b[31m"] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    let body = run(address, VIEWER, &["events", &id.to_string(), "--body"]).await;
    assert_eq!(body.stdout, b"\x00\xffbody");
    let document: Value =
        serde_json::from_str(&out(&run(address, VIEWER, &["events", &id.to_string(), "--json"]).await)).unwrap();
    assert_eq!(document["id"], id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn redeliver_takes_deliveries_and_events_and_goes_on_after_a_failure() {
    let fixture = Fixture::new().await;
    fixture.admit(event(&fixture.clock, "sender-1", "b"), &["crm", "log"]).await;
    for target in ["crm", "log"] {
        let claim = fixture.claim(target).await.remove(0);
        fixture.store.settle(&claim, settled(&claim, &fixture.clock, 500, b"", DEAD));
    }
    let address = fixture.serve().await;
    let refused = run(address, VIEWER, &["redeliver", "sender-1"]).await;
    failed(&refused, 1, "does not allow");
    let done = run(address, ADMIN, &["redeliver", "nothing", "sender-1"]).await;
    failed(&done, 1, "nothing: the gateway says 404");
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("to crm: pending") && said.contains("to log: pending"), "{said}");
    assert_eq!(fixture.claim("crm").await.len() + fixture.claim("log").await.len(), 2);
    failed(&run(address, ADMIN, &["redeliver", "sender-1"]).await, 1, "no delivery of evt_");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_in_words_and_in_the_exit_code() {
    let fixture = Fixture::new().await;
    let address = fixture.serve().await;
    failed(&run(address, "", &["events"]).await, 1, "HOOKWARD_ADMIN_TOKEN");
    failed(&run(address, "wrong", &["events"]).await, 1, "is it the token of this gateway?");
    failed(&run(address, VIEWER, &["deliveries", "--status", "done"]).await, 1, "expected one of pending");
    failed(&run(address, VIEWER, &["events", "--since", "soon"]).await, 1, "seconds since 1970");
    failed(&run(address, VIEWER, &["events", "no-such"]).await, 1, "404");
    failed(&run(address, VIEWER, &["events", "--limit", "0"]).await, 2, "--limit");
    failed(&run(address, VIEWER, &["events", "--admin", "127.0.0.1:80"]).await, 2, "not an address of HTTP");
    failed(&run(address, VIEWER, &["events", "--token", "x"]).await, 2, "unexpected argument");
    // Who names one of them does not choose among many.
    for words in [
        ["events", "x", "--source", "a"],
        ["events", "x", "--type", "a"],
        ["deliveries", "x", "--since", "1h"],
        ["deliveries", "x", "--status", "dead"],
        ["rejections", "x", "-n", "5"],
        ["rejections", "x", "--reason", "a"],
    ] {
        failed(&run(address, VIEWER, &words).await, 2, "cannot be used with");
    }
    let nobody = "http://127.0.0.1:1";
    failed(&run(address, VIEWER, &["events", "--admin", nobody]).await, 1, "is `hookward serve` running?");
    failed(&run(address, VIEWER, &["healthcheck", "--admin", nobody]).await, 1, "no gateway answers");
    assert_eq!(out(&run(address, "", &["healthcheck"]).await), "");
    fixture.readiness.set_draining();
    failed(&run(address, "", &["healthcheck"]).await, 1, "not ready: draining");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_come_from_a_file_and_a_closed_pipe_is_no_failure() {
    let fixture = Fixture::new().await;
    for number in 0..100 {
        fixture.admit(event(&fixture.clock, &format!("sender-{number}"), "b"), &[]).await;
    }
    let address = fixture.serve().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{VIEWER}").unwrap();
    let path = file.path().to_str().unwrap();
    assert!(out(&run(address, "wrong", &["events", "--token-file", path]).await).contains("sender-99"));
    failed(&run(address, VIEWER, &["events", "--token-file", "/nowhere"]).await, 1, "/nowhere cannot be read");

    let mut child = Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(["events", "--json", "--limit", "100", "--token-file", path, "--admin", &format!("http://{address}")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}
