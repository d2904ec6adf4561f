//! F51 and F52 over TLS: reloads and restarts under load fail no request, over HTTP/1.1 and over HTTP/2.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;

use crate::settings::tls::Authority;
use crate::support::{Gateway, Sink, eventually};

/// Requests of one run of a sender, over one connection for as long as it is open.
const REQUESTS_A_RUN: usize = 50;

/// What a run of curl has, in seconds; no test waits for that.
const RUN_TIME_MAX: &str = "60";

fn config(sink: &Sink, more: &str) -> String {
    format!(
        "ingress: {{ listen: \"@INGRESS@\", tls: {{ cert: one.pem, key: one.key }} }}\n\
         sources:\n  a: {{ path: /in, dedup: off, verify: {{ scheme: none }}{more} }}\n  \
         b: {{ path: /through, mode: proxy, app: \"{}\", dedup: off, verify: {{ scheme: none }} }}\n\
         routes: [{{ from: a, to: crm }}]\ndestinations: {{ crm: {{ url: \"{}\" }} }}\n",
        sink.url(""),
        sink.url("/hook")
    )
}

async fn prepare(sink: &Sink) -> Gateway {
    let gateway = Gateway::prepare(&config(sink, ""));
    let authority = Authority::new();
    authority.issue(gateway.folder(), "one", &["one.example"]);
    authority.publish(gateway.folder(), "ca.pem");
    gateway
}

/// Runs of curl, each with as many posts over its connection; both protocols, and a source of each mode. Gives how many
/// requests were answered; one that was not answered with 200 fails the test.
async fn under_load(gateway: &mut Gateway, during: impl AsyncFnOnce(&mut Gateway, &AtomicUsize)) -> usize {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for (protocol, path) in [("--http2", "in"), ("--http2", "through"), ("--http1.1", "in"), ("--http1.1", "through")] {
        let (port, folder) = (gateway.ingress().port(), gateway.folder().to_owned());
        let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
        tasks.spawn_blocking(move || {
            while !stop.load(Ordering::Relaxed) {
                curl(&folder, port, protocol, path);
                count.fetch_add(REQUESTS_A_RUN, Ordering::Relaxed);
            }
        });
    }
    during(gateway, &count).await;
    stop.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    count.load(Ordering::Relaxed)
}

fn curl(folder: &Path, port: u16, protocol: &str, path: &str) {
    let output = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}\n", "--max-time", RUN_TIME_MAX, protocol])
        .args(["-H", "content-type: application/json", "-d", "{\"type\":\"x\"}", "--cacert", "ca.pem"])
        .args(["--resolve", &format!("one.example:{port}:127.0.0.1")])
        .arg(format!("https://one.example:{port}/{path}?[1-{REQUESTS_A_RUN}]"))
        .current_dir(folder)
        .output()
        .expect("curl");
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = if protocol == "--http2" { "200 2\n" } else { "200 1.1\n" };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, expected.repeat(REQUESTS_A_RUN), "{protocol} {path}: {complaint}");
}

async fn more(count: &AtomicUsize) {
    let from = count.load(Ordering::Relaxed);
    let enough = 4 * REQUESTS_A_RUN;
    eventually("the load to go on", async || (count.load(Ordering::Relaxed) >= from + enough).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_load_fail_no_request_over_tls() {
    let sink = Sink::start().await;
    let mut gateway = prepare(&sink).await;
    gateway.run().await;
    let sent = under_load(&mut gateway, async |gateway, count| {
        for round in 0..100 {
            let more = if round % 2 == 0 { ", rate_limit: { requests: 1000000, per: 1s }" } else { "" };
            gateway.reload(&config(&sink, more)).await;
        }
        more(count).await;
    })
    .await;
    assert!(sent >= 4 * REQUESTS_A_RUN, "{sent}");
    eventually("each of them behind", async || (sink.count() >= sent).then_some(())).await;
    assert_eq!(sink.count(), sent, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2load_over_tls_does_not_notice_a_hundred_reloads() {
    let sink = Sink::start().await;
    let mut gateway = prepare(&sink).await;
    gateway.run().await;
    let body = gateway.folder().join("body");
    std::fs::write(&body, "{\"type\":\"x\"}").unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let (stop, port) = (Arc::clone(&done), gateway.ingress().port());
    let load = tokio::task::spawn_blocking(move || {
        let mut runs = 0;
        while !stop.load(Ordering::Relaxed) || runs == 0 {
            let mut h2load = Command::new("h2load");
            h2load.args(["-n", "1000", "-c", "4", "-m", "10", "-d"]).arg(&body);
            let output = h2load.arg(format!("https://127.0.0.1:{port}/in")).output().expect("h2load");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("1000 succeeded, 0 failed, 0 errored") && said.contains("1000 2xx"), "{said}");
            assert!(said.contains("Application protocol: h2"), "{said}");
            runs += 1;
        }
        runs
    });
    for round in 0..100 {
        let more = if round % 2 == 0 { ", rate_limit: { requests: 1000000, per: 1s }" } else { "" };
        gateway.reload(&config(&sink, more)).await;
    }
    done.store(true, Ordering::Relaxed);
    let runs: usize = load.await.unwrap();
    eventually("each of them behind", async || (sink.count() >= runs * 1000).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load_on_a_passed_socket_fails_no_request_over_tls() {
    let sink = Sink::start().await;
    let mut gateway = prepare(&sink).await;
    gateway.pass_socket();
    gateway.run().await;
    let sent = under_load(&mut gateway, async |gateway, count| {
        for round in 1..=3 {
            more(count).await;
            let old = gateway.start_next();
            eventually("the next one to wait for the store", async || {
                let waits = gateway.log().matches("waiting for the gateway before this one to end").count();
                (waits >= round).then_some(())
            })
            .await;
            terminate(&old);
            ended(old).await;
            gateway.ready().await;
        }
        more(count).await;
    })
    .await;
    eventually("each of them behind", async || (sink.count() >= sent).then_some(())).await;
}

fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
}

async fn ended(mut child: Child) {
    let status = eventually("the end of the old one", async || child.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
}
