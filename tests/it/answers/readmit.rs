//! What was refused for a wrong secret is let in once the secret is mended, and nothing else is.

use serde_json::{Value, json};

use super::{hookward, said};
use crate::support::{Gateway, PATIENCE, Reply, Sender, Sink, event, eventually};

const SECRET: &str = "canary-secret-of-readmission";

fn config(secret: &str, crm: &Sink) -> String {
    format!(
        "sources:
  ours: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{secret}\"] }} }}
  again: {{ path: /again, dedup: off, verify: {{ scheme: appmint, secrets: [\"{secret}\"] }} }}
  token: {{ path: /token, verify: {{ scheme: token, header: x-token, secrets: [\"{secret}\"] }} }}
  seen: {{ path: /seen, enforce: report, verify: {{ scheme: appmint, secrets: [\"{secret}\"] }} }}
  passing: {{ path: /passing, mode: proxy, app: \"http://127.0.0.1:9\", verify: {{ scheme: appmint, secrets: [\"{secret}\"] }} }}
routes: [{{ from: [ours, again, token], to: crm }}]
destinations:
  crm: {{ url: \"{}\" }}\n",
        crm.url("/hook")
    )
}

/// The path of the rejection with this id, once it is in the ledger.
async fn path_of(gateway: &Gateway, id: &str) -> String {
    let path = format!("/v1/rejections/{id}");
    eventually("the rejection", async || (gateway.get(&path).await.status == 200).then_some(())).await;
    format!("{path}/readmit")
}

async fn readmit(gateway: &Gateway, id: &str) -> Reply {
    let path = path_of(gateway, id).await;
    gateway.post(&path, &json!({})).await
}

#[track_caller]
fn refused(reply: &Reply, words: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (409, "not_readmitted"));
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(words), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn genuine_events_get_in_once_the_secret_is_mended_and_once_only() {
    let crm = Sink::start().await;
    let gateway = Gateway::start(&config("wrong-secret-for-now", &crm)).await;
    let body = event("evt_1", "payment.succeeded");
    let mut ids = Vec::new();
    for (path, secret) in [("/in", SECRET), ("/again", SECRET), ("/in", "the-secret-of-a-forger"), ("/passing", SECRET)]
    {
        let reply = Sender::to(gateway.ingress(), path, secret).send(&body).await;
        assert_eq!(reply.status, 401, "{path}");
        ids.push(reply.header("hookward-rejection-id").to_owned());
    }
    refused(&readmit(&gateway, &ids[0]).await, "signature_mismatch");
    gateway.reload(&config(SECRET, &crm)).await;

    let reply = readmit(&gateway, &ids[0]).await;
    assert_eq!(reply.status, 202);
    let first = reply.json();
    assert_eq!((&first["rejection"], &first["duplicate"]), (&json!(ids[0]), &json!(false)));
    let hit = crm.wait_for(1).await.remove(0);
    assert_eq!(hit.body, body, "byte for byte");
    assert_eq!(hit.header("x-appmint-signature"), crate::support::sign(SECRET, &body));
    assert_eq!((hit.header("hookward-source"), hit.header("hookward-source-event-id")), ("ours", "evt_1"));
    // Its sender's own retry is a copy of it, and so is a second readmission.
    let copy = Sender::to(gateway.ingress(), "/in", SECRET).send(&body).await;
    assert_eq!((copy.status, copy.header("hookward-duplicate")), (200, "true"));
    let again = readmit(&gateway, &ids[0]).await.json();
    assert_eq!((&again["duplicate"], &again["event"]), (&json!(true), &first["event"]));
    // Also where the source deduplicates nothing; by the command line.
    let admin = format!("http://{}", gateway.admin());
    path_of(&gateway, &ids[1]).await;
    let words = ["readmit", &ids[1], &ids[1], "--json", "--admin", &admin];
    let lines = said(&hookward(&words, &[], b""), 0);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["duplicate"], &lines[1]["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!(lines[0]["event"], lines[1]["event"]);

    refused(&readmit(&gateway, &ids[2]).await, "signature_mismatch");
    refused(&readmit(&gateway, &ids[3]).await, "passes requests on");
    let words = ["readmit", &ids[2], "--admin", &admin];
    assert!(said(&hookward(&words, &[], b""), 1).contains("signature_mismatch"));
    crm.wait_for(2).await;
    gateway.drained(PATIENCE).await;
    assert_eq!((crm.count(), gateway.list("/v1/events").await.len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ledger_does_not_have_whole_or_what_got_in_already_does_not_get_in() {
    let crm = Sink::start().await;
    let gateway = Gateway::start(&config(SECRET, &crm)).await;
    let body = event("evt_1", "payment.succeeded");
    let mut sender = Sender::to(gateway.ingress(), "/token", SECRET);
    let wrong = sender.request(&body).header("x-token", "not-the-token");
    let reply = sender.send_as(wrong, &body).await;
    refused(&readmit(&gateway, reply.header("hookward-rejection-id")).await, "signature_missing");
    let large = sender.request(&body).header("x-token", "not-the-token").header("x-large", "x".repeat(20_000));
    let reply = sender.send_as(large, &body).await;
    refused(&readmit(&gateway, reply.header("hookward-rejection-id")).await, "too large to be kept whole");

    let reply = Sender::to(gateway.ingress(), "/seen", "another-secret-than-ours").send(&body).await;
    assert_eq!(reply.status, 200, "it is only reported");
    let row =
        eventually("what was reported", async || gateway.list("/v1/rejections?source=seen").await.into_iter().next())
            .await;
    refused(&readmit(&gateway, row["id"].as_str().unwrap()).await, "let through when it came");
    let unknown = gateway.post("/v1/rejections/rejection_01kb9w3v1m000000000000000000/readmit", &json!({})).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(crm.count(), 0);
}
