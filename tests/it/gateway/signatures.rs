//! Promise 3, the part about signatures: the sender's own verifies at the destination, late retries included, and
//! ours stands beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use http_body_util::Full;

use crate::support::{Answer, Client, Gateway, Hit, Sink, event};

const SENDERS_KEY: &[u8] = b"the key of the sender, 32 bytes!";
const OUR_KEY: &[u8] = b"the key of the gateway, 32 bytes";

fn sign(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Whether the trio of headers with this prefix verifies with this key.
fn verifies(hit: &Hit, prefix: &str, key: &[u8]) -> bool {
    let [id, timestamp, signature] =
        ["id", "timestamp", "signature"].map(|part| hit.header(&format!("{prefix}webhook-{part}")).to_owned());
    signature == sign(key, &id, &timestamp, &hit.body)
}

/// An event whose first attempt fails and whose second comes after the tolerance of its signature has passed.
async fn late_retry(settings: &str) -> (Vec<Hit>, u64) {
    let sink = Sink::scripted([Answer::status(500)]).await;
    let config = format!(
        "sources:\n  standard:\n    path: /in\n    verify: {{ scheme: standard-webhooks, tolerance: 2s, secrets: [\"whsec_{}\"] }}\n\
         routes:\n  - {{ from: standard, to: [crm] }}\n\
         destinations:\n  crm: {{ url: \"{}\", retry: {{ schedule: [4s], jitter: 0 }}, {settings} }}\n",
        STANDARD.encode(SENDERS_KEY),
        sink.url("/hook")
    );
    let gateway = Gateway::start(&config).await;
    let body: Bytes = event("msg_1", "payment.succeeded");
    let sent_at = now();
    let request = Request::post("/in")
        .header("content-type", "application/json")
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", sent_at.to_string())
        .header("webhook-signature", sign(SENDERS_KEY, "msg_1", &sent_at.to_string(), &body))
        .body(Full::new(body))
        .unwrap();
    let reply = Client::new(gateway.ingress()).send(request).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    let hits = sink.wait_for(2).await;
    assert!(verifies(&hits[0], "", SENDERS_KEY), "{:?}", hits[0].headers);
    assert_eq!(hits[0].header("webhook-timestamp"), sent_at.to_string(), "the sender's own signature goes first");
    (hits, sent_at)
}

#[tokio::test]
async fn auto_renews_a_signature_that_would_be_too_old_and_keeps_the_original_beside_it() {
    let (hits, sent_at) = late_retry("signature: auto").await;
    let renewed: u64 = hits[1].header("webhook-timestamp").parse().unwrap();
    assert!(renewed >= sent_at + 3, "renewed at {renewed}, sent at {sent_at}");
    assert!(verifies(&hits[1], "", SENDERS_KEY), "{:?}", hits[1].headers);
    assert_eq!(hits[1].header("hookward-original-webhook-timestamp"), sent_at.to_string(), "{:?}", hits[1].headers);
    assert_eq!(hits[1].header("hookward-original-webhook-signature"), hits[0].header("webhook-signature"));
    assert_eq!(hits[1].body, hits[0].body);
}

#[tokio::test]
async fn keep_leaves_the_senders_signature_as_it_was() {
    let (hits, sent_at) = late_retry("signature: keep").await;
    assert_eq!(hits[1].header("webhook-timestamp"), sent_at.to_string());
    assert!(verifies(&hits[1], "", SENDERS_KEY));
}

#[tokio::test]
async fn our_own_signature_stands_beside_the_senders_and_is_new_for_each_attempt() {
    let settings = format!("signature: auto, sign: {{ secret: \"whsec_{}\" }}", STANDARD.encode(OUR_KEY));
    let (hits, sent_at) = late_retry(&settings).await;
    for hit in &hits {
        assert!(verifies(hit, "hookward-", OUR_KEY), "{:?}", hit.headers);
        assert!(verifies(hit, "", SENDERS_KEY), "{:?}", hit.headers);
    }
    let ours: u64 = hits[1].header("hookward-webhook-timestamp").parse().unwrap();
    assert!(ours >= sent_at + 3, "signed when it was sent");
}
