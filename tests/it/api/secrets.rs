//! No credential in any output (RELIABILITY.md S17): canaries go in everywhere, and every answer, every error,
//! the metrics and the log at its finest are searched for them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hookward::domain::{Next, Reason, Rejection};
use hookward::store::{RejectedRequest, Store};
use http::Method;
use tracing_subscriber::fmt::MakeWriter;

use super::fixture::{ADMIN, Fixture, event, settled};

/// Every canary starts with this.
const CANARY: &str = "canary-";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_credential_is_in_any_answer_metric_or_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _quiet = tracing::subscriber::set_default(subscriber);
    let fixture = Fixture::new().await;
    let id = fixture.admit(event(&fixture.clock, "a", "b"), &["crm"]).await;
    let claim = fixture.claim("crm").await.remove(0);
    fixture.store.settle(&claim, settled(&claim, &fixture.clock, 200, b"", Next::Succeeded));
    fixture.store.reject(RejectedRequest {
        rejection: Rejection::new(Reason::SignatureMismatch, "no secret makes this signature"),
        source: Some("appmint".into()),
        at: fixture.clock.now(),
        client: None,
        request_line: "POST /webhooks/appmint".into(),
        // What a forgetful writer of the ledger would have left in.
        headers: "authorization: Bearer canary-ledger-55\nx-gitlab-token: canary-ledger-66\n".into(),
        body: Bytes::new(),
    });
    let mut seen = String::new();
    let mut hear = |reply: &crate::support::Reply| {
        seen.push_str(&format!("{:?}\n{}\n", reply.headers, String::from_utf8_lossy(&reply.body)));
    };
    crate::support::eventually("the rejection in the ledger", async || {
        let list = fixture.get("/v1/rejections").await;
        (!list.json()["data"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    for path in [
        format!("/v1/events/{id}"),
        format!("/v1/events/{id}/body"),
        format!("/v1/deliveries/{}", claim.id),
        "/v1/events".into(),
        "/v1/deliveries".into(),
        "/v1/rejections".into(),
        "/v1/sources".into(),
        "/v1/destinations".into(),
        "/v1/nothing".into(),
        "/v1/events?authorization=x".into(),
        "/metrics".into(),
        "/readyz".into(),
    ] {
        hear(&fixture.get(&path).await);
    }
    for path in [format!("/v1/deliveries/{}/redeliver", claim.id), format!("/v1/events/{id}/replay")] {
        hear(&fixture.post(&path).await);
    }
    let almost = format!("Bearer {ADMIN}-almost");
    hear(&fixture.ask(Method::GET, "/v1/events", &[("authorization", &almost)]).await);
    assert!(seen.contains("[masked]") && seen.contains("crm.internal"), "the outputs were looked at");
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("redelivery asked for") && logged.contains("a wrong token"), "{logged}");
    for (what, text) in [("an answer", &seen), ("the log", &logged)] {
        let hits: Vec<&str> = text.lines().filter(|line| line.contains(CANARY)).collect();
        assert!(hits.is_empty(), "{what} shows a credential: {hits:#?}");
    }
}
