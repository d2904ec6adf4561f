//! Genuine clients: h2load (Debian's nghttp2-client) and curl, in cleartext and over TLS.

use std::process::Command;

use crate::support::{Gateway, SECRET, Sink, sha256};

/// Runs h2load against a path with so many posts and gives what it says.
async fn h2load(url: String, body: std::path::PathBuf) -> String {
    let output = tokio::task::spawn_blocking(move || {
        Command::new("h2load").args(["-n", "2000", "-c", "4", "-m", "20", "-d"]).arg(body).arg(url).output()
    });
    let output = output.await.unwrap().expect("h2load is installed by tests/run");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2load_is_served_and_each_of_its_events_is_delivered() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&format!(
        "sources: {{ a: {{ path: /in, dedup: off, verify: {{ scheme: none }} }} }}\n\
         routes: [{{ from: a, to: crm }}]\ndestinations: {{ crm: {{ url: \"{}\" }} }}\n",
        sink.url("/hook")
    ))
    .await;
    let body = gateway.folder().join("body");
    std::fs::write(&body, "{\"type\":\"x\", \"filling\" :\"".to_owned() + &"f".repeat(1500) + "\"}").unwrap();
    let said = h2load(format!("http://{}/in", gateway.ingress()), body.clone()).await;
    assert!(said.contains("2000 succeeded, 0 failed, 0 errored") && said.contains("2000 2xx"), "{said}");
    let expected = sha256(&std::fs::read(&body).unwrap());
    let hits = sink.wait_for(2000).await;
    assert!(hits.iter().all(|hit| hit.sha256 == expected), "byte for byte");
    let log = gateway.log();
    assert!(log.lines().any(|line| line.contains("\"proto\":\"HTTP/2.0\"") && line.contains("\"path\":\"/in\"")));
    let metrics = gateway.metrics().await;
    let connections = metrics.sum("hookward_connections_by_protocol_total", &[("protocol", "h2"), ("tls", "none")]);
    assert_eq!(connections, 4.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_shows_a_refusal_that_came_before_the_end_of_its_body() {
    let gateway = Gateway::start(&format!(
        "sources:\n  signed: {{ path: /signed, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n  \
         small: {{ path: /small, body_bytes_max: 1KiB, verify: {{ scheme: none }}, dedup: off }}\n"
    ))
    .await;
    let body = gateway.folder().join("body");
    std::fs::write(&body, vec![b'x'; 1 << 20]).unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (path, status) in [("nowhere", "404"), ("signed", "401"), ("small", "413")] {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{exitcode}", "-H", "Expect:", version]);
            curl.args(["-H", "content-type: application/json", "--max-time", "20", "--data-binary"]);
            curl.arg(format!("@{}", body.display())).arg(format!("http://{}/{path}", gateway.ingress()));
            let output = tokio::task::spawn_blocking(move || curl.output()).await.unwrap().expect("curl");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert_eq!(said, format!("{status} 0"), "{version} {path}: {complaint}");
        }
    }
}
