//! Small: what an idle gateway holds in memory. What a million pending events and a restart cost needs the release
//! build and minutes: `cargo bench --bench gateway -- --mode pending` measures it and fails beyond the limits.

use super::support::{Gateway, Sender, Sink, appmint_to, event, eventually};

/// Resident memory of a gateway that has work behind it and nothing to do.
const IDLE_RSS_BYTES_MAX: u64 = 20_000_000;
/// The pages of its own among them; those of an unoptimised program's code are another matter.
const IDLE_ANONYMOUS_BYTES_MAX: u64 = 10_000_000;

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
        let (all, anonymous) = (gateway.rss_bytes(), anonymous_bytes(gateway.pid()));
        let small = anonymous <= IDLE_ANONYMOUS_BYTES_MAX && (cfg!(debug_assertions) || all <= IDLE_RSS_BYTES_MAX);
        small.then_some(all)
    })
    .await;
    println!("idle: {idle} bytes");
}

/// Resident memory that no file stands behind.
fn anonymous_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
