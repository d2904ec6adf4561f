//! A thousand slow connections of each kind, and genuine senders are served as if nothing had happened.
//!
//! The attacks come from slowhttptest, which nobody here wrote: slow headers, slow bodies (to a source that has to read
//! them: `verify: none`), slow reading. Nothing is asserted about time but the ten seconds after which a sender gives
//! up; the latencies stand beside those of a clean run in the output (`--nocapture`).

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::support::{Gateway, SECRET, Sender, Sink, event_of_bytes};

/// Slow connections of one attack.
const ATTACKERS: usize = 1000;
/// Genuine senders, each on a connection of its own.
const SENDERS: usize = 4;
/// The platform's own time-out.
const SENDER_WAIT_MAX: Duration = Duration::from_secs(10);
/// Events of the run without an attack.
const CLEAN_EVENTS: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_connections_leave_genuine_senders_served() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&config(&sink)).await;
    let clean = genuine(&gateway, "clean", None).await;
    report("no attack", &clean, 0);

    let mut sent = clean.len();
    for (name, arguments) in [
        ("slow headers", vec!["-H", "-t", "POST", "-u", "/in"]),
        ("slow body", vec!["-B", "-s", "4096", "-f", "application/json", "-u", "/plain"]),
        ("slow read", vec!["-X", "-w", "1", "-y", "16", "-n", "1", "-z", "1", "-k", "3", "-u", "/in"]),
    ] {
        let accepted_before = accepted_connections(&gateway).await;
        let attack = Attack::start(&gateway, &arguments);
        let served = genuine(&gateway, &name.replace(' ', "-"), Some(attack)).await;
        let attackers = accepted_connections(&gateway).await - accepted_before;
        report(name, &served, attackers);
        assert!(attackers >= ATTACKERS * 9 / 10, "{name}: only {attackers} slow connections: no attack to speak of");
        assert!(served.len() >= 100, "{name}: only {} genuine events were sent", served.len());
        sent += served.len();
    }
    sink.wait_for(usize::try_from(sent).unwrap()).await;
}

fn config(sink: &Sink) -> String {
    format!(
        "sources:
  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}
  plain: {{ path: /plain, verify: {{ scheme: none }}, dedup: off }}
routes:
  - {{ from: appmint, to: [crm] }}
destinations:
  crm: {{ url: \"{}\" }}
",
        sink.url("/hook")
    )
}

/// A running slowhttptest.
struct Attack {
    child: Child,
}

impl Attack {
    /// Starts it against the gateway; the last argument is a path.
    fn start(gateway: &Gateway, arguments: &[&str]) -> Self {
        let (path, options) = arguments.split_last().unwrap();
        let url = format!("http://{}{path}", gateway.ingress());
        let child = Command::new(slowhttptest())
            .args(["-c", &ATTACKERS.to_string(), "-r", "1000", "-i", "1", "-l", "10", "-p", "10"])
            .args(options)
            .arg(url)
            .current_dir(gateway.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("slowhttptest starts: tests/run installs it, or: apt-get install slowhttptest, or: benches/install debian");
        Self { child }
    }

    fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The installed one, or the one that benches/install has unpacked.
fn slowhttptest() -> PathBuf {
    let unpacked = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../bench-tools/debian/usr/bin/slowhttptest");
    if unpacked.exists() { unpacked } else { PathBuf::from("slowhttptest") }
}

/// Sends genuine events until the attack is over (or a fixed number without one); every one is answered 2xx in time.
async fn genuine(gateway: &Gateway, name: &str, mut attack: Option<Attack>) -> Histogram<u64> {
    let over = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    let events_max = if attack.is_some() { usize::MAX } else { CLEAN_EVENTS / SENDERS };
    for number in 0..SENDERS {
        let (sender, over, name) = (Sender::new(gateway), Arc::clone(&over), format!("evt_{name}_{number}"));
        senders.spawn(send_all(sender, name, events_max, over));
    }
    let watch = async {
        while attack.as_mut().is_some_and(|attack| !attack.is_over()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        over.store(attack.is_some(), Ordering::SeqCst);
    };
    let mut all = Histogram::new(3).unwrap();
    let ((), latencies) = tokio::join!(watch, senders.join_all());
    for latency in latencies {
        all.add(&latency).unwrap();
    }
    all
}

async fn send_all(mut sender: Sender, name: String, events_max: usize, over: Arc<AtomicBool>) -> Histogram<u64> {
    let mut latency = Histogram::new(3).unwrap();
    for number in 0..events_max {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let body = event_of_bytes(&format!("{name}_{number}"), "payment.succeeded", 1500);
        let begun = Instant::now();
        let reply = tokio::time::timeout(SENDER_WAIT_MAX, sender.try_send(&body)).await;
        let reply = reply.unwrap_or_else(|_| panic!("a genuine sender waited longer than {SENDER_WAIT_MAX:?}"));
        let reply = reply.unwrap_or_else(|error| panic!("a genuine sender got no answer: {error}"));
        assert_eq!(reply.status, 200, "a genuine sender was refused: {}", String::from_utf8_lossy(&reply.body));
        latency.record(u64::try_from(begun.elapsed().as_micros()).unwrap()).unwrap();
    }
    latency
}

async fn accepted_connections(gateway: &Gateway) -> usize {
    let accepted = gateway.metrics().await.sum("hookward_connections_accepted_total", &[]);
    // A counter: whole and small.
    format!("{accepted:.0}").parse().unwrap()
}

fn report(name: &str, latency: &Histogram<u64>, attackers: usize) {
    println!(
        "{name}: {attackers} connections made, {} genuine events served, p50 {} µs, p99 {} µs, max {} µs",
        latency.len(),
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99),
        latency.max()
    );
}
