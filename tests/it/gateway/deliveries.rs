//! Fan-out, retries, dead letters and redelivery.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, PATIENCE, SECRET, Sender, Sink, appmint_to, event, eventually, hookward};

/// The only delivery in this state, once there is one.
async fn delivery(gateway: &Gateway, state: &str) -> Value {
    let path = format!("/v1/deliveries?status={state}");
    let id = eventually(&format!("a delivery that is {state}"), async || {
        let rows = gateway.list(&path).await;
        assert!(rows.len() < 2, "more than one is {state}: {rows:?}");
        rows.first().map(|row| row["id"].as_str().unwrap().to_owned())
    })
    .await;
    gateway.get(&format!("/v1/deliveries/{id}")).await.json()
}

/// `appmint_to` one destination with these settings of its own.
fn config(sink: &Sink, settings: &str) -> String {
    format!(
        "sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes:\n  - {{ from: appmint, to: [crm] }}\n\
         destinations:\n  crm: {{ url: \"{}\", {settings} }}\n",
        sink.url("/hook")
    )
}

#[tokio::test]
async fn every_matching_route_counts_and_two_routes_to_one_destination_make_one_delivery() {
    let (crm, analytics, audit) = (Sink::start().await, Sink::start().await, Sink::start().await);
    let config = appmint_to(&[("crm", &crm), ("analytics", &analytics), ("audit", &audit)]).replace(
        "  - { from: appmint, to: [crm, analytics, audit] }",
        "  - { from: appmint, types: [\"payment.*\"], to: [crm] }\n  - { from: [appmint], types: [user], to: [analytics] }\n  \
         - { from: \"*\", to: [audit] }\n  - { from: appmint, types: [\"*.failed\"], to: [crm, audit] }",
    );
    let gateway = Gateway::start(&config).await;
    let mut sender = Sender::new(&gateway);
    for (event_type, reached) in [
        ("payment.succeeded", [1, 0, 1]),
        ("payment.failed", [1, 0, 1]),
        ("payment.card.failed", [1, 0, 1]),
        ("user.created", [0, 1, 1]),
        ("user", [0, 1, 1]),
        ("users.created", [0, 0, 1]),
        ("file.processing.failed", [1, 0, 1]),
    ] {
        let before = [crm.count(), analytics.count(), audit.count()];
        sender.send(&event(&format!("evt_{event_type}"), event_type)).await;
        gateway.drained(PATIENCE).await;
        let after = [crm.count(), analytics.count(), audit.count()];
        assert_eq!([0, 1, 2].map(|sink| after[sink] - before[sink]), reached, "{event_type}");
    }
}

#[tokio::test]
async fn a_delivery_is_attempted_until_it_succeeds_and_every_attempt_is_on_record() {
    let mut sink = Sink::scripted([
        Answer::status(500).body("broken"),
        Answer::status(404),
        Answer::status(401),
        Answer::Close,
        Answer::status(302).header("location", "/elsewhere"),
        Answer::Hang,
    ])
    .await;
    let gateway = Gateway::start(&config(
        &sink,
        "timeout: 500ms, retry: { schedule: [20ms, 20ms, 20ms, 20ms, 20ms, 20ms, 20ms] }",
    ))
    .await;
    let body = event("evt_1", "payment.succeeded");
    Sender::new(&gateway).send(&body).await;
    let hits = sink.wait_for(7).await;
    for (number, hit) in hits.iter().enumerate() {
        assert_eq!(hit.attempt() as usize, number + 1);
        assert!(hit.body == body && hit.uri.path() == "/hook", "redirects are not followed");
        assert_eq!(hit.header("hookward-delivery-id"), hits[0].header("hookward-delivery-id"));
    }
    let shown = delivery(&gateway, "succeeded").await;
    let outcomes = shown["attempts"].as_array().unwrap().iter().map(|attempt| attempt["outcome"].as_str().unwrap());
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        ["status", "status", "status", "protocol", "status", "timeout", "succeeded"]
    );
    let codes = shown["attempts"].as_array().unwrap().iter().map(|attempt| attempt["response_code"].as_u64());
    assert_eq!(codes.collect::<Vec<_>>(), [Some(500), Some(404), Some(401), None, Some(302), None, Some(200)]);
    assert!(shown["attempts"][0]["response_body"].to_string().contains("broken"));

    // Nobody listens at all: refused connections are retried, too.
    sink.down().await;
    Sender::new(&gateway).send(&event("evt_2", "payment.succeeded")).await;
    let waiting = eventually("two refused attempts", async || {
        gateway.list("/v1/deliveries?status=pending").await.pop().filter(|row| row["attempt_count"].as_u64() >= Some(2))
    })
    .await;
    assert_eq!(waiting["outcome"], "connect");
}

#[tokio::test]
async fn retry_after_is_obeyed_in_seconds_and_as_a_date_up_to_an_hour() {
    let date = |seconds: u64| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds));
    for is_date in [false, true] {
        // A date has whole seconds: three from now are at least two.
        let sink = Sink::answering(move |hit| match hit.attempt() {
            1 if is_date => Answer::status(429).header("retry-after", date(3)),
            1 => Answer::status(429).header("retry-after", 2),
            _ => Answer::status(200),
        })
        .await;
        let gateway = Gateway::start(&config(&sink, "retry: { schedule: [20ms, 20ms] }")).await;
        Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await;
        let hits = sink.wait_for(2).await;
        let waited = hits[1].at - hits[0].at;
        assert!((Duration::from_millis(1900)..Duration::from_secs(10)).contains(&waited), "{is_date}: {waited:?}");
    }
    for (value, least, most) in [
        ("99999999999999999999".to_owned(), 3500, 3700),
        ("Fri, 31 Dec 9999 23:59:59 GMT".to_owned(), 3500, 3700),
        ("1800".to_owned(), 1790, 1810),
        // Nonsense and the past leave the schedule as it is.
        ("-5".to_owned(), 50, 70),
        ("soon".to_owned(), 50, 70),
        ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 50, 70),
    ] {
        let sink = Sink::answering(move |_| Answer::status(503).header("retry-after", &value)).await;
        let gateway = Gateway::start(&config(&sink, "retry: { schedule: [1m, 1m], jitter: 0 }")).await;
        Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await;
        sink.wait_for(1).await;
        let next = eventually("the next attempt's time", async || {
            gateway.list("/v1/deliveries?status=pending").await.pop().filter(|row| row["attempt_count"] == 1)
        })
        .await;
        let next: jiff::Timestamp = next["next_attempt_at"].as_str().unwrap().parse().unwrap();
        let waits = next.duration_since(jiff::Timestamp::now()).as_secs();
        assert!((least - 5..most).contains(&waits), "waits {waits} s, expected {least} to {most}");
    }
}

#[tokio::test]
async fn what_a_destination_refuses_for_good_is_dead_at_once_and_delivered_when_a_person_says_so() {
    for status in [400, 410, 413, 415, 422] {
        let sink = Sink::answering(move |_| Answer::status(status).body("no such customer")).await;
        let gateway = Gateway::start(&config(&sink, "retry: { schedule: [20ms, 20ms] }")).await;
        Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await;
        let dead = delivery(&gateway, "dead").await;
        assert_eq!((&dead["dead_reason"], &dead["response_code"]), (&json!("refused"), &json!(status)));
        assert_eq!(sink.count(), 1, "one attempt");
        assert_eq!(gateway.metrics().await.sum("hookward_deliveries_dead_total", &[("reason", "refused")]), 1.0);
    }
}

#[tokio::test]
async fn a_dead_letter_goes_out_again_over_the_api_and_the_command_line() {
    let sink = Sink::answering(|_| Answer::status(500)).await;
    let gateway = Gateway::start(&config(&sink, "retry: { schedule: [20ms, 20ms] }")).await;
    let body = event("evt_1", "payment.succeeded");
    Sender::new(&gateway).send(&body).await;
    let dead = delivery(&gateway, "dead").await;
    assert_eq!((&dead["dead_reason"], &dead["attempt_count"]), (&json!("exhausted"), &json!(3)));
    let id = dead["id"].as_str().unwrap();

    let reply = gateway.post(&format!("/v1/deliveries/{id}/redeliver"), &json!({})).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    sink.wait_for(4).await;
    delivery(&gateway, "dead").await;

    sink.answer(|_| Answer::status(200));
    let said = hookward(&["redeliver", id, "--admin", &format!("http://{}", gateway.admin())], &[]);
    assert!(said.status.success(), "{said:?}");
    let delivered = delivery(&gateway, "succeeded").await;
    assert_eq!(delivered["id"], id);
    assert!(sink.hits().iter().all(|hit| hit.body == body));

    let reply = gateway.post(&format!("/v1/deliveries/{id}x/redeliver"), &json!({})).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn an_open_breaker_burns_no_attempts() {
    let sink = Sink::answering(|_| Answer::status(500)).await;
    let gateway = Gateway::start(&config(
        &sink,
        "retry: { schedule: [100ms, 100ms, 100ms] }, breaker: { failures: 10, window: 30s, open: 1s }",
    ))
    .await;
    let mut sender = Sender::new(&gateway);
    for number in 0..100 {
        sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await;
    }
    let broken_since = Instant::now();
    sink.wait_for(10).await;
    // Without the breaker all four attempts of all events would be made, and all dead, within 400 ms.
    eventually("a second opening of the breaker", async || {
        (gateway.metrics().await.sum("hookward_breaker_opened_total", &[]) >= 2.0).then_some(())
    })
    .await;
    let attempts = sink.count();
    assert!(attempts < 100, "{attempts} attempts in {:?} through an open breaker", broken_since.elapsed());
    sink.answer(|_| Answer::status(200));
    gateway.drained(PATIENCE).await;
    assert_eq!(gateway.list("/v1/deliveries?status=dead").await.len(), 0);
    let delivered = sink.hits().iter().filter(|hit| hit.status == 200).count();
    assert_eq!(delivered, 100);
}
