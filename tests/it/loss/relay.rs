//! A gateway of forty lines, correct or broken in one way: what the oracle must find is known beforehand.
//!
//! It keeps everything in memory, so it is judged in one life, without a crash.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::ledger::{Ledger, number};
use super::oracle::{Verdict, judge};
use super::storm::{Storm, resend};
use crate::support::{Answer, Client, Sink, eventually};

/// Each so-manieth event suffers.
const EVERY: usize = 10;

/// In which way it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Loses,
    Doubles,
    PrintsAgain,
    Invents,
    CallsNewOnesDuplicates,
    RefusesAtFirst,
    RefusesWithoutAWord,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oracle_finds_nothing_wrong_with_a_correct_relay() {
    let verdict = run(None).await;
    assert!(verdict.is_clean(), "{verdict}");
    assert!(verdict.sent > 100 && verdict.taken == 2 * verdict.sent && verdict.duplicates_answered > 0, "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oracle_finds_every_flaw_of_a_broken_relay_and_only_that() {
    for (flaw, expected) in [
        (Flaw::Loses, "lost"),
        (Flaw::Doubles, "repeated without need"),
        (Flaw::PrintsAgain, "altered"),
        (Flaw::Invents, "invented"),
        (Flaw::CallsNewOnesDuplicates, "false duplicates"),
        (Flaw::RefusesWithoutAWord, "odd answers"),
    ] {
        let verdict = run(Some(flaw)).await;
        for (name, cases) in verdict.failings() {
            // What was altered or never kept is missing too.
            let also = name == "lost" && matches!(flaw, Flaw::PrintsAgain | Flaw::CallsNewOnesDuplicates);
            assert_eq!(!cases.is_empty(), name == expected || also, "{flaw:?}, {name}: {verdict}");
        }
    }
    let verdict = run(Some(Flaw::RefusesAtFirst)).await;
    assert!(verdict.is_clean(), "an honest 503 that is made good is no flaw: {verdict}");
}

/// Sends for a while through a relay and judges.
async fn run(flaw: Option<Flaw>) -> Verdict {
    let ledger = Arc::new(Ledger::default());
    let mut sinks = Vec::new();
    for destination in 0..2 {
        let ledger = Arc::clone(&ledger);
        sinks.push(
            Sink::answering(move |hit| {
                ledger.arrived(destination, hit, 200);
                Answer::status(200)
            })
            .await,
        );
    }
    let (relay, forwarded) = relay(flaw, [sinks[0].address(), sinks[1].address()]).await;
    let storm = Storm::start(relay.address(), &ledger);
    eventually("a few hundred events", async || (ledger.sent().len() > 300).then_some(())).await;
    storm.stop().await;
    resend(relay.address(), &ledger).await;
    eventually("the end of forwarding", async || {
        forwarded.lock().unwrap().iter().all(|task| task.is_finished()).then_some(())
    })
    .await;
    judge(&ledger, &HashSet::new())
}

type Tasks = Arc<Mutex<Vec<tokio::task::JoinHandle<()>>>>;

async fn relay(flaw: Option<Flaw>, destinations: [SocketAddr; 2]) -> (Sink, Tasks) {
    let seen = Mutex::new(HashSet::new());
    let tasks = Tasks::default();
    let spawned = Arc::clone(&tasks);
    let relay = Sink::answering(move |hit| {
        let id = serde_json::from_slice::<serde_json::Value>(&hit.body).unwrap()["id"].as_str().unwrap().to_owned();
        let flaw = flaw.filter(|_| number(&id).unwrap().is_multiple_of(EVERY));
        let is_new = seen.lock().unwrap().insert(id.clone());
        match flaw {
            Some(Flaw::CallsNewOnesDuplicates) => return Answer::status(200).header("hookward-duplicate", "true"),
            Some(Flaw::RefusesAtFirst) if is_new => {
                seen.lock().unwrap().remove(&id);
                // Half of the time, so that in the end it takes it.
                if fastrand::bool() {
                    return Answer::status(503).header("retry-after", 1);
                }
                seen.lock().unwrap().insert(id.clone());
            }
            Some(Flaw::RefusesWithoutAWord) if is_new => {
                seen.lock().unwrap().remove(&id);
                if fastrand::bool() {
                    return Answer::status(503);
                }
                seen.lock().unwrap().insert(id.clone());
            }
            _ => {}
        }
        if !is_new {
            return Answer::status(200).header("hookward-duplicate", "true");
        }
        for destination in destinations {
            spawned.lock().unwrap().push(tokio::spawn(forward(flaw, destination, id.clone(), hit.body.clone())));
        }
        Answer::status(200)
    })
    .await;
    (relay, tasks)
}

async fn forward(flaw: Option<Flaw>, destination: SocketAddr, id: String, body: Bytes) {
    let (copies, id, body) = match flaw {
        Some(Flaw::Loses) => (0, id, body),
        Some(Flaw::Doubles) => (2, id, body),
        Some(Flaw::PrintsAgain) => {
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            (1, id, Bytes::from(value.to_string()))
        }
        _ => (1, id, body),
    };
    let mut client = Client::new(destination);
    let mut post = async |id: &str| {
        let request = Request::post("/").header("hookward-source-event-id", id).body(Full::new(body.clone())).unwrap();
        client.send(request).await.unwrap();
    };
    for _ in 0..copies {
        post(&id).await;
    }
    if flaw == Some(Flaw::Invents) {
        post("evt_loss_9999999").await;
    }
}
