//! Promise 2 in proxy mode: the mark becomes permanent when the app answered 2xx, and is free otherwise.

use super::app::Talk;
use super::{signed, start, to_app, to_app_with};
use crate::support::{Answer, Gateway, Sender, Sink, event, eventually};

#[tokio::test]
async fn a_copy_is_told_to_come_again_while_the_first_is_in_flight_and_is_a_duplicate_afterwards() {
    let (app, gateway, mut sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut passed = app.accept().await;
    let id = passed.message().await.field("hookward-event-id").unwrap().to_owned();
    let body = event("evt_1", "order.paid");

    let copy = sender.send(&body).await;
    assert_eq!((copy.status, copy.code().as_str()), (503, "duplicate_in_flight"));
    assert!(copy.header("retry-after").parse::<u32>().unwrap() > 0);
    assert!(copy.header("hookward-rejection-id").starts_with("rejection_"));

    passed.say("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nmine").await;
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 201 Created");
    let copy = sender.send(&body).await;
    assert_eq!((copy.status, &*copy.body, copy.is_duplicate()), (200, b"OK".as_slice(), true));
    assert_eq!(copy.header("hookward-event-id"), id);
    assert!(!app.is_called().await, "the app hears nothing of copies");
    let metrics = gateway.metrics().await;
    let sum = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, labels);
    assert_eq!(sum("hookward_requests_passed_on_total", &[("source", "appmint"), ("class", "2xx")]), 1.0);
    assert_eq!(sum("hookward_events_duplicate_total", &[("source", "appmint")]), 1.0);
    assert_eq!(sum("hookward_app_duration_seconds_count", &[("source", "appmint")]), 1.0);
}

#[tokio::test]
async fn every_answer_but_2xx_frees_the_mark() {
    let statuses = [500, 404, 302, 400, 503, 204];
    let sink = Sink::scripted(statuses.map(Answer::status)).await;
    let gateway = Gateway::start(&to_app(&sink.url(""))).await;
    let mut sender = Sender::new(&gateway);
    let body = event("evt_1", "order.paid");
    for status in statuses {
        let reply = sender.send(&body).await;
        assert_eq!((reply.status, reply.is_duplicate()), (status, false));
    }
    assert!(sender.send(&body).await.is_duplicate());
    assert_eq!(sink.count(), statuses.len());
}

#[tokio::test]
async fn without_dedup_every_copy_is_passed_on() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&to_app_with(&sink.url(""), "    dedup: off\n")).await;
    let mut sender = Sender::new(&gateway);
    let first = sender.send(&event("evt_1", "order.paid")).await;
    let second = sender.send(&event("evt_1", "order.paid")).await;
    assert!(!first.is_duplicate() && !second.is_duplicate());
    assert_ne!(first.header("hookward-event-id"), second.header("hookward-event-id"));
    assert_eq!(sink.count(), 2);
}

#[tokio::test]
async fn an_app_that_breaks_off_frees_the_mark_also_where_the_sender_is_gone() {
    let (app, gateway, mut sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    drop(talk);
    drop(passed);
    let body = event("evt_1", "order.paid");
    let mut passed = eventually("a free mark", async || {
        let mut talk = Talk::to(gateway.ingress()).await;
        talk.say(signed(&sender, "evt_1", "")).await;
        tokio::select! {
            passed = app.accept() => Some((talk, passed)),
            answer = talk.message() => { assert!(answer.head[0].contains(" 503 "), "{answer:?}"); None }
        }
    })
    .await;
    passed.1.message().await;
    passed.1.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    passed.0.message().await;
    assert!(sender.send(&body).await.is_duplicate());
}

#[tokio::test]
async fn a_mark_survives_a_restart_and_a_claim_dies_with_the_process() {
    let (app, mut gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    talk.message().await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
    gateway.run().await;
    let mut sender = Sender::new(&gateway);
    assert!(sender.send(&event("evt_1", "order.paid")).await.is_duplicate());

    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_2", "")).await;
    app.accept().await.message().await;
    gateway.kill();
    gateway.run().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_2", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_crash_after_the_apps_2xx_loses_at_most_the_mark() {
    let sink = Sink::start().await;
    let mut gateway = Gateway::start(&to_app(&sink.url(""))).await;
    let mut passed_again = 0;
    for round in 0..10 {
        let body = event(&format!("evt_{round}"), "order.paid");
        assert_eq!(Sender::new(&gateway).send(&body).await.status, 200);
        gateway.kill();
        gateway.run().await;
        let before = sink.count();
        let reply = Sender::new(&gateway).send(&body).await;
        assert_eq!(reply.status, 200);
        let again = sink.count() - before;
        assert_eq!(reply.is_duplicate(), again == 0, "a duplicate is what the app has taken");
        passed_again += again;
    }
    assert!(sink.count() == 10 + passed_again, "nothing else is repeated");
    // What the journal has had time to write is kept.
    let body = event("evt_kept", "order.paid");
    Sender::new(&gateway).send(&body).await;
    gateway.terminate();
    assert!(gateway.ended().await.success());
    gateway.run().await;
    assert!(Sender::new(&gateway).send(&body).await.is_duplicate());
}
