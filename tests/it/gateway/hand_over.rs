//! F52: one gateway after the other on a socket that is passed to both. No connection is refused, no request fails, and
//! the store goes from hand to hand.

use std::collections::HashMap;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;

use crate::support::{Gateway, PATIENCE, SECRET, Sender, Sink, appmint_to, event, eventually};

fn terminate(child: &Child) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
}

/// Senders that never stop: half of them keep their connections, half make a new one for each event. Gives what was
/// acknowledged; any other answer, and none, fails the test.
async fn under_load(gateway: &mut Gateway, during: impl AsyncFnOnce(&mut Gateway, &AtomicUsize)) -> Vec<String> {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for connection in 0..8 {
        let (address, stop, count) = (gateway.ingress(), Arc::clone(&stop), Arc::clone(&count));
        tasks.spawn(async move {
            let mut acknowledged = Vec::new();
            let mut sender = Sender::to(address, "/in", SECRET);
            while !stop.load(Ordering::Relaxed) {
                if connection % 2 == 0 {
                    sender = Sender::to(address, "/in", SECRET);
                }
                let id = format!("evt_{connection}_{}", acknowledged.len());
                let reply = sender.try_send(&event(&id, "payment.succeeded")).await;
                let reply = reply.unwrap_or_else(|error| panic!("{id} failed: {error}"));
                assert_eq!(reply.status, 200, "{id}: {reply:?}");
                acknowledged.push(id);
                count.fetch_add(1, Ordering::Relaxed);
            }
            acknowledged
        });
    }
    during(gateway, &count).await;
    stop.store(true, Ordering::Relaxed);
    tasks.join_all().await.concat()
}

/// Waits until so many more were acknowledged.
async fn more(count: &AtomicUsize, by: usize) {
    let from = count.load(Ordering::Relaxed);
    eventually("the load to go on", async || (count.load(Ordering::Relaxed) >= from + by).then_some(())).await;
}

async fn ended(mut child: Child) {
    let status = eventually("the end of the old one", async || child.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load_on_a_passed_socket_fails_no_request_and_loses_and_repeats_nothing() {
    let sink = Sink::start().await;
    let mut gateway = Gateway::prepare(&appmint_to(&[("crm", &sink)]));
    gateway.pass_socket();
    gateway.run().await;
    let acknowledged = under_load(&mut gateway, async |gateway, count| {
        for round in 0..6 {
            more(count, 100).await;
            if round % 2 == 0 {
                // The next one is there before the old one is told to go: it holds the socket and waits.
                let old = gateway.start_next();
                eventually("the next one to wait for the store", async || {
                    let waits = gateway.log().matches("waiting for the gateway before this one to end").count();
                    (waits > round / 2).then_some(())
                })
                .await;
                more(count, 100).await;
                terminate(&old);
                ended(old).await;
            } else {
                // As systemd restarts a service: nobody is there for a while, but for the socket.
                gateway.terminate();
                assert!(gateway.ended().await.success());
                gateway.spawn();
            }
            gateway.ready().await;
        }
        more(count, 100).await;
    })
    .await;
    gateway.drained(PATIENCE).await;
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for hit in sink.hits() {
        *arrived.entry(hit.header("hookward-source-event-id").to_owned()).or_default() += 1;
    }
    for id in &acknowledged {
        assert_eq!(arrived.get(id), Some(&1), "{id}: an orderly hand-over loses and repeats nothing");
    }
}

#[tokio::test]
async fn a_passed_socket_that_is_not_the_ingress_s_is_refused_by_a_sentence() {
    let sink = Sink::start().await;
    let mut gateway = Gateway::prepare(&appmint_to(&[("crm", &sink)]));
    gateway.pass_socket();
    gateway.configure(&format!("ingress: {{ listen: \"127.0.0.1:1\" }}\n{}", appmint_to(&[("crm", &sink)])));
    gateway.spawn();
    let status = gateway.ended().await;
    assert_eq!(status.code(), Some(1));
    let log = gateway.log();
    assert!(log.contains("ingress.listen is 127.0.0.1:1") && log.contains(&gateway.ingress().to_string()), "{log}");
}

#[tokio::test]
async fn one_that_waits_for_the_store_can_be_told_to_go() {
    let sink = Sink::start().await;
    let mut gateway = Gateway::prepare(&appmint_to(&[("crm", &sink)]));
    gateway.pass_socket();
    gateway.run().await;
    let old = gateway.start_next();
    eventually("the next one to wait", async || gateway.log().contains("waiting for the gateway").then_some(())).await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
    let reply = Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await;
    assert_eq!(reply.status, 200, "the old one goes on");
    terminate(&old);
    ended(old).await;
}
