//! The mistakes that people make, each told by its finding.

use std::collections::HashSet;

use bytes::Bytes;
use http::Request;

use super::*;
use crate::domain::Secret;
use crate::guard::signature::{Config, Occasion, Scheme, Signer, presets};

const SECRET: &str = "the secret of the test";
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const URL: &str = "https://hooks.example.com/in";

fn config(scheme: &str, secrets: &[&str]) -> Config {
    let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    let scheme = Scheme::named(scheme).expect("a scheme");
    let public_url = scheme.signs_url().then(|| URL.into());
    Config { scheme, secrets, public_url }
}

/// A request as the sender makes it.
fn signed(config: &Config, target: &str, body: &str) -> Request<Bytes> {
    let signer = Signer::new(config).expect("a signer");
    let request = Request::post(target).body(Bytes::copy_from_slice(body.as_bytes())).expect("a request");
    let occasion = Occasion { id: Some("evt_1"), event_type: Some("a.b"), signed_at: NOW };
    signer.sign(request, occasion, 0).expect("signed")
}

fn diagnose(config: &Config, request: &Request<Bytes>) -> Diagnosis {
    let verifier = Verifier::new(config).expect("a verifier");
    Question {
        head: Head::of(request),
        body: Some(request.body()),
        verifier: &verifier,
        tolerance: config.scheme.tolerance(),
        now: NOW,
        others: &[],
        budget: Budget::default(),
    }
    .diagnose()
}

/// The codes of what is found, and that nothing that is found holds a secret or the right signature.
#[track_caller]
fn check(config: &Config, request: &Request<Bytes>, expected: &[&str], words: &str) {
    let diagnosis = diagnose(config, request);
    let codes: Vec<_> = diagnosis.findings.iter().map(Finding::code).collect();
    let said: Vec<_> = diagnosis.findings.iter().map(ToString::to_string).collect();
    assert_eq!(codes, expected, "{said:#?}");
    assert!(said.join("\n").contains(words), "no `{words}` in {said:#?}");
    let everything = format!("{diagnosis:?} {} {said:?}", diagnosis.expected);
    for secret in &config.secrets {
        let secret = String::from_utf8_lossy(secret.expose()).into_owned();
        assert!(!everything.contains(&secret), "the secret is shown: {everything}");
    }
}

fn with_body(request: &Request<Bytes>, body: impl Into<Bytes>) -> Request<Bytes> {
    request.clone().map(|_| body.into())
}

fn with_header(request: &Request<Bytes>, name: &'static str, change: impl Fn(&str) -> String) -> Request<Bytes> {
    let mut request = request.clone();
    let value = request.headers().get(name).and_then(|value| value.to_str().ok()).expect("text");
    let value = change(value).parse().expect("a value");
    request.headers_mut().insert(name, value);
    request
}

#[test]
fn what_is_right_is_said_with_its_secret_and_its_time() {
    let config = config("stripe", &["another", SECRET]);
    let request = signed(&self::config("stripe", &[SECRET]), "/in", "{}");
    let diagnosis = diagnose(&config, &request);
    assert_eq!(diagnosis.verdict, Ok(Verified { secret: Some(2), of: 2 }));
    let covered: Vec<_> = diagnosis.covered.iter().map(|piece| (&*piece.what, piece.bytes, &*piece.shown)).collect();
    assert_eq!(covered, [("{timestamp}", 10, "1800000000"), ("text", 1, "."), ("{body}", 2, "{}")]);
    check(&config, &request, &["signed_time"], "within the tolerance");
    assert_eq!(diagnosis.expected.to_string(), "hmac-sha256 in stripe-signature, 64 characters, hex of 32 bytes");
}

#[test]
fn a_changed_body_is_told_by_its_change() {
    let config = config("github", &[SECRET]);
    let check = |was: &str, came: &str, words: &str| {
        let request = with_body(&signed(&config, "/in", was), Bytes::copy_from_slice(came.as_bytes()));
        self::check(&config, &request, &["fits_other_body"], words);
    };
    check("{}", "{}\n", "without the line break at its end");
    check("{}\n", "{}", "with a line break at its end");
    check("a\r\nb", "a\nb", "with CRLF where it has LF");
    check("a\nb", "a\r\nb", "with LF where it has CRLF");
    check("{}", "\u{feff}{}", "without its byte order mark");
    check("\u{feff}{}", "{}", "with a byte order mark");
    check("", "{}", "an empty body");
    check("x", "  x  ", "white space around");
    let (pretty, compact) = ("{\n  \"b\": 1,\n  \"a\": \"Zo\u{eb}\"\n}", "{\"b\":1,\"a\":\"Zo\u{eb}\"}");
    check(compact, pretty, "written without spaces");
    check(pretty, compact, "indented by 2 spaces");
    check(r#"{"b": 1, "a": "Zo\u00eb"}"#, compact, "a space after each comma and colon, non-ASCII characters escaped");
    check("{\"a\":\"Zo\u{eb}\",\"b\":1}", compact, "keys sorted");
    check(r#"{"a":"http:\/\/x"}"#, r#"{"a":"http://x"}"#, "slashes escaped");
    check(r#"{"a":"http://x"}"#, r#"{"a":"http:\/\/x"}"#, "nothing escaped that need not be");
    let request = with_body(&signed(&config, "/in", "{}"), "{\"other\":1}");
    self::check(&config, &request, &["nothing_fits"], "another secret, or other bytes");
}

#[test]
fn a_mistaken_secret_is_told_by_its_mistake() {
    let check = |scheme: &str, theirs: &str, ours: &[&str], codes: &[&str], words: &str| {
        let request = signed(&config(scheme, &[theirs]), "/in", "{\"id\":\"1\",\"type\":\"a\"}");
        self::check(&config(scheme, ours), &request, codes, words);
    };
    let other = &["fits_other_secret_form"];
    check("github", SECRET, &["the secret of the test "], other, "white space or quotes around it");
    check("github", SECRET, &["another one", "\"the secret of the test\""], other, "secret 2 without the white space");
    check("github", "of-echo\n", &["of-echo"], other, "with a line break");
    let timed = &["fits_other_secret_form", "signed_time"];
    check("stripe", "whsec_YWJj", &["YWJj"], timed, "with `whsec_` in front");
    check("stripe", "abc", &["whsec_YWJj"], timed, "decoded from base64");
    check("stripe", "YWJj", &["whsec_YWJj"], timed, "without the `whsec_`");
    check("github", "abc", &["616263"], other, "decoded from hexadecimal");
}

#[test]
fn a_mistaken_form_is_told_and_that_it_fits_otherwise() {
    let config = config("github", &[SECRET]);
    let request = signed(&config, "/in", "{}");
    let name = "x-hub-signature-256";
    let check = |change: &dyn Fn(&str) -> String, codes: &[&str], words: &str| {
        self::check(&config, &with_header(&request, name, change), codes, words);
    };
    let bytes = |value: &str| hex::decode(value.trim_start_matches("sha256=")).expect("hex");
    let base64 = |value: &str| crate::guard::signature::encoding::encode_base64(&bytes(value));
    check(
        &|value| value.replace("sha256=", ""),
        &["prefix_missing", "fits_otherwise"],
        "does not begin with `sha256=`",
    );
    check(&|value| value.replace("sha256", "sha1"), &["prefix_other", "fits_otherwise"], "begins with `sha1=`");
    check(&|value| format!("sha256={}", base64(value)), &["encoding_other", "fits_otherwise"], "written in base64");
    check(&|value| format!("\"{value}\""), &["signature_wrapped", "fits_otherwise"], "quotes");
    check(&|value| value.replace("sha256=", "sha256= "), &["not_a_signature"], "neither hexadecimal nor base64");
    check(&|value| value[..value.len() - 2].to_owned(), &["length_other", "nothing_fits"], "31 bytes and not 32");
    check(&|value| value[..value.len() - 2].to_owned(), &["length_other", "nothing_fits"], "nothing could be tried");
    check(&|_| "sha256=nonsense!".to_owned(), &["not_a_signature"], "9 characters");

    let base64_scheme = self::config("shopify", &[SECRET]);
    let request = signed(&base64_scheme, "/in", "{}");
    let name = "x-shopify-hmac-sha256";
    let check = |change: &dyn Fn(&str) -> String, codes: &[&str], words: &str| {
        self::check(&base64_scheme, &with_header(&request, name, change), codes, words);
    };
    check(&|value| value.trim_end_matches('=').to_owned(), &["padding_missing", "fits_otherwise"], "lacks the `=`");
    let hex =
        |value: &str| hex::encode(crate::guard::signature::encoding::decode_base64(value.as_bytes()).expect("it"));
    check(&hex, &["encoding_other", "fits_otherwise"], "written in hex");
}

#[test]
fn a_header_that_is_absent_doubled_or_anothers_is_told() {
    let config = config("github", &[SECRET]);
    let request = signed(&config, "/in", "{}");
    let mut twice = request.clone();
    twice.headers_mut().append("x-hub-signature-256", "sha256=00".parse().expect("a value"));
    check(&config, &twice, &["header_twice", "length_other", "fits_otherwise"], "more than one header");
    let mut none = request.clone();
    let value = none.headers_mut().remove("x-hub-signature-256").expect("there");
    check(&config, &none, &["header_missing"], "there is no header x-hub-signature-256");
    let mut elsewhere = none.clone();
    elsewhere.headers_mut().insert("x-line-signature", value);
    check(
        &config,
        &elsewhere,
        &["header_missing", "header_elsewhere", "fits_other_header"],
        "the scheme `line` has that",
    );

    // GitHub's older header: the same body with SHA-1.
    let mut old = self::config("github", &[SECRET]);
    let Proof::Signatures(signatures) = &mut old.scheme.proof else { panic!("signatures") };
    signatures.algorithm = Algorithm::Sha1;
    let sha1 = signed(&old, "/in", "{}");
    check(&config, &sha1, &["length_other", "fits_other_algorithm"], "20 bytes, as sha1 makes them");
}

#[test]
fn pairs_times_and_ids_are_told() {
    let config = config("stripe", &[SECRET]);
    let request = signed(&config, "/in", "{}");
    let check = |change: &dyn Fn(&str) -> String, codes: &[&str], words: &str| {
        self::check(&config, &with_header(&request, "stripe-signature", change), codes, words);
    };
    check(&|value| value.replace("v1=", "v0="), &["pair_missing", "fits_otherwise", "signed_time"], "only t, v0");
    check(&|value| value.replace("t=18", "t=17"), &["nothing_fits", "signed_time"], "beyond the tolerance");
    check(
        &|value| value.replace("t=1800000000", "t=1800000000000"),
        &["nothing_fits", "timestamp_unit", "signed_time"],
        "counts milliseconds",
    );

    let standard = self::config("standard-webhooks", &["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]);
    let mut request = signed(&standard, "/in", "{\"type\":\"a\"}");
    request.headers_mut().remove("webhook-id");
    self::check(
        &standard,
        &request,
        &["header_missing", "nothing_fits", "signed_time"],
        "there is no header webhook-id",
    );
}

#[test]
fn an_old_signature_is_right_and_too_old() {
    let config = config("stripe", &[SECRET]);
    let request = signed(&config, "/in", "{}");
    let verifier = Verifier::new(&config).expect("a verifier");
    let question = Question {
        head: Head::of(&request),
        body: Some(request.body()),
        verifier: &verifier,
        tolerance: config.scheme.tolerance(),
        now: NOW.plus(Duration::from_secs(301)),
        others: &[],
        budget: Budget::default(),
    };
    let diagnosis = question.diagnose();
    assert!(diagnosis.verdict.is_err_and(|rejection| rejection.reason.is_of_time()));
    assert_eq!(diagnosis.findings.iter().map(Finding::code).collect::<Vec<_>>(), ["signed_time"]);
    assert!(diagnosis.findings[0].to_string().contains("301 s before now: beyond the tolerance of 300 s"));
}

#[test]
fn another_url_is_told() {
    let config = config("square", &[SECRET]);
    let theirs = |url: &str| Config { public_url: Some(url.into()), ..config.clone() };
    for url in [
        "http://hooks.example.com/in",
        "https://hooks.example.com/in/",
        "https://hooks.example.com:443/in",
        "https://inside:8080/in",
        "https://hooks.example.com/other",
    ] {
        let mut request = signed(&theirs(url), "/other", "{}");
        request.headers_mut().insert("host", "inside:8080".parse().expect("a host"));
        check(&config, &request, &["fits_other_url"], url);
    }
    let request = signed(&config, "/in", "{}");
    let asked_with_query = Request::post("/in?tenant=7").body(request.body().clone()).expect("a request");
    let (mut parts, body) = asked_with_query.into_parts();
    parts.headers = request.headers().clone();
    check(&config, &Request::from_parts(parts, body), &["fits_other_url"], "without the query");
}

#[test]
fn the_secret_of_another_source_is_told_by_its_name() {
    let (ours, theirs) = (config("github", &[SECRET]), config("stripe", &["old", "theirs"]));
    let (verifier, other) = (Verifier::new(&ours).expect("ours"), Verifier::new(&theirs).expect("theirs"));
    let request = signed(&config("github", &["theirs"]), "/in", "{}");
    let question = Question {
        head: Head::of(&request),
        body: Some(request.body()),
        verifier: &verifier,
        tolerance: None,
        now: NOW,
        others: &[Other { name: "billing", verifier: &other }],
        budget: Budget::default(),
    };
    let diagnosis = question.diagnose();
    assert_eq!(diagnosis.findings.len(), 1);
    assert_eq!(diagnosis.findings[0].code(), "fits_other_source");
    assert_eq!(diagnosis.findings[0].to_string(), "the signature is right for the secret of the source `billing`");
}

#[test]
fn tokens_and_passwords_are_told_by_their_mistake() {
    let check = |scheme: &str, secret: &str, headers: &[(&'static str, &str)], codes: &[&str], words: &str| {
        let mut request = Request::post("/in").body(Bytes::new()).expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a value"));
        }
        self::check(&config(scheme, &["another-secret", secret]), &request, codes, words);
    };
    let fits = &["credential_fits"];
    check("gitlab", "a-Token", &[], &["header_missing"], "x-gitlab-token");
    check(
        "gitlab",
        "a-Token",
        &[("x-gitlab-token", "\"a-Token\"")],
        fits,
        "it is secret 2, with white space or quotes",
    );
    check("gitlab", "a-Token", &[("x-gitlab-token", "A-TOKEN")], fits, "upper and lower case");
    check("gitlab", "a-Token", &[("x-gitlab-token", "YS1Ub2tlbg==")], fits, "base64");
    check("gitlab", " a-Token", &[("x-gitlab-token", "a-Token")], fits, "the configured one");
    check("gitlab", "a-Token", &[("x-gitlab-token", "else")], &["credential_other"], "none of the 2 secrets");
    check("gitlab", "a-Token", &[("x-gitlab-token", "[masked]")], &["credential_masked"], "masked");
    check("token", "a-Token", &[("authorization", "a-Token")], &["prefix_missing", "credential_fits"], "`Bearer `");
    check("token", "a-Token", &[("authorization", "Bearer Bearer a-Token")], fits, "there twice");
    let config = config("basic", &["user:password"]);
    let request = Request::post("/in").header("authorization", "Basic dXNlcjpvdGhlcg==");
    self::check(&config, &request.body(Bytes::new()).expect("a request"), fits, "the password is another one");
}

#[test]
fn odd_senders_are_asked_again_with_other_bodies() {
    const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let config = config("paypal", &["WH-1"]);
    let request = Request::post("/in").body(Bytes::from("{}")).expect("a request");
    check(&config, &request, &["certificate_needed"], "certificate");
    let adyen = self::config("adyen", &[KEY]);
    check(&adyen, &request, &["nothing_fits"], "no change");
}

#[test]
fn a_search_ends_at_its_bound() {
    let config = config("github", &[SECRET]);
    let request = with_body(&signed(&config, "/in", "{}"), vec![b'x'; 1 << 20]);
    let verifier = Verifier::new(&config).expect("a verifier");
    let budget = Budget { bytes_max: 3 << 20, tries_max: 2000 };
    let question = Question {
        head: Head::of(&request),
        body: Some(request.body()),
        verifier: &verifier,
        tolerance: None,
        now: NOW,
        others: &[],
        budget,
    };
    let findings = question.diagnose().findings;
    assert_eq!(findings, [Finding::NothingFits { tries: 2, all: false }]);
    let findings = Question { budget: Budget { tries_max: 5, ..Budget::default() }, ..question }.diagnose().findings;
    assert_eq!(findings, [Finding::NothingFits { tries: 5, all: false }]);
}

#[test]
fn every_scheme_answers_to_a_request_of_nobody() {
    let request = Request::post("/in?a=b").body(Bytes::from("{}")).expect("a request");
    let mut codes = HashSet::new();
    for preset in presets::PRESETS {
        let secret = match preset.name {
            "adyen" | "discord" => "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
            "aws-sns" => "arn:aws:sns:eu-west-1:1:topic",
            "sendgrid" => {
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaWkh3CW5bZ0mSw7fzUYlVnqdGVKmmoSmrmzsxwRL8vxpQvX0ZmwnmMvJ0mFR8wJfSEJv1cE0kY7mPpFbJZDWgg=="
            }
            "braintree" => "public:private",
            _ => "c2VjcmV0IG9mIGEgdGVzdA==",
        };
        let config = config(preset.name, &[secret]);
        let diagnosis = diagnose(&config, &request);
        assert!(diagnosis.verdict.is_err(), "{}", preset.name);
        assert!(!diagnosis.findings.is_empty(), "{}: {diagnosis:?}", preset.name);
        codes.extend(diagnosis.findings.iter().map(Finding::code));
    }
    assert!(codes.contains("header_missing") && codes.contains("field_missing"), "{codes:?}");
}
