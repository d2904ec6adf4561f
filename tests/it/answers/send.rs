//! `hookward send`: a signed event of any scheme to a running gateway, its answer, and what became of it.

use serde_json::Value;

use super::{hookward, said};
use crate::settings::tls::Authority;
use crate::support::{Answer, Gateway, Sink};

const SCHEMES: &str = "
  appmint: { path: /appmint, verify: { scheme: appmint, secrets: [of-the-send-test] } }
  github: { path: /github, verify: { scheme: github, secrets: [of-the-send-test] } }
  stripe: { path: /stripe, verify: { scheme: stripe, secrets: [of-the-send-test] } }
  slack: { path: /slack, verify: { scheme: slack, secrets: [of-the-send-test] } }
  linear: { path: /linear, verify: { scheme: linear, secrets: [of-the-send-test] } }
  mailgun: { path: /mailgun, verify: { scheme: mailgun, secrets: [of-the-send-test] } }
  twilio: { path: /twilio, verify: { scheme: twilio, secrets: [of-the-send-test], public_url: 'https://a.example/twilio' } }
  okta: { path: /okta, verify: { scheme: okta, secrets: [of-the-send-test] } }
  standard: { path: /standard, verify: { scheme: standard-webhooks, secrets: [whsec_b2YtdGhlLXNlbmQtdGVzdA==] } }
  basic: { path: /basic, dedup: off, verify: { scheme: basic, secrets: ['user:of-the-send-test'] } }
  discord: { path: /discord, verify: { scheme: discord, secrets: ['3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c'] } }
";

struct Sent<'a>(&'a Gateway);

impl Sent<'_> {
    fn run(&self, words: &[&str], code: i32) -> String {
        let (config, admin) = (self.0.config_file(), format!("http://{}", self.0.admin()));
        let words = [&["send", "-c", config.to_str().unwrap(), "--admin", &admin], words].concat();
        let said = said(&hookward(&words, &[], b"whole body"), code);
        assert!(!said.contains("of-the-send-test"), "a secret is shown: {said}");
        said
    }
}

async fn gateway(sink: &Sink) -> Gateway {
    let to =
        format!("routes: [{{ from: '*', to: crm }}]\ndestinations: {{ crm: {{ url: '{}' }} }}\n", sink.url("/hook"));
    Gateway::start(&format!("sources:{SCHEMES}{to}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_of_every_kind_of_scheme_is_accepted_and_followed() {
    let sink = Sink::start().await;
    let gateway = gateway(&sink).await;
    let sent = Sent(&gateway);
    let schemes = ["appmint", "github", "stripe", "slack", "linear", "mailgun", "twilio", "okta", "standard", "basic"];
    for (number, scheme) in schemes.into_iter().enumerate() {
        let words = ["--source", scheme, "--type", "issues.opened", "--data", "{\"n\":7}", "--follow"];
        let said = sent.run(&words, 0);
        assert!(said.starts_with("200  event evt_") && said.contains("crm: succeeded (200)"), "{scheme}: {said}");
        let hits = sink.wait_for(number + 1).await;
        let hit = hits.last().unwrap();
        assert_eq!(hit.header("hookward-source"), scheme);
        let body: Value = serde_json::from_slice(&hit.body).unwrap();
        assert_eq!(body["data"]["n"], 7, "{scheme}: {body}");
        if !["mailgun", "twilio", "okta", "basic"].contains(&scheme) {
            assert_eq!(hit.header("hookward-event-type"), "issues.opened", "{scheme}: {body}");
        }
    }
    let public = sent.run(&["--source", "discord"], 2);
    assert!(public.contains("give the private key with --secret-file"), "{public}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_counts_bodies_and_machines() {
    let sink = Sink::start().await;
    let gateway = gateway(&sink).await;
    let sent = Sent(&gateway);
    let lines = |said: &str| -> Vec<Value> { said.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let three = lines(&sent.run(&["--source", "stripe", "--count", "3", "--json"], 0));
    assert!(three.iter().all(|one| one["duplicate"] == false && one["status"] == 200), "{three:?}");
    let again = lines(&sent.run(&["--source", "github", "--count", "3", "--repeat-id", "--json"], 0));
    let copies: Vec<_> = again.iter().map(|one| one["duplicate"].as_bool().unwrap()).collect();
    assert_eq!(copies, [false, true, true], "{again:?}");
    assert!(again.iter().all(|one| one["event"] == again[0]["event"]), "{again:?}");
    let by_id = sent.run(&["--source", "appmint", "--id", "evt_mine", "--follow", "--json"], 0);
    assert_eq!(lines(&by_id)[0]["source_event_id"], "evt_mine");
    assert_eq!(lines(&by_id)[1]["object"], "delivery");

    let whole = sent.run(&["--source", "basic", "--body", "-"], 0);
    assert!(whole.contains("event evt_"), "{whole}");
    let hits = sink.wait_for(6).await;
    assert_eq!(&*hits.last().unwrap().body, b"whole body");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_fails_is_said_with_its_exit_code() {
    let sink = Sink::scripted([Answer::status(503)]).await;
    let gateway = gateway(&sink).await;
    let sent = Sent(&gateway);
    let failing = sent.run(&["--source", "appmint", "--follow"], 0);
    assert!(failing.contains("crm: pending (503), again at") || failing.contains("crm: succeeded"), "{failing}");

    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("secret");
    std::fs::write(&wrong, "another").unwrap();
    let refused = sent.run(&["--source", "appmint", "--secret-file", wrong.to_str().unwrap()], 1);
    assert!(refused.starts_with("401  signature_mismatch: rejection rejection_"), "{refused}");
    let elsewhere = format!("http://{}/nowhere", gateway.ingress());
    assert!(sent.run(&["--source", "appmint", "--to", &elsewhere], 1).contains("404  unknown_path"));
    assert!(sent.run(&["--source", "appmint", "--to", "http://127.0.0.1:1"], 1).contains("no gateway answers"));
    assert!(sent.run(&["--source", "appmint", "--to", "nonsense"], 2).contains("--to"));
    assert!(sent.run(&["--source", "nobody"], 2).contains("there is no source `nobody`"));
    assert!(sent.run(&["--source", "appmint", "--data", "{"], 2).contains("--data"));
    assert!(sent.run(&["--source", "appmint", "--count", "0"], 2).contains("--count"));
}

#[test]
fn an_ingress_that_speaks_tls_wants_to_be_called_by_a_name_of_its_certificate() {
    let gateway = Gateway::prepare(
        "ingress: { listen: \"@INGRESS@\", tls: { cert: one.pem, key: one.key } }\n\
         sources: { a: { path: /in, verify: { scheme: none } } }\n",
    );
    Authority::new().issue(gateway.folder(), "one", &["one.example"]);
    let said = Sent(&gateway).run(&["--source", "a"], 2);
    assert!(said.contains("speaks TLS: say --to https:// with a name that its certificate has"), "{said}");
}
