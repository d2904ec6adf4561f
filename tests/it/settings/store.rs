//! `store.*`.

use super::{send, with_source};
use crate::support::{Gateway, Sink, eventually};

fn config(store: &str) -> String {
    format!(
        "store: {{ path: \"@STORE@\", disk_free_min: 1MiB, {store} }}\n\
         sources: {{ a: {{ path: /in, verify: {{ scheme: token, header: x-token, secrets: of-the-test }} }} }}\n"
    )
}

#[tokio::test]
async fn the_store_is_where_its_path_says() {
    let sink = Sink::start().await;
    let gateway = with_source("verify: { scheme: none }, dedup: off", &sink).await;
    send(&gateway, |request| request, "x").await;
    assert!(std::fs::read_dir(gateway.store()).unwrap().count() > 0);
}

#[tokio::test]
async fn relaxed_durability_is_labelled_wherever_somebody_looks() {
    for (setting, label, gauge) in
        [("durability: relaxed", "relaxed", 1.0), ("engine: embedded, durability: strict", "strict", 0.0)]
    {
        let gateway = Gateway::start(&config(setting)).await;
        assert_eq!(gateway.get("/readyz").await.json()["durability"], label);
        assert_eq!(gateway.metrics().await.sum("hookward_store_relaxed", &[]), gauge);
        let log = gateway.log();
        let serving = log.lines().find(|line| line.contains("\"serving\"")).expect("it says that it serves");
        assert!(serving.contains(&format!("\"durability\":\"{label}\"")), "{serving}");
        assert_eq!(log.contains("can be lost in a power cut"), label == "relaxed", "{log}");
    }
}

#[tokio::test]
async fn rejections_go_when_their_time_is_over() {
    let gateway = Gateway::start(&config("retention: { rejections: 1s }")).await;
    assert_eq!(send(&gateway, |request| request, "x").await.status, 401);
    eventually("a rejection", async || (gateway.list("/v1/rejections").await.len() == 1).then_some(())).await;
    eventually("its end", async || gateway.list("/v1/rejections").await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn the_ledger_of_rejections_stays_within_its_bound() {
    let gateway = Gateway::start(&config("rejections_bytes_max: 256KiB")).await;
    let size = || std::fs::metadata(gateway.store().join("rejections.db")).map_or(0, |file| file.len());
    for number in 0..64_u32 {
        let body = vec![b'a' + u8::try_from(number % 26).unwrap(); 60_000];
        assert_eq!(send(&gateway, |request| request, body).await.status, 401);
    }
    eventually("the last of them", async || {
        (gateway.metrics().await.sum("hookward_requests_rejected_total", &[]) >= 64.0).then_some(())
    })
    .await;
    assert!(size() < 1 << 20, "{} bytes", size());
}
