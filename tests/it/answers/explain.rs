//! `hookward explain`: each guard as the gateway asks it, routes and deliveries, and what a gateway has kept.

use std::path::Path;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::{hookward, said};
use crate::support::{Client, Gateway, Sender, Sink, event, eventually, sign};

const SECRET: &str = "of-the-explain-test";

const CONFIG: &str = "
ingress: { listen: 127.0.0.1:0, trusted_proxies: [10.0.0.0/8] }
sources:
  ours:
    path: /in
    allow_ips: [192.0.2.0/24]
    body_bytes_max: 1KiB
    rate_limit: [{ requests: 5, per: 1m }, { requests: 9, per: 1m, by: source }]
    verify: { scheme: appmint, secrets: [of-the-explain-test] }
  timed: { path: /timed, verify: { scheme: stripe, secrets: [of-the-explain-test] } }
  asked: { path: /asked, mode: proxy, app: 'http://app.example/base', verify: { scheme: appmint, secrets: [of-the-explain-test] } }
  kept: { path: /kept, mode: proxy, app: 'http://app.example', if_app_fails: keep, respond: { status: 202 }, verify: { scheme: none } }
  open: { path: /open, enforce: report, allow_ips: [192.0.2.0/24], verify: { scheme: appmint, secrets: [of-the-explain-test] } }
  meta: { path: /meta, verify: { scheme: meta, secrets: [of-the-explain-test], verify_token: of-the-handshake } }
routes:
  - { from: ours, types: ['payment.*', refund], to: [crm, log], delay: 5m }
  - { from: timed, to: crm }
  - { from: ours, types: ['user.*'], to: log }
  - { from: '*', to: log, expires: 1h }
destinations:
  crm: { url: 'http://crm.example/hook?token=of-the-destination' }
  log: { discard: true }
";

const AT: &str = "2026-01-02T15:04:05Z";

struct Case<'a> {
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    peer: &'a str,
}

impl Case<'_> {
    fn run(&self, folder: &Path, more: &[&str], code: i32) -> String {
        let config = folder.join("hookward.yaml");
        std::fs::write(&config, CONFIG).unwrap();
        let mut request = format!("{}\ncontent-type: application/json\n", self.target);
        for (name, value) in self.headers {
            request.push_str(&format!("{name}: {value}\n"));
        }
        let request = format!("{request}\n{}", self.body);
        let config = config.to_str().unwrap();
        let words = ["explain", "-c", config, "--request", "-", "--peer", self.peer, "--at", AT];
        let said = said(&hookward(&[&words[..], more].concat(), &[], request.as_bytes()), code);
        for secret in [SECRET, "of-the-handshake", "of-the-destination"] {
            assert!(!said.contains(secret), "a secret is shown: {said}");
        }
        said
    }

    /// Where it ends: each guard's answer, and the reason.
    fn ends(&self, code: i32, guards: &str, reason: Option<&str>) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let explained: Value = serde_json::from_str(&self.run(folder.path(), &["--json"], code)).unwrap();
        let steps = explained["steps"].as_array().unwrap().iter();
        let steps = steps.map(|step| format!("{}:{}", step["guard"].as_str().unwrap(), step["says"].as_str().unwrap()));
        assert_eq!(steps.collect::<Vec<_>>().join(" "), guards, "{explained:#}");
        assert_eq!(explained["reason"].as_str(), reason, "{explained:#}");
        explained
    }
}

#[test]
fn every_guard_is_asked_in_the_gateways_order_until_one_refuses() {
    let body = r#"{"id":"evt_1","type":"payment.failed"}"#;
    let signature = sign(SECRET, body.as_bytes());
    let headers = &[("x-appmint-signature", &*signature)][..];
    let right = Case { target: "POST /in", headers, body, peer: "192.0.2.7" };
    const HEAD: &str = "client:yes path:yes allow_ips:yes rate_limit:yes declared:yes signature_head:yes body:yes";
    let whole = format!("{HEAD} signature:yes envelope:yes rate_limit:yes dedup:yes");
    right.ends(0, &whole, None);

    let elsewhere = Case { target: "POST /other", ..right };
    elsewhere.ends(1, "client:yes path:no", Some("unknown_path"));
    Case { target: "GET /in", ..right }.ends(1, "client:yes path:no", Some("method_not_allowed"));
    Case { target: "POST /in%zz", ..right }.ends(1, "client:yes path:no", Some("malformed_request"));
    let stranger = Case { peer: "198.51.100.1", ..right };
    stranger.ends(1, "client:yes path:yes allow_ips:no", Some("address_not_allowed"));
    let large = "x".repeat(2000);
    let large = Case { body: &large, ..right };
    large.ends(
        1,
        "client:yes path:yes allow_ips:yes rate_limit:yes declared:yes signature_head:yes body:no",
        Some("body_too_large"),
    );
    let declared = [headers, &[("content-length", "2000")]].concat();
    let declared = Case { headers: &declared, ..right };
    declared.ends(1, "client:yes path:yes allow_ips:yes rate_limit:yes declared:no", Some("body_too_large"));
    let unsigned = Case { headers: &[], ..right };
    unsigned.ends(
        1,
        "client:yes path:yes allow_ips:yes rate_limit:yes declared:yes signature_head:no",
        Some("signature_missing"),
    );
    Case { body: "{}", ..right }.ends(1, &format!("{HEAD} signature:no"), Some("signature_mismatch"));
}

#[test]
fn the_client_is_found_as_the_ingress_finds_it() {
    let signature = sign(SECRET, b"{}");
    let headers = [("x-appmint-signature", &*signature), ("x-forwarded-for", "203.0.113.9, 192.0.2.8")];
    let case = Case { target: "POST /in", headers: &headers, body: "{}", peer: "10.1.2.3" };
    let folder = tempfile::tempdir().unwrap();
    let by_proxy = case.run(folder.path(), &[], 1);
    assert!(by_proxy.contains("192.0.2.8, by what the trusted proxy 10.1.2.3 says"), "{by_proxy}");
    assert!(by_proxy.contains("yes allow_ips"), "{by_proxy}");
    let spoofed = Case { peer: "203.0.113.1", ..case }.run(folder.path(), &[], 1);
    assert!(spoofed.contains("203.0.113.1, the peer itself"), "{spoofed}");
    assert!(spoofed.contains("403 address_not_allowed"), "{spoofed}");
}

#[test]
fn routes_and_deliveries_are_told_with_their_reason() {
    let body = r#"{"id":"evt_1","type":"payment.failed"}"#;
    let signature = sign(SECRET, body.as_bytes());
    let headers = [("x-appmint-signature", &*signature)];
    let case = Case { target: "POST /in", headers: &headers, body, peer: "192.0.2.7" };
    let folder = tempfile::tempdir().unwrap();
    let said = case.run(folder.path(), &[], 0);
    for line in [
        "  yes signature          appmint: secret 1 of 1 made it",
        "  yes envelope           id evt_1, type payment.failed",
        "accepted: answered with 200",
        "  yes 1 to crm, log      `payment.*` matches the type",
        "  no  2 to crm           takes events of timed",
        "  no  3 to log           none of user.* matches the type",
        "  yes 4 to log           takes every type",
        "  crm: http://crm.example/hook, not before 2026-01-02T15:09:05.000Z",
        "  log: dropped (discard), not before 2026-01-02T15:09:05.000Z",
    ] {
        assert!(said.contains(line), "no `{line}` in {said}");
    }
}

#[test]
fn what_an_app_answers_itself_has_no_routes() {
    let body = r#"{"id":"evt_1","type":"payment.failed"}"#;
    let signature = sign(SECRET, body.as_bytes());
    let headers = [("x-appmint-signature", &*signature)];
    let case = Case { target: "POST /asked", headers: &headers, body, peer: "192.0.2.7" };
    let folder = tempfile::tempdir().unwrap();
    let said = case.run(folder.path(), &[], 0);
    assert!(said.ends_with("\npassed on to http://app.example/base: the app answers\n"), "{said}");
    let document: Value = serde_json::from_str(&case.run(folder.path(), &["--json"], 0)).unwrap();
    let shown = |field: &str| document[field].clone();
    assert_eq!((shown("outcome"), shown("status")), ("passed_on".into(), Value::Null));
    assert_eq!((shown("kept_while_app_fails"), shown("reports")), (Value::Null, false.into()));
    assert_eq!((shown("routes"), shown("deliveries")), (Value::Array(vec![]), Value::Array(vec![])));
}

#[test]
fn what_is_kept_while_the_app_fails_is_told() {
    let case = Case { target: "POST /kept", headers: &[], body: r#"{"id":"evt_1"}"#, peer: "192.0.2.7" };
    let folder = tempfile::tempdir().unwrap();
    let said = case.run(folder.path(), &[], 0);
    let line = "passed on to http://app.example/: the app answers; while it cannot be reached: kept, answered with 202, \
                and delivered to it as app:kept\n";
    assert!(said.ends_with(line), "{said}");
    let document: Value = serde_json::from_str(&case.run(folder.path(), &["--json"], 0)).unwrap();
    assert_eq!(document["kept_while_app_fails"], json!({ "destination": "app:kept", "status": 202 }));
}

#[test]
fn guards_that_only_report_say_what_they_would_have_refused() {
    let body = r#"{"id":"evt_1","type":"a"}"#;
    let case = Case { target: "POST /open", headers: &[], body, peer: "198.51.100.1" };
    let folder = tempfile::tempdir().unwrap();
    let said = case.run(folder.path(), &[], 0);
    for line in [
        "  no  allow_ips          403 address_not_allowed: ",
        "  yes enforce            report: let through, noted and marked Hookward-Reported: address_not_allowed, signature_missing",
        "accepted: answered with 200",
    ] {
        assert!(said.contains(line), "no `{line}` in {said}");
    }
    let document: Value = serde_json::from_str(&case.run(folder.path(), &["--json"], 0)).unwrap();
    assert_eq!((&document["reports"], &document["outcome"]), (&true.into(), &"accepted".into()));
    // Of what they would let through they say nothing.
    let signature = sign(SECRET, body.as_bytes());
    let headers = [("x-appmint-signature", &*signature)];
    let right = Case { headers: &headers, peer: "192.0.2.7", ..case };
    assert!(!right.run(folder.path(), &[], 0).contains("enforce"));
}

#[test]
fn times_and_handshakes_are_asked_at_the_time_that_is_said() {
    let body = r#"{"id":"evt_1","type":"a"}"#;
    let signed = hookward(&["sign", "--scheme", "stripe", "--at", AT], &[("HOOKWARD_SECRET", SECRET)], body.as_bytes());
    let text = said(&signed, 0);
    let signature = text.lines().find_map(|line| line.strip_prefix("stripe-signature: ")).unwrap();
    let headers = [("stripe-signature", signature)];
    let case = Case { target: "POST /timed", headers: &headers, body, peer: "127.0.0.1" };
    let folder = tempfile::tempdir().unwrap();
    assert!(case.run(folder.path(), &[], 0).contains("within the tolerance"));
    let folder_path = folder.path().join("hookward.yaml");
    let config = folder_path.to_str().unwrap();
    let request = format!("POST /timed\ncontent-type: application/json\nstripe-signature: {signature}\n\n{body}");
    let words = ["explain", "-c", config, "--request", "-", "--at", "2026-01-02T15:10:00Z"];
    assert!(said(&hookward(&words, &[], request.as_bytes()), 1).contains("timestamp_too_old"));

    let target = "GET /meta?hub.mode=subscribe&hub.challenge=42&hub.verify_token=of-the-handshake";
    let handshake = Case { target, headers: &[], body: "", peer: "127.0.0.1" };
    let explained = handshake.ends(0, "client:yes path:yes handshake:yes", None);
    assert_eq!((&explained["outcome"], &explained["status"]), (&"handshake".into(), &200.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_has_kept_is_explained_by_its_id() {
    let sink = Sink::start().await;
    let config = format!(
        "sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [whsec_of_the_tests] }} }}\n  \
         token: {{ path: /token, verify: {{ scheme: token, header: x-token, secrets: [of-the-token-test] }} }}\n\
         routes: [{{ from: '*', to: crm }}]\ndestinations: {{ crm: {{ url: '{}' }} }}\n",
        sink.url("/hook")
    );
    let gateway = Gateway::start(&config).await;
    let (file, admin) = (gateway.config_file(), format!("http://{}", gateway.admin()));
    let explain = |kind: &str, id: &str, code: i32| {
        let words = ["explain", "-c", file.to_str().unwrap(), kind, id, "--admin", &admin];
        said(&hookward(&words, &[], b""), code)
    };
    let kept = Sender::new(&gateway).send(&event("evt_1", "payment.failed")).await;
    let explained = explain("--event", kept.header("hookward-event-id"), 0);
    assert!(explained.contains("id evt_1, type payment.failed") && explained.contains("crm: http://"), "{explained}");

    let wrong = Sender::to(gateway.ingress(), "/in", "another").send(&event("evt_2", "a")).await;
    let id = wrong.header("hookward-rejection-id").to_owned();
    eventually("the rejection", async || {
        (gateway.get(&format!("/v1/rejections/{id}")).await.status == 200).then_some(())
    })
    .await;
    let explained = explain("--rejection", &id, 1);
    assert!(explained.contains("no  signature          401 signature_mismatch"), "{explained}");
    assert!(explained.contains("note: it was refused then as signature_mismatch"), "{explained}");

    let request = Request::post("/token").header("x-token", "of-the-token-test").header("content-type", "text/plain");
    let request = request.body(Full::new(Bytes::from("x"))).unwrap();
    let kept = Client::new(gateway.ingress()).send(request).await.unwrap();
    let explained = explain("--event", kept.header("hookward-event-id"), 1);
    assert!(explained.contains("credentials are masked"), "{explained}");
    assert!(explain("--event", "evt_nothing", 1).contains("404"));
}
