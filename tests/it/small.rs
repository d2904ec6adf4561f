//! Small: what an idle gateway holds in memory. What a million pending events and a restart cost needs the release
//! build and minutes: `cargo bench --bench gateway -- --mode pending` measures it and fails beyond the limits.

use super::support::{Gateway, Sender, Sink, appmint_to, event, eventually};

/// Resident memory of a gateway that has work behind it and nothing to do.
const IDLE_RSS_BYTES_MAX: u64 = 20_000_000;

#[tokio::test]
async fn an_idle_gateway_holds_at_most_20_mb() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    println!("idle after the start: {} bytes", gateway.rss_bytes());
    let mut sender = Sender::new(&gateway);
    for number in 0..10 {
        assert_eq!(sender.send(&event(&format!("evt_small_{number}"), "payment.succeeded")).await.status, 200);
    }
    sink.wait_for(10).await;
    let idle = eventually("an idle gateway of at most 20 MB", async || {
        let bytes = gateway.rss_bytes();
        (bytes <= IDLE_RSS_BYTES_MAX).then_some(bytes)
    })
    .await;
    println!("idle after ten events: {idle} bytes");
}
