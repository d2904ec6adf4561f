//! The ledger says why a signature was refused: looked at when somebody asks, without a secret, by today's
//! configuration.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;

use super::{hookward, said};
use crate::support::{Client, Gateway, Reply, eventually, sign};

const SECRET: &str = "canary-secret-of-the-ledger";

fn config(secret: &str) -> String {
    format!(
        "sources:
  ours: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{secret}\"] }} }}
  theirs: {{ path: /theirs, verify: {{ scheme: appmint, secrets: [\"canary-secret-of-theirs\"] }} }}
  token: {{ path: /token, verify: {{ scheme: token, header: x-token, secrets: [canary-secret-of-token] }} }}
routes: [{{ from: \"*\", to: nowhere }}]
destinations: {{ nowhere: {{ discard: true }} }}\n"
    )
}

/// The refusal of a request to this path with this header.
async fn refused(gateway: &Gateway, path: &str, header: (&str, &str), body: &'static [u8]) -> Reply {
    let request = Request::post(path).header("content-type", "application/json").header(header.0, header.1);
    let request = request.body(Full::new(Bytes::from_static(body))).unwrap();
    let reply = Client::new(gateway.ingress()).send(request).await.unwrap();
    assert_eq!(reply.status, 401, "{reply:?}");
    assert!(!String::from_utf8_lossy(&reply.body).contains("fits"), "the sender is told nothing: {reply:?}");
    reply
}

/// The rejection as the API shows it, once it is in the ledger.
async fn shown(gateway: &Gateway, refused: &Reply) -> Value {
    let path = format!("/v1/rejections/{}", refused.header("hookward-rejection-id"));
    eventually("the rejection", async || {
        let reply = gateway.get(&path).await;
        (reply.status == 200).then(|| reply.json())
    })
    .await
}

fn codes(rejection: &Value) -> Vec<&str> {
    rejection["diagnosis"]["findings"].as_array().unwrap().iter().map(|found| found["code"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_signature_is_explained_to_the_operator_alone() {
    let gateway = Gateway::start(&config(SECRET)).await;
    const NAME: &str = "x-appmint-signature";
    for (signed, header, sent, expected) in [
        ("{\"a\":1}", NAME, "{\n  \"a\": 1\n}", &["fits_other_body"][..]),
        ("{}", NAME, "{}\n", &["fits_other_body"]),
        ("other", "x-hub-signature-256", "{}", &["header_missing", "header_elsewhere", "body_unknown"]),
        ("other", NAME, "{}", &["nothing_fits"]),
    ] {
        let reply = refused(&gateway, "/in", (header, &sign(SECRET, signed.as_bytes())), sent.as_bytes()).await;
        let rejection = shown(&gateway, &reply).await;
        assert_eq!(codes(&rejection), expected, "{rejection:#}");
        assert!(!rejection.to_string().contains(SECRET), "{rejection:#}");
        assert!(!rejection.to_string().contains(&sign(SECRET, sent.as_bytes())[7..]), "an oracle: {rejection:#}");
    }
    let mixed_up = refused(&gateway, "/in", (NAME, &sign("canary-secret-of-theirs", b"{}")), b"{}").await;
    let rejection = shown(&gateway, &mixed_up).await;
    assert_eq!(codes(&rejection), ["fits_other_source"], "{rejection:#}");

    let token = refused(&gateway, "/token", ("x-token", "Canary-Secret-Of-Token"), b"{}").await;
    let rejection = shown(&gateway, &token).await;
    assert_eq!(codes(&rejection), ["credential_masked"], "{rejection:#}");
    assert!(!rejection.to_string().to_lowercase().contains("canary-secret-of-token"), "{rejection:#}");

    // In lists it would cost too much, and other reasons have none.
    let listed = gateway.list("/v1/rejections").await;
    assert!(listed.iter().all(|row| row.get("diagnosis").is_none()), "{listed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_it_and_a_mended_secret_is_told() {
    let gateway = Gateway::start(&config("wrong-secret-of-the-ledger")).await;
    let reply = refused(&gateway, "/in", ("x-appmint-signature", &sign(SECRET, b"{}")), b"{}").await;
    assert_eq!(codes(&shown(&gateway, &reply).await), ["nothing_fits"]);
    let admin = format!("http://{}", gateway.admin());
    let id = reply.header("hookward-rejection-id");
    let words = ["rejections", id, "--admin", &admin];
    let before = said(&hookward(&words, &[], b""), 0);
    assert!(before.contains("not verified by today's configuration"), "{before}");
    assert!(before.contains("- no change that was tried"), "{before}");
    assert!(before.contains("expected  hmac-sha256 in x-appmint-signature"), "{before}");

    gateway.reload(&config(SECRET)).await;
    let after = said(&hookward(&words, &[], b""), 0);
    assert!(after.contains("signature: verified by today's configuration"), "{after}");
    assert!(after.contains("signature_mismatch"), "why it was refused stays: {after}");
}
