//! What the store and the gateway's memory can take: beyond it admission is refused with 503, and comes back.

use bytes::Bytes;
use tokio::io::AsyncWriteExt;

use crate::support::{
    Answer, Disk, Gateway, PATIENCE, SECRET, Sender, Sink, appmint_to, event, event_of_bytes, eventually, sign,
};

fn refused(reply: &crate::support::Reply, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (503, code));
    assert!(!reply.header("retry-after").is_empty());
}

#[tokio::test]
async fn below_disk_free_min_nothing_is_admitted_and_all_is_well_again_when_there_is_room() {
    let disk = Disk::new(128 << 20);
    let sink = Sink::start().await;
    let mut gateway = Gateway::prepare("");
    gateway.store_at(&disk.path().join("data"));
    gateway
        .configure(&format!("store: {{ path: \"@STORE@\", disk_free_min: 48MiB }}\n{}", appmint_to(&[("crm", &sink)])));
    gateway.run().await;
    let mut sender = Sender::new(&gateway);
    let mut number = 0;
    let mut next = || {
        number += 1;
        event(&format!("evt_{number}"), "payment.succeeded")
    };
    assert_eq!(sender.send(&next()).await.status, 200);
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![7; 80 << 20]).unwrap();
    let reply =
        eventually("a refusal", async || Some(sender.send(&next()).await).filter(|reply| reply.status != 200)).await;
    refused(&reply, "store_full");
    let ready = gateway.get("/readyz").await;
    assert!(String::from_utf8_lossy(&ready.body).contains("disk"), "/readyz says why: {ready:?}");
    std::fs::remove_file(&ballast).unwrap();
    eventually("admission", async || (sender.send(&next()).await.status == 200).then_some(())).await;
    gateway.drained(PATIENCE).await;
    assert!(sink.count() >= 2);
}

#[tokio::test]
async fn at_bytes_max_only_open_events_refuse_admission_and_closed_ones_make_room() {
    let sink = Sink::answering(|_| Answer::status(500)).await;
    let config = format!(
        "store: {{ path: \"@STORE@\", disk_free_min: 1MiB, bytes_max: 64MiB }}\n{}",
        appmint_to(&[("crm", &sink)]).replace("schedule: [50ms", "schedule: [2s, 2s, 2s, 2s, 2s, 2s, 2s, 2s, 2s, 50ms")
    );
    let gateway = Gateway::start(&config).await;
    let mut sender = Sender::new(&gateway);
    let mut number = 0;
    let mut next = || {
        number += 1;
        event_of_bytes(&format!("evt_{number}"), "payment.succeeded", 500_000)
    };
    let mut kept = 0;
    let reply = loop {
        let reply = sender.send(&next()).await;
        if reply.status != 200 {
            break reply;
        }
        kept += 1;
        assert!(kept < 400, "200 MB in a store of at most 64 MiB");
    };
    refused(&reply, "store_full");
    assert!(kept > 50, "{kept} events of 500 kB filled 64 MiB");
    sink.answer(|_| Answer::status(200));
    eventually("admission", async || (sender.send(&next()).await.status == 200).then_some(())).await;
    gateway.drained(PATIENCE).await;
    // Closed events go as new ones come: several times what fits is taken in turn.
    for _ in 0..400 {
        eventually("admission", async || (sender.send(&next()).await.status == 200).then_some(())).await;
    }
    gateway.drained(PATIENCE).await;
    let on_disk: u64 =
        std::fs::read_dir(gateway.store()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk < 3 * (64 << 20), "{on_disk} bytes on disk");
}

#[tokio::test]
async fn retention_removes_closed_events_keeps_open_ones_and_forgets_no_mark() {
    let sink = Sink::answering(|hit| match hit.header("hookward-source-event-id") {
        "evt_open" => Answer::status(500),
        _ => Answer::status(200),
    })
    .await;
    let config = format!(
        "store: {{ path: \"@STORE@\", disk_free_min: 1MiB, retention: {{ events: 1s }} }}\n{}",
        appmint_to(&[("crm", &sink)]).replace("schedule: [50ms", "schedule: [1h")
    );
    let gateway = Gateway::start(&config).await;
    let mut sender = Sender::new(&gateway);
    let (open, closed) = (event("evt_open", "payment.succeeded"), event("evt_closed", "payment.succeeded"));
    sender.send(&open).await;
    sender.send(&closed).await;
    eventually("retention", async || (gateway.get("/v1/events/evt_closed").await.status == 404).then_some(())).await;
    assert_eq!(gateway.get("/v1/events/evt_open").await.status, 200, "what is open is never forgotten");
    assert!(sender.send(&closed).await.is_duplicate(), "the mark lives for its window");
    assert!(sender.send(&open).await.is_duplicate());
    assert_eq!(sink.count(), 2);
}

#[tokio::test]
async fn bodies_beyond_body_memory_max_are_refused_until_there_is_room() {
    let sink = Sink::start().await;
    let config = format!(
        "ingress: {{ listen: \"@INGRESS@\", body_bytes_max: 1MiB, body_memory_max: 1536KiB, request_timeout: 30s }}\n{}",
        appmint_to(&[("crm", &sink)])
    );
    let gateway = Gateway::start(&config).await;
    // Half-sent bodies fill the memory that is set aside for all.
    let half = Bytes::from(vec![b'x'; 900_000]);
    let head = format!(
        "POST /in HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-appmint-signature: {}\r\ncontent-length: 1000000\r\n\r\n",
        sign(SECRET, &half)
    );
    let mut stream = tokio::net::TcpStream::connect(gateway.ingress()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&half).await.unwrap();
    eventually("the body in memory", async || {
        (gateway.metrics().await.sum("hookward_body_memory_bytes", &[]) > 500_000.0).then_some(())
    })
    .await;
    let mut sender = Sender::new(&gateway);
    let body = event_of_bytes("evt_1", "payment.succeeded", 700_000);
    refused(&sender.send(&body).await, "body_memory_full");
    assert_eq!(sender.send(&event("evt_small", "payment.succeeded")).await.status, 200, "what fits is taken");
    drop(stream);
    eventually("admission", async || (sender.send(&body).await.status == 200).then_some(())).await;
    sink.wait_for(2).await;
}
