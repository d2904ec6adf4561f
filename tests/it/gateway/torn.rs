//! F08 from outside: a start says what of a torn write it has cut off, and goes on behind it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use serde_json::Value;

use crate::support::{Gateway, PATIENCE, Sender, Sink, appmint_to, event};

/// Entries of the log about something that was cut off.
fn cuts(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries.filter(|entry| entry["message"].as_str().is_some_and(|message| message.contains("cut off"))).collect()
}

#[tokio::test]
async fn f08_a_torn_write_at_the_end_of_the_journal_is_cut_off_and_said() {
    let sink = Sink::start().await;
    let mut gateway = Gateway::start(&appmint_to(&[("crm", &sink)])).await;
    let mut sender = Sender::new(&gateway);
    for number in 0..3 {
        assert_eq!(sender.send(&event(&format!("evt_{number}"), "payment.failed")).await.status, 200);
    }
    gateway.drained(PATIENCE).await;
    gateway.kill();
    gateway.run().await;
    assert_eq!(cuts(&gateway), Vec::<Value>::new(), "nothing was torn");
    gateway.kill();

    let journal = gateway.store().join("journal/0000000001.journal");
    let bytes = std::fs::read(&journal).unwrap();
    let end = (bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1).next_multiple_of(8);
    // The beginning of a record that was once there whole, then a hole, then some more of whatever.
    let mut torn = bytes[end - 64..end - 24].to_vec();
    torn.resize(300_000, 0);
    torn.extend([0xab; 100]);
    OpenOptions::new().write(true).open(&journal).unwrap().write_all_at(&torn, end as u64).unwrap();
    gateway.run().await;
    let said = cuts(&gateway);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!((&said[0]["level"], &said[0]["offset"]), (&"WARN".into(), &end.into()), "{said:?}");
    assert_eq!((&said[0]["bytes"], &said[0]["file"]), (&300_100.into(), &journal.to_str().unwrap().into()));

    let mut sender = Sender::new(&gateway);
    assert_eq!(sender.send(&event("evt_3", "payment.failed")).await.status, 200);
    gateway.drained(PATIENCE).await;
    assert_eq!(gateway.list("/v1/events?limit=100").await.len(), 4);
    gateway.kill();
    gateway.run().await;
    assert_eq!(cuts(&gateway).len(), 1, "it is gone");
    assert_eq!(gateway.list("/v1/events?limit=100").await.len(), 4);
    assert_eq!(gateway.metrics().await.sum("hookward_store_damaged_records", &[]), 0.0);
}
