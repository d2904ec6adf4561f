//! F42, F43: a machine that is too small, in memory and in processor time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::support::{Answer, Cgroup, Gateway, PATIENCE, SECRET, Sender, Sink, event, event_filled_to, eventually};

/// What F42 gives the gateway.
const MEMORY_BYTES: u64 = 256 << 20;

/// The largest body of F42; a thousand of them are as much as there is memory.
const BODY_BYTES: usize = 256 << 10;

fn config(ingress: &str, sink: &Sink) -> String {
    format!(
        "ingress: {{ listen: \"@INGRESS@\"{ingress} }}\n\
         sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes:\n  - {{ from: appmint, to: [crm] }}\n\
         destinations:\n  crm: {{ url: \"{}\", breaker: {{ failures: 20, window: 30s, open: 200ms }} }}\n",
        sink.url("/hook")
    )
}

/// Sends until it is kept; every other answer must be an honest 503. How many of those there were.
async fn send_until_kept(sender: &mut Sender, body: &Bytes) -> usize {
    let mut refused = 0;
    loop {
        let reply = sender.send(body).await;
        if reply.status == 200 {
            return refused;
        }
        assert_eq!(reply.status, 503, "{}", String::from_utf8_lossy(&reply.body));
        assert!(!reply.header("retry-after").is_empty());
        refused += 1;
        tokio::task::yield_now().await;
    }
}

/// Notes which events a sink took.
fn note(sink: &Sink) -> Arc<Mutex<HashSet<String>>> {
    let taken = Arc::new(Mutex::new(HashSet::new()));
    let noted = Arc::clone(&taken);
    sink.forget();
    sink.answer(move |hit| {
        noted.lock().unwrap().insert(hit.header("hookward-source-event-id").to_owned());
        Answer::status(200)
    });
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f42_a_small_memory_refuses_bodies_and_is_never_used_up() {
    const BACKLOG: usize = 10_000;
    const LARGE: usize = 1_000;
    let mut sink = Sink::start().await;
    let taken = note(&sink);
    sink.down().await;
    let group = Cgroup::with_memory(MEMORY_BYTES);
    // `body_memory_max` is by default what fits there.
    let limits = ", body_bytes_max: 256KiB";
    let mut gateway = Gateway::prepare(&config(limits, &sink));
    gateway.under(group.command());
    gateway.run().await;
    let address = gateway.ingress();
    let mut senders = JoinSet::new();
    for first in 0..16 {
        senders.spawn(async move {
            let mut sender = Sender::to(address, "/in", SECRET);
            for number in (first..BACKLOG).step_by(16) {
                send_until_kept(&mut sender, &event(&format!("evt_small_{number}"), "payment.succeeded")).await;
            }
            0
        });
    }
    for number in 0..LARGE {
        senders.spawn(async move {
            let body = event_filled_to(BODY_BYTES, &format!("evt_large_{number}"));
            send_until_kept(&mut Sender::to(address, "/in", SECRET), &body).await
        });
    }
    let refused: usize = senders.join_all().await.into_iter().sum();
    assert!(gateway.is_running(), "it was not killed");
    assert!(refused > 0, "there was not room for all of them at a time");
    // With the pages of the files, which the kernel takes back: the gateway's own are a part of it.
    let peak = group.memory_peak().unwrap_or_default() >> 20;
    println!("{refused} refusals, {} MiB resident now, at most {peak} MiB with files", gateway.rss_bytes() >> 20);
    sink.up().await;
    eventually("everything that was kept", async || (taken.lock().unwrap().len() == BACKLOG + LARGE).then_some(()))
        .await;
    gateway.drained(PATIENCE).await;
    assert!(gateway.is_running());
    drop(gateway);
    drop(group);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_a_starved_processor_lets_no_delivery_die_and_repeats_none() {
    const EVENTS: usize = 200;
    let sink = Sink::start().await;
    let group = Cgroup::with_processor(10);
    let mut gateway = Gateway::prepare(&config("", &sink));
    gateway.under(group.command());
    gateway.run().await;
    let address = gateway.ingress();
    let mut senders = JoinSet::new();
    for first in 0..8 {
        senders.spawn(async move {
            let mut sender = Sender::to(address, "/in", SECRET);
            for number in (first..EVENTS).step_by(8) {
                send_until_kept(&mut sender, &event(&format!("evt_{number}"), "payment.succeeded")).await;
            }
        });
    }
    senders.join_all().await;
    sink.wait_for(EVENTS).await;
    gateway.drained(PATIENCE).await;
    let metrics = gateway.metrics().await;
    let attempts = |outcome| metrics.sum("hookward_attempts_total", &[("destination", "crm"), ("outcome", outcome)]);
    assert!(group.throttled() > 0, "it was starved");
    assert_eq!((sink.count(), attempts("succeeded"), attempts("timeout")), (EVENTS, EVENTS as f64, 0.0));
    drop(gateway);
    drop(group);
}
