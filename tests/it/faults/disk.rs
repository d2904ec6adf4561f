//! F06, F10, F11: a disk that cannot be read, that is slow, that stalls.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    Answer, Gateway, PATIENCE, Reply, SECRET, Sender, Sink, Strace, event, event_filled_to, eventually,
};

/// The largest body.
const MEGABYTE: usize = 1 << 20;

/// For as long as a test may take.
const STALLED: &str = "delay_enter=600000000";

fn config(ingress: &str, sink: &Sink) -> String {
    format!(
        "ingress: {{ listen: \"@INGRESS@\"{ingress} }}\n\
         sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes:\n  - {{ from: appmint, to: [crm] }}\n\
         destinations:\n  crm: {{ url: \"{}\", retry: {{ schedule: [1h] }} }}\n",
        sink.url("/hook")
    )
}

fn journal(gateway: &Gateway) -> PathBuf {
    gateway.store().join("journal/0000000001.journal")
}

/// A gateway that was started again with this many failed deliveries, whose events it no longer has in memory; and
/// their ids.
async fn restarted(sink: &Sink, events: usize) -> (Gateway, Vec<String>) {
    sink.answer(|_| Answer::status(500));
    let mut gateway = Gateway::start(&config("", sink)).await;
    let mut sender = Sender::new(&gateway);
    for number in 0..events {
        assert_eq!(sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await.status, 200);
    }
    sink.wait_for(events).await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
    sink.answer(|_| Answer::status(200));
    gateway.run().await;
    let rows = eventually("the deliveries that wait", async || {
        let rows = gateway.list("/v1/deliveries?status=pending&limit=100").await;
        (rows.len() == events && rows.iter().all(|row| row["attempt_count"] == 1)).then_some(rows)
    })
    .await;
    (gateway, rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect())
}

async fn redeliver(gateway: &Gateway, id: &str) {
    let reply = gateway.post(&format!("/v1/deliveries/{id}/redeliver"), &json!({})).await;
    assert!(reply.status < 300, "{}", String::from_utf8_lossy(&reply.body));
}

async fn shown(gateway: &Gateway, id: &str) -> Value {
    gateway.get(&format!("/v1/deliveries/{id}")).await.json()
}

#[tokio::test]
async fn f06_an_event_that_the_disk_does_not_give_back_is_set_aside_counted_and_can_be_sent_again() {
    let sink = Sink::start().await;
    let (gateway, ids) = restarted(&sink, 3).await;
    let damaged = async || gateway.metrics().await.sum("hookward_store_damaged_records", &[]);
    assert_eq!(damaged().await, 0.0);
    let strace = Strace::attach(gateway.pid(), &journal(&gateway), "pread64", "error=EIO").await;
    redeliver(&gateway, &ids[0]).await;
    eventually("a record that was set aside", async || (damaged().await >= 1.0).then_some(())).await;
    assert_eq!(sink.count(), 3, "nothing was sent");
    drop(strace);
    // The index reads the journal too, and goes on where it was.
    let dead = eventually("a delivery that was given up", async || {
        let shown = shown(&gateway, &ids[0]).await;
        (shown["status"] == "dead").then_some(shown)
    })
    .await;
    assert_eq!(dead["dead_reason"], "unreadable", "{dead}");
    // The others are served, and when the disk is well so is this one.
    for id in ids.iter().rev() {
        redeliver(&gateway, id).await;
    }
    let hits = sink.wait_for(6).await;
    let bodies: HashSet<&Bytes> = hits[3..].iter().map(|hit| &hit.body).collect();
    assert_eq!(bodies.len(), 3);
    gateway.drained(PATIENCE).await;
    assert_eq!(gateway.metrics().await.sum("hookward_tasks_panicked_total", &[]), 0.0);
}

#[tokio::test]
async fn f06_a_shortage_of_memory_or_files_while_reading_kills_no_delivery() {
    let sink = Sink::start().await;
    let (gateway, ids) = restarted(&sink, 1).await;
    let strace = Strace::attach(gateway.pid(), &journal(&gateway), "pread64", "error=ENOMEM").await;
    redeliver(&gateway, &ids[0]).await;
    eventually("a read that failed", async || gateway.log().contains("cannot be read now").then_some(())).await;
    assert_eq!(shown(&gateway, &ids[0]).await["status"], "pending");
    drop(strace);
    sink.wait_for(2).await;
    gateway.drained(PATIENCE).await;
    assert_eq!(gateway.metrics().await.sum("hookward_store_damaged_records", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_a_slow_disk_makes_commits_larger_and_everything_is_kept() {
    const SENDERS: usize = 64;
    let sink = Sink::start().await;
    let gateway = Gateway::start(&config("", &sink)).await;
    let _strace = Strace::attach(gateway.pid(), &journal(&gateway), "fdatasync", "delay_enter=300000").await;
    let address = gateway.ingress();
    let mut senders = JoinSet::new();
    for number in 0..SENDERS {
        senders.spawn(async move {
            let mut sender = Sender::to(address, "/in", SECRET);
            for round in 0..2 {
                let reply = sender.send(&event(&format!("evt_{number}_{round}"), "payment.succeeded")).await;
                assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
            }
        });
    }
    senders.join_all().await;
    sink.wait_for(2 * SENDERS).await;
    gateway.drained(PATIENCE).await;
    assert_eq!(sink.count(), 2 * SENDERS);
    let commits = gateway.metrics().await.sum("hookward_store_commit_events_count", &[]);
    assert!(commits <= (SENDERS / 2) as f64, "{commits} commits of {} events", 2 * SENDERS);
}

/// All of these at once, each over its own connection.
async fn send_all(gateway: &Gateway, bodies: Vec<Bytes>) -> Vec<Reply> {
    let address = gateway.ingress();
    let mut senders = JoinSet::new();
    for body in bodies {
        senders.spawn(async move { Sender::to(address, "/in", SECRET).send(&body).await });
    }
    senders.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_disk_that_stalls_means_503_in_time_bounded_memory_and_nothing_lost_or_doubled() {
    const ROUNDS: usize = 6;
    const SENDERS: usize = 32;
    let sink = Sink::start().await;
    let taken = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&taken);
    sink.forget();
    sink.answer(move |hit| {
        noted.lock().unwrap().push(hit.header("hookward-source-event-id").to_owned());
        Answer::status(200)
    });
    let limits = ", body_memory_max: 32MiB, header_timeout: 2s, request_timeout: 2s";
    let gateway = Gateway::start(&config(limits, &sink)).await;
    let before = gateway.rss_bytes();
    let strace = Strace::attach(gateway.pid(), &journal(&gateway), "fdatasync", STALLED).await;
    let mut codes = HashSet::new();
    for round in 0..ROUNDS {
        let bodies: Vec<Bytes> =
            (0..SENDERS).map(|number| event_filled_to(MEGABYTE, &format!("evt_{round}_{number}"))).collect();
        for reply in send_all(&gateway, bodies).await {
            assert_eq!(reply.status, 503, "nothing is acknowledged");
            assert!(!reply.header("retry-after").is_empty());
            codes.insert(reply.code());
        }
    }
    // First they wait for their deadline; then what waits for the disk is enough.
    assert!(codes.contains("request_timeout") && codes.contains("store_unavailable"), "{codes:?}");
    let grown = gateway.rss_bytes().saturating_sub(before) >> 20;
    // 64 MiB wait for the disk in memory that grew by doubling, 32 MiB of young events, 32 MiB of bodies under way.
    assert!(grown < 230, "{grown} MiB more after {} MiB of events", ROUNDS * SENDERS);
    assert_eq!(taken.lock().unwrap().len(), 0, "nothing is delivered that is not durable");
    drop(strace);
    // The disk is well again: what is sent again is acknowledged, some of it as a copy of what had been written.
    for round in 0..ROUNDS {
        for number in 0..SENDERS {
            let body = event_filled_to(MEGABYTE, &format!("evt_{round}_{number}"));
            let mut sender = Sender::new(&gateway);
            eventually("an acknowledgement", async || (sender.send(&body).await.status == 200).then_some(())).await;
        }
    }
    gateway.drained(PATIENCE).await;
    let taken = taken.lock().unwrap();
    assert_eq!((taken.len(), taken.iter().collect::<HashSet<_>>().len()), (ROUNDS * SENDERS, ROUNDS * SENDERS));
}
