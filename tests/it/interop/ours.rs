//! What `hookward sign` makes: the providers' packages accept it, our guards accept it, and neither of them another
//! byte of what is signed. And a scheme that no package stands for says so in its page.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use hookward::guard::signature::{Checked, Config, PRESETS, Preset, Proof, Signer};
use serde_json::{Value, json};

use super::providers::{Case, URL, changed, misspelled};
use super::*;

/// Schemes that a package of npm verifies too, besides signing itself.
const BOTH: [&str; 6] = ["github", "hubspot", "stripe", "svix", "twilio", "workos"];

/// What the sender has, where that is no text of its own choice.
fn senders_secret(scheme: &str) -> String {
    match scheme {
        "discord" => "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".to_owned(),
        "sendgrid" => {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
            encode(&key.serialize_der())
        }
        "svix" | "standard-webhooks" | "gitlab-signed" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
        "adyen" => "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056".to_owned(),
        "braintree" => "public:private".to_owned(),
        "aws-sns" => "arn:aws:sns:us-east-1:123456789012:orders".to_owned(),
        _ => "a-secret-of-this-test".to_owned(),
    }
}

fn body(scheme: &str) -> &'static str {
    match scheme {
        "adyen" => {
            r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"p1",
            "merchantAccountCode":"Shop","merchantReference":"Zo\u00eb","amount":{"value":1130,"currency":"EUR"},
            "eventCode":"AUTHORISATION","success":"true","additionalData":{}}}]}"#
        }
        "braintree" => "<notification><kind>check</kind><note>Zoe</note></notification>",
        "mailgun" => r#"{"signature":{},"event-data":{"event":"opened","text":"Zoë 😀"}}"#,
        _ => {
            r#"{"id":"evt_1","event_id":"e1","update_id":1,"type":"a.b","event":"paid","event_type":"a.b","text":"Zoë 😀"}"#
        }
    }
}

/// What their requests have besides: no scheme asks for it, but their packages do.
fn besides(scheme: &str) -> &'static [&'static str] {
    match scheme {
        "shopify" => &["x-shopify-shop-domain: a.myshopify.com", "x-shopify-api-version: 2025-10"],
        "shopify-events" => &["shopify-shop-domain: a.myshopify.com", "shopify-api-version: 2025-10"],
        "gitlab" => &["x-gitlab-event: Push Hook"],
        _ => &[],
    }
}

/// The request that `hookward sign` prints for a scheme, signed now; `None` where only the sender itself can sign.
fn signed(scheme: &str) -> Option<Case> {
    let (secret, url) = (senders_secret(scheme), format!("{URL}?a=b"));
    let now = Clock::machine().wall().0 / 1000 * 1000;
    let at = Timestamp(now).to_string();
    let mut sign = Command::new(env!("CARGO_BIN_EXE_hookward"));
    sign.args(["sign", "--json", "--scheme", scheme, "--url", &url, "--at", &at, "--id", "evt_1", "--type", "a/b"]);
    besides(scheme).iter().for_each(|header| {
        sign.args(["--header", header]);
    });
    sign.env("HOOKWARD_SECRET", &secret).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = sign.spawn().expect("hookward starts");
    child.stdin.take().expect("piped").write_all(body(scheme).as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    if error.contains("only the sender itself can sign") {
        return None;
    }
    assert!(output.status.success(), "{scheme}: {error}");
    let request: Value = serde_json::from_slice(&output.stdout).expect("JSON");

    let config = Config {
        scheme: Scheme::named(scheme).expect("a preset"),
        secrets: vec![Secret::new(secret)],
        public_url: Some(URL.into()),
    };
    let signer = Signer::new(&config).expect("a signer");
    let secret = String::from_utf8(signer.receivers_secret(0).expect("one").expose().to_vec()).expect("text");
    let (_, query) = request["target"].as_str().expect("text").split_once('?').expect("a query");
    let body = request["body_base64"].as_str().expect("text").to_owned();
    let headers = serde_json::from_value(request["headers"].clone()).expect("headers");
    let (scheme, method, query) = (scheme.to_owned(), "POST".to_owned(), Some(query.to_owned()));
    Some(Case { scheme, secret, method, query, headers, body, now, id: None, event_type: None })
}

/// The same with another byte of what is signed, and with another byte of the signature.
fn forged(scheme: &str, request: &Request<Bytes>) -> Vec<Request<Bytes>> {
    let body = std::str::from_utf8(request.body()).expect("text");
    let after = |what: &str| body.find(what).expect("it is there") + what.len();
    if scheme == "mailgun" {
        return [r#""token":""#, r#""signature":""#].map(|what| changed(request, after(what) + 1)).into();
    }
    let config = Config {
        scheme: Scheme::named(scheme).expect("a preset"),
        secrets: vec![Secret::new(senders_secret(scheme))],
        public_url: Some(URL.into()),
    };
    let signer = Signer::new(&config).expect("a signer");
    let numbered = http::HeaderName::from_static("x-docusign-signature-1");
    let proof = signer.verifier().proof_headers().proof.cloned().filter(|name| request.headers().contains_key(name));
    let proof = proof.unwrap_or(numbered);
    let value = request.headers()[&proof].to_str().expect("text");
    let mut other = request.clone();
    other.headers_mut().insert(proof.clone(), misspelled(value, value.len() - 10).parse().expect("a value"));
    let is_token = matches!(config.scheme.proof, Proof::Token(_));
    let body = (!is_token).then(|| changed(request, after("Z") - 1));
    body.into_iter().chain([other]).collect()
}

/// A request as `verify.cjs` and `verify.py` read it.
fn line(case: &Case, request: &Request<Bytes>) -> Value {
    let Case { scheme, secret, now, .. } = case;
    let headers = request.headers().iter();
    let headers: serde_json::Map<_, _> =
        headers.map(|(name, value)| (name.to_string(), Value::from(value.to_str().expect("text")))).collect();
    let url = format!("{URL}?{}", request.uri().query().expect("a query"));
    json!({ "scheme": scheme, "secret": secret, "url": url, "headers": headers, "body": encode(request.body()), "now": now })
}

/// Asks the packages of this registry about the requests of these schemes.
#[track_caller]
fn ask(schemes: &[&str], verify: impl Fn(&str) -> String) {
    let mut input = String::new();
    let mut asked = Vec::new();
    for name in schemes {
        let case = signed(name).unwrap_or_else(|| panic!("{name} cannot be signed"));
        let request = case.request();
        asked.push((name, true));
        writeln!(input, "{}", line(&case, &request)).expect("into memory");
        for request in forged(name, &request) {
            asked.push((name, false));
            writeln!(input, "{}", line(&case, &request)).expect("into memory");
        }
    }
    let answers = verify(&input);
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).expect("an answer")).collect();
    assert_eq!(answers.len(), asked.len());
    for ((name, is_genuine), answer) in asked.into_iter().zip(answers) {
        assert_eq!(answer["ok"], is_genuine, "{name}: {answer}");
    }
}

/// The schemes whose entry says that a package of this registry verifies.
fn verified_by(registry: &str) -> Vec<&'static str> {
    let verified = PRESETS.iter().filter(|preset| {
        matches!(preset.checked, Checked::TheyVerify(who) | Checked::OthersVerify(who) if who.starts_with(registry))
    });
    verified.map(|preset| preset.name).collect()
}

#[test]
fn what_we_sign_the_packages_of_npm_accept_and_nothing_else() {
    let schemes = [verified_by("npm"), BOTH.to_vec()].concat();
    ask(&schemes, |input| node(include_str!("providers/verify.cjs"), input));
}

#[test]
fn what_we_sign_the_packages_of_pypi_accept_and_nothing_else() {
    ask(&verified_by("PyPI"), |input| python(include_str!("providers/verify.py"), input));
}

#[test]
fn of_what_we_sign_for_any_scheme_no_byte_may_be_another() {
    let mut unsigned = BTreeSet::new();
    for preset in PRESETS {
        match signed(preset.name) {
            Some(case) => drop(case.check()),
            None => drop(unsigned.insert(preset.name)),
        }
    }
    assert_eq!(unsigned, BTreeSet::from(["aws-sns", "paypal"]), "these have their own test, in certificates.rs");
}

/// The package that an entry names, or the words for there being none.
fn package(preset: &Preset) -> Result<&'static str, &'static str> {
    match preset.checked {
        Checked::No => Err("nobody's code: built by the provider's description alone"),
        Checked::TheySign(who) | Checked::TheyVerify(who) | Checked::OthersVerify(who) | Checked::TheSame(who) => {
            let mut words = who.split(' ').filter(|word| !matches!(*word, "npm" | "PyPI"));
            Ok(words.next().expect("a name"))
        }
    }
}

#[test]
fn a_scheme_without_such_a_check_says_so_and_every_package_that_is_named_is_installed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/schemes.md")).expect("the page");
    let install = std::fs::read_to_string(root.join("tests/install")).expect("the script");
    for preset in PRESETS {
        let start = format!("| [`{}`]", preset.name);
        let row = page.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no {start}"));
        let (_, checked) = row.trim_end_matches(" |").rsplit_once(" | ").expect("columns");
        match package(preset) {
            Err(words) => assert_eq!(checked, words, "{}", preset.name),
            Ok(name) => {
                assert!(checked.contains(name), "{}: {checked}", preset.name);
                let is_installed = ["@", "=="].iter().any(|sign| install.contains(&format!(" {name}{sign}")))
                    || install.contains(&format!("({name}=="));
                assert!(is_installed, "{}: tests/install does not have {name}", preset.name);
            }
        }
    }
}
