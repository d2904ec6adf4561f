//! `hookward schemes` and `hookward sign`, and the page that the first one prints.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs a verb with this on its standard input.
fn hookward(args: &[&str], secret: Option<&str>, input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command
        .args(args)
        .env_remove("HOOKWARD_SECRET")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(secret) = secret {
        command.env("HOOKWARD_SECRET", secret);
    }
    let mut child = command.spawn().unwrap();
    // A verb that fails before it reads closes its end.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

#[track_caller]
fn printed(args: &[&str], secret: Option<&str>, input: &str) -> String {
    let output = hookward(args, secret, input);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_page_of_the_schemes_is_current() {
    let page = printed(&["schemes", "--markdown"], None, "");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemes.md");
    if std::env::var_os("HOOKWARD_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let documented = std::fs::read_to_string(&path).unwrap();
    assert!(documented == page, "run: cargo run -- schemes --markdown > docs/schemes.md");
}

#[test]
fn schemes_are_listed_and_shown_for_people_and_machines() {
    let table = printed(&["schemes"], None, "");
    assert!(table.trim_start().starts_with("SCHEME") && table.lines().count() > 40, "{table}");
    let list: Value = serde_json::from_str(&printed(&["schemes", "--json"], None, "")).unwrap();
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(["stripe", "twilio", "adyen", "aws-sns"].iter().all(|name| names.contains(name)), "{names:?}");
    let twilio = printed(&["schemes", "twilio"], None, "");
    for fragment in ["public_url", "hmac-sha1 of {url}{form}", "what npm twilio signs, we accept", "auth token"] {
        assert!(twilio.contains(fragment), "{fragment}: {twilio}");
    }
    let unknown = hookward(&["schemes", "nobody"], None, "");
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn a_request_is_signed_as_the_sender_does() {
    let body = r#"{"id":"evt_1","type":"a"}"#;
    let sign = ["sign", "--scheme", "stripe", "--at", "2026-01-02T15:04:05Z"];
    let text = printed(&sign, Some("whsec_x"), body);
    // printf '1767366245.{"id":"evt_1","type":"a"}' | openssl dgst -sha256 -hmac whsec_x
    let signature =
        "stripe-signature: t=1767366245,v1=bb4f3291d379c0c380be7d8da135a477e2f747cfff0e0f249210bac8845c8eef";
    assert!(text.contains(signature) && text.ends_with(&format!("\n\n{body}")), "{text}");
    let json: Value =
        serde_json::from_str(&printed(&[&sign[..], &["--json"]].concat(), Some("whsec_x"), body)).unwrap();
    assert_eq!(json["headers"]["content-type"], "application/json");

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hookward.yaml");
    let settings = "sources: { crm: { path: /in, verify: { scheme: hmac, header: X-Sig, secrets: [of-the-test] } } }\n";
    std::fs::write(&config, settings).unwrap();
    let text = printed(&["sign", "-c", config.to_str().unwrap(), "--source", "crm"], None, body);
    assert!(text.contains("x-sig: ") && !text.contains("of-the-test"), "{text}");
}

#[test]
fn what_cannot_be_signed_is_said() {
    for (args, secret, code, fragment) in [
        (&["--scheme", "stripe"][..], None, 2, "no secret"),
        (&["--scheme", "nobody"], Some("x"), 2, "there is no scheme"),
        (&["--scheme", "paypal"], Some("x"), 1, "only the sender itself can sign"),
        (&["--scheme", "standard-webhooks"], Some("c2VjcmV0"), 1, "signs the event's id"),
        (&["--scheme", "discord"], Some("00"), 1, "not a private key of ed25519"),
        (&["--scheme", "linear"], Some("x"), 1, "not JSON"),
        (&["--scheme", "github", "--at", "yesterday"], Some("x"), 2, "--at"),
        (&[], None, 2, "--scheme"),
    ] {
        let output = hookward(&[&["sign"][..], args].concat(), secret, "not json");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(fragment), "{args:?}: {error}");
    }
}
