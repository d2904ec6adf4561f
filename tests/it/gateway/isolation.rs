//! Promise 5: a sick destination hurts nobody else.

use std::time::{Duration, Instant};

use crate::support::{Answer, Gateway, PATIENCE, SECRET, Sender, Sink, event, eventually};

/// How long the healthy destination may wait for an event while the other is sick.
const DELIVERED_WITHIN: Duration = Duration::from_secs(2);

fn config(sick: &Sink, well: &Sink, sick_settings: &str) -> String {
    format!(
        "sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes:\n  - {{ from: appmint, to: [sick, well] }}\n\
         destinations:\n  sick: {{ url: \"{}\", {sick_settings} }}\n  well: {{ url: \"{}\" }}\n",
        sick.url("/hook"),
        well.url("/hook")
    )
}

#[tokio::test]
async fn a_destination_that_hangs_fails_or_is_gone_delays_no_other() {
    for illness in ["hangs", "fails", "is gone"] {
        let mut sick = match illness {
            "hangs" => Sink::answering(|_| Answer::Hang).await,
            _ => Sink::answering(|_| Answer::status(500)).await,
        };
        if illness == "is gone" {
            sick.down().await;
        }
        let well = Sink::start().await;
        let gateway =
            Gateway::start(&config(&sick, &well, "timeout: 2s, retry: { schedule: [100ms, 100ms, 1h] }")).await;
        let mut sender = Sender::new(&gateway);
        for number in 0..300 {
            let sent = Instant::now();
            assert_eq!(sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await.status, 200);
            let hits = well.wait_for(number + 1).await;
            let took = hits[number].at.saturating_duration_since(sent);
            assert!(took < DELIVERED_WITHIN, "{illness}: event {number} took {took:?} to the healthy destination");
        }
        assert_eq!(well.count(), 300, "{illness}");
    }
}

#[tokio::test]
async fn a_destination_at_its_queue_max_sends_its_own_new_deliveries_to_the_dead_letters() {
    let sick = Sink::answering(|_| Answer::status(500)).await;
    let well = Sink::start().await;
    let gateway = Gateway::start(&config(&sick, &well, "queue_max: 5, retry: { schedule: [1h] }")).await;
    let mut sender = Sender::new(&gateway);
    for number in 0..12 {
        let reply = sender.send(&event(&format!("evt_{number}"), "payment.succeeded")).await;
        assert_eq!(reply.status, 200, "admission is not refused");
        // What is being attempted is not in the queue: each waits for its retry before the next one comes.
        let waiting = 5.min(number + 1);
        eventually("the retry that waits", async || {
            let rows = gateway.list("/v1/deliveries?status=pending&destination=sick&limit=100").await;
            (rows.len() == waiting && rows.iter().all(|row| row["attempt_count"] == 1)).then_some(())
        })
        .await;
    }
    assert_eq!(well.wait_for(12).await.len(), 12);
    let dead = eventually("dead letters", async || {
        let rows = gateway.list("/v1/deliveries?status=dead&limit=100").await;
        (rows.len() == 7).then_some(rows)
    })
    .await;
    assert!(dead.iter().all(|row| row["dead_reason"] == "queue_full" && row["destination"] == "sick"), "{dead:?}");

    // They are replayable.
    sick.answer(|_| Answer::status(200));
    for state in ["dead", "pending"] {
        for row in gateway.list(&format!("/v1/deliveries?status={state}&limit=100")).await {
            let path = format!("/v1/deliveries/{}/redeliver", row["id"].as_str().unwrap());
            assert_eq!(gateway.post(&path, &serde_json::json!({})).await.status, 202);
        }
    }
    gateway.drained(PATIENCE).await;
    let mut delivered = sick.hits();
    delivered.retain(|hit| hit.status == 200);
    let mut ids = delivered.iter().map(|hit| hit.header("hookward-source-event-id")).collect::<Vec<_>>();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 12);
}
