//! `hookward verify`: what `sign` makes is right, and what is wrong is told; exit codes; nothing secret.

use serde_json::Value;

use super::{hookward, said};

const SECRET: &str = "the-secret-of-the-test";
const AT: &str = "2026-01-02T15:04:05Z";

/// A request as a sender of this scheme makes it, in HTTP's own form.
fn signed(scheme: &str, secret: &str, body: &str, more: &[&str]) -> Vec<u8> {
    let words = [&["sign", "--scheme", scheme, "--at", AT][..], more].concat();
    let output = hookward(&words, &[("HOOKWARD_SECRET", secret)], body.as_bytes());
    said(&output, 0);
    output.stdout
}

#[track_caller]
fn check(scheme: &str, request: &[u8], more: &[&str], code: i32, words: &[&str]) -> String {
    let arguments = [&["verify", "--scheme", scheme, "--request", "-", "--at", AT][..], more].concat();
    let said = said(&hookward(&arguments, &[("HOOKWARD_SECRET", SECRET)], request), code);
    for word in words {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    assert!(!said.contains(SECRET), "the secret is shown: {said}");
    said
}

#[test]
fn what_sign_makes_verify_accepts() {
    let body = r#"{"id":"evt_1","type":"a.b"}"#;
    for (scheme, more) in [
        ("appmint", &[][..]),
        ("stripe", &[]),
        ("github", &["--id", "1", "--type", "push"]),
        ("slack", &[]),
        ("twilio", &["--url", "https://hooks.example.com/in?a=b"]),
        ("hubspot", &["--url", "https://hooks.example.com/in"]),
        ("linear", &[]),
        ("gitlab", &[]),
    ] {
        let url: &[&str] = if more.contains(&"--url") { more } else { &[] };
        let request = signed(scheme, SECRET, body, more);
        // Twilio puts the body's hash into the query: the request's own target has it.
        let url = if scheme == "twilio" { &[][..] } else { url };
        let host = if scheme == "twilio" { "host: hooks.example.com\n" } else { "" };
        let request = String::from_utf8(request).unwrap().replacen('\n', &format!("\n{host}"), 1);
        let said = check(scheme, request.as_bytes(), url, 0, &["verified by the scheme"]);
        assert!(!said.contains("not verified"), "{said}");
    }
}

#[test]
fn what_is_wrong_is_told_with_what_was_expected_signed_and_given() {
    let body = "{\"id\":\"evt_1\",\"type\":\"a.b\"}";
    let request = signed("stripe", SECRET, body, &[]);
    let pretty = [request.as_slice(), b"\n"].concat();
    check(
        "stripe",
        &pretty,
        &[],
        1,
        &[
            "not verified by the scheme `stripe`: scheme stripe: none of the 1 secrets makes it (signature_mismatch)",
            "expected  hmac-sha256 in stripe-signature, 64 characters, hex of 32 bytes",
            "signed    {timestamp}, 10 bytes: 1767366245",
            "signed    {body}, 28 bytes: {\"id\":\"evt_1\",\"type\":\"a.b\"}\\u000a",
            "- the signature is right for the body without the line break at its end",
            "- signed at 2026-01-02T15:04:05.000Z, 0 s before now: within the tolerance of 300 s",
        ],
    );
    let late = ["verify", "--scheme", "stripe", "--request", "-", "--at", "2026-01-02T15:10:00Z"];
    let said = said(&hookward(&late, &[("HOOKWARD_SECRET", SECRET)], &request), 1);
    assert!(said.contains("timestamp_too_old") && said.contains("355 s before now"), "{said}");
}

#[test]
fn the_right_signature_of_a_body_is_never_printed() {
    let request = signed("github", SECRET, "{}", &["--id", "1", "--type", "push"]);
    let text = String::from_utf8(request).unwrap();
    let at = text.find("sha256=").unwrap() + 7;
    let right = &text[at..at + 64];
    let forged = text.replace(right, &"0".repeat(64));
    for more in [&[][..], &["--json"]] {
        let said = check("github", forged.as_bytes(), more, 1, &["no change that was tried"]);
        assert!(!said.contains(right), "an oracle: {said}");
    }
}

#[test]
fn headers_and_body_may_come_in_parts_and_machines_get_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let request = String::from_utf8(signed("github", SECRET, "{}", &["--id", "1", "--type", "push"])).unwrap();
    let head = request.split_once('\n').unwrap().1.split_once("\n\n").unwrap().0;
    let (headers, body) = (file("headers", head), file("body", "{}"));
    let secrets = [file("old", "another"), file("new", &format!("{SECRET}\n"))];
    let words = ["verify", "--scheme", "github", "--json", "--headers", &headers, "--body", &body];
    let words = [&words[..], &["--secret-file", &secrets[0], "--secret-file", &secrets[1]]].concat();
    let right: Value = serde_json::from_str(&said(&hookward(&words, &[], b""), 0)).unwrap();
    assert_eq!((&right["object"], &right["verified"]), (&"diagnosis".into(), &true.into()));
    assert_eq!((&right["secret"], &right["secrets"]), (&2.into(), &2.into()));

    let twice = [&words[..], &["--header", "X-Hub-Signature-256: sha256=00"]].concat();
    let wrong: Value = serde_json::from_str(&said(&hookward(&twice, &[], b""), 1)).unwrap();
    assert_eq!(wrong["reason"], "signature_malformed");
    let codes: Vec<_> =
        wrong["findings"].as_array().unwrap().iter().map(|found| found["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["header_twice", "length_other", "fits_otherwise"]);
}

#[test]
fn a_source_is_checked_by_its_configuration_and_mixed_up_secrets_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hookward.yaml");
    let sources = "sources:
  billing: { path: /billing, verify: { scheme: stripe, secrets: [of-billing-test], tolerance: 10s } }
  code: { path: /code, verify: { scheme: github, secrets: [of-code-test] } }
  odd: { path: /odd, verify: { scheme: square, secrets: [of-odd-test], public_url: 'https://a.example/odd' } }\n";
    std::fs::write(&config, sources).unwrap();
    let verify = |source: &str, request: &[u8], at: &str, code: i32| {
        let config = config.to_str().unwrap();
        let words = ["verify", "-c", config, "--source", source, "--request", "-", "--at", at];
        said(&hookward(&words, &[], request), code)
    };
    let stripe = signed("stripe", "of-billing-test", "{}", &[]);
    assert!(verify("billing", &stripe, AT, 0).contains("verified by the source `billing`"));
    assert!(verify("billing", &stripe, "2026-01-02T15:04:16Z", 1).contains("beyond the tolerance of 10 s"));
    let mixed_up = verify("billing", &signed("stripe", "of-code-test", "{}", &[]), AT, 1);
    assert!(mixed_up.contains("for the secret of the source `code`"), "{mixed_up}");
    let square = signed("square", "of-odd-test", "{}", &["--url", "http://a.example/odd/"]);
    let other_url = verify("odd", &square, AT, 1);
    assert!(other_url.contains("the URL http://a.example/odd/, which is not the configured one"), "{other_url}");
    assert!(verify("nobody", &stripe, AT, 2).contains("there is no source `nobody`"));
    std::fs::write(&config, "sources: []\n").unwrap();
    verify("billing", &stripe, AT, 78);
}

#[test]
fn what_makes_no_sense_is_said_with_its_exit_code() {
    for (words, environment, code, fragment) in [
        (&["--scheme", "stripe"][..], None, 2, "no secret"),
        (&["--scheme", "nobody"], Some(SECRET), 2, "there is no scheme"),
        (&["--scheme", "adyen"], Some("not hex"), 2, "an HMAC key in hexadecimal"),
        (&["--scheme", "stripe", "--at", "soon"], Some(SECRET), 2, "--at"),
        (&["--scheme", "stripe", "--header", "nonsense"], Some(SECRET), 2, "not `Name: value`"),
        (&["--scheme", "stripe", "--request", "/nowhere"], Some(SECRET), 1, "/nowhere"),
        (&["--scheme", "stripe", "--request", "-", "--body", "x"], Some(SECRET), 2, "cannot be used with"),
        (&["--scheme", "none", "--body", "/dev/null"], None, 0, "believes everybody"),
        (&[], None, 2, "--scheme"),
    ] {
        let environment: Vec<_> = environment.map(|secret| ("HOOKWARD_SECRET", secret)).into_iter().collect();
        let said = said(&hookward(&[&["verify"], words].concat(), &environment, b"POST /\n\n"), code);
        assert!(said.contains(fragment), "{words:?}: {said}");
    }
}
