//! The providers' own packages and our presets: what they sign we accept, what we sign they accept, and one changed
//! byte is refused on either side. One process of node and one of Python for each direction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use hookward::guard::signature::{Checked, Config, Occasion, PRESETS, Signer};
use hookward::guard::{Guard, Head};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

const URL: &str = "https://hooks.example.com/in";

/// A request that a provider's package signed.
#[derive(Clone, Debug, Deserialize)]
struct Case {
    scheme: String,
    secret: String,
    method: String,
    query: Option<String>,
    headers: BTreeMap<String, String>,
    body: String,
    /// When it was signed, in milliseconds.
    now: u64,
    id: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

/// The guards of a source with a preset.
struct Guards {
    verifier: Arc<Verifier>,
    window: Option<ReplayWindow>,
    envelope: Envelope,
    clock: Clock,
}

impl Guards {
    fn new(case: &Case) -> Self {
        let scheme = Scheme::named(&case.scheme).unwrap_or_else(|| panic!("no preset {}", case.scheme));
        let clock = Clock::manual(Timestamp(case.now));
        let window =
            scheme.tolerance().map(|tolerance| ReplayWindow::new(replay_window::Config { tolerance }, clock.clone()));
        let envelope = Envelope::new(envelope::Config::of(&scheme));
        let public_url = scheme.signs_url().then(|| URL.into());
        let config = Config { scheme, secrets: vec![Secret::new(case.secret.as_str())], public_url };
        let verifier = Arc::new(Verifier::new(&config).expect("a verifier"));
        Self { verifier, window, envelope, clock }
    }

    fn answer(&self, request: &Request<Bytes>) -> Result<Facts, &'static str> {
        let (head, body) = (Head::of(request), request.body());
        let mut facts = Facts::default();
        let answer = SignatureHead(Arc::clone(&self.verifier))
            .check(head, body, &mut facts)
            .and_then(|()| Signature(Arc::clone(&self.verifier)).check(head, body, &mut facts))
            .and_then(|()| self.window.check(head, body, &mut facts))
            .and_then(|()| self.envelope.check(head, body, &mut facts));
        answer.map(|()| facts).map_err(|rejection| rejection.reason.code())
    }
}

fn request(case: &Case) -> Request<Bytes> {
    let target = case.query.as_ref().map_or_else(|| "/in".to_owned(), |query| format!("/in?{query}"));
    let mut request = Request::builder().method(case.method.as_str()).uri(target);
    for (name, value) in &case.headers {
        request = request.header(name, value);
    }
    request.body(Bytes::from(decode(&case.body))).expect("a request")
}

fn changed(request: &Request<Bytes>, at: usize) -> Request<Bytes> {
    let (head, body) = request.clone().into_parts();
    let mut body = body.to_vec();
    body[at] ^= 1;
    Request::from_parts(head, Bytes::from(body))
}

/// Accepted as it is; refused with any byte changed that is signed, and when it is too old.
#[track_caller]
fn check(case: &Case) {
    let name = &case.scheme;
    let guards = Guards::new(case);
    let request = request(case);
    let facts = guards.answer(&request).unwrap_or_else(|code| panic!("{name}: {code}: {case:?}"));
    assert_eq!(facts.source_event_id.as_deref(), case.id.as_deref(), "{name}: the id");
    assert_eq!(facts.event_type.as_deref(), case.event_type.as_deref(), "{name}: the type");

    let is_form = case.headers["content-type"].starts_with("application/x-www-form");
    for at in 0..request.body().len() {
        let other = changed(&request, at);
        let code = guards.answer(&other).err();
        let refused = matches!(code, Some("signature_mismatch" | "signature_malformed" | "signature_missing"));
        // Another way to write the same form is the same form for who signs its parameters; and of Adyen's items
        // eight fields are signed and no more.
        let is_unsigned = match name.as_str() {
            "twilio" | "braintree" => is_form && is_same_form(&request, &other),
            "adyen" => is_same_adyen(request.body(), other.body()),
            _ => false,
        };
        assert!(refused || is_unsigned, "{name}: byte {at} of the body: {code:?}");
    }
    if name == "twilio" || name == "hubspot" {
        let mut other = request.clone();
        let query = case.query.as_ref().map_or_else(|| "x=y".to_owned(), |query| format!("{query}&x=y"));
        *other.uri_mut() = format!("/in?{query}").parse().expect("a target");
        assert_eq!(guards.answer(&other).err(), Some("signature_mismatch"), "{name}: the query");
    }
    let proof = guards.verifier.proof_headers();
    for header in [proof.proof, proof.timestamp].into_iter().flatten() {
        let value = request.headers()[header].to_str().expect("text").to_owned();
        for at in 0..value.len() {
            let mut bytes = value.clone().into_bytes();
            bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
            let mut other = request.clone();
            other.headers_mut().insert(header, bytes.as_slice().try_into().expect("a value"));
            // A space, or what stands in Stripe's `v0`, is nothing that is signed.
            let is_signed = value.as_bytes()[at] != b' ' && value.find(",v0").is_none_or(|end| at <= end);
            assert!(guards.answer(&other).is_err() || !is_signed, "{name}: byte {at} of {header}");
        }
    }
    if guards.window.is_some() {
        guards.clock.advance(Duration::from_secs(299).min(guards.verifier.scheme().tolerance().expect("one")));
        assert!(guards.answer(&request).is_ok(), "{name}: young enough");
        guards.clock.advance(guards.verifier.scheme().tolerance().expect("one") + Duration::from_secs(2));
        assert_eq!(guards.answer(&request).err(), Some("timestamp_too_old"), "{name}: too old");
    }
}

fn is_same_form(one: &Request<Bytes>, other: &Request<Bytes>) -> bool {
    let pairs = |request: &Request<Bytes>| {
        let mut pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(request.body()).map(|(name, value)| (name.into(), value.into())).collect();
        pairs.sort();
        pairs.dedup();
        pairs.into_iter().map(|(name, value)| name + &value).collect::<String>()
    };
    pairs(one) == pairs(other)
}

/// Whether what Adyen signs is the same in both bodies.
fn is_same_adyen(one: &[u8], other: &[u8]) -> bool {
    let signed = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).ok()?;
        let items = body["notificationItems"].as_array()?.iter().map(|item| {
            let item = &item["NotificationRequestItem"];
            let fields = [
                "/pspReference",
                "/originalReference",
                "/merchantAccountCode",
                "/merchantReference",
                "/amount/value",
                "/amount/currency",
                "/eventCode",
                "/success",
                "/additionalData/hmacSignature",
            ];
            fields.map(|field| item.pointer(field).cloned())
        });
        Some(items.collect::<Vec<_>>())
    };
    signed(one).is_some() && signed(one) == signed(other)
}

/// The schemes whose entry says that this package signs, or verifies.
fn promised(which: impl Fn(Checked) -> Option<&'static str>, package: &str) -> BTreeSet<&'static str> {
    let promised = PRESETS.iter().filter(|preset| which(preset.checked).is_some_and(|who| who.contains(package)));
    promised.map(|preset| preset.name).collect()
}

fn they_sign(checked: Checked) -> Option<&'static str> {
    if let Checked::TheySign(who) = checked { Some(who) } else { None }
}

#[test]
fn what_the_packages_of_npm_sign_is_accepted_and_nothing_else() {
    let cases: Vec<Case> = serde_json::from_str(&node(include_str!("providers/sign.cjs"), "")).expect("cases");
    let mut seen: BTreeSet<_> = cases.iter().map(|case| case.scheme.as_str()).collect();
    cases.iter().for_each(check);
    // Its own test, in the module beside.
    seen.insert("standard-webhooks");
    assert!(promised(they_sign, "npm").iter().all(|name| seen.contains(name)), "{seen:?}");
}

#[test]
fn what_the_packages_of_pypi_sign_is_accepted_and_nothing_else() {
    let cases: Vec<Case> = serde_json::from_str(&python(include_str!("providers/sign.py"), "")).expect("cases");
    let mut seen: BTreeSet<_> = cases.iter().map(|case| case.scheme.as_str()).collect();
    cases.iter().for_each(check);
    seen.insert("standard-webhooks");
    assert!(promised(they_sign, "PyPI").iter().all(|name| seen.contains(name)), "{seen:?}");
}

/// A request of ours as `verify.cjs` reads it.
fn line(scheme: &str, secret: &str, request: &Request<Bytes>) -> Value {
    let headers = request.headers().iter();
    let headers: BTreeMap<_, _> =
        headers.map(|(name, value)| (name.as_str(), value.to_str().expect("text").to_owned())).collect();
    let url = format!("{URL}{}", request.uri().query().map(|query| format!("?{query}")).unwrap_or_default());
    json!({ "scheme": scheme, "secret": secret, "url": url, "headers": headers, "body": encode(request.body()) })
}

/// What signs, for schemes whose receivers have a public key; else the secret that both have.
fn senders_secret(scheme: &str) -> String {
    match scheme {
        "discord" => "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".to_owned(),
        "sendgrid" => {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
            encode(&key.serialize_der())
        }
        "svix" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
        _ => "a secret of this test".to_owned(),
    }
}

#[test]
fn what_we_sign_the_packages_accept_and_one_changed_byte_they_do_not() {
    let schemes = [
        "discord",
        "github",
        "hubspot",
        "line",
        "linear",
        "paddle",
        "razorpay",
        "sendgrid",
        "shopify",
        "shopify-events",
        "square",
        "stripe",
        "svix",
        "twilio",
        "workos",
        "zoom",
    ];
    let body = r#"{"id":"evt_1","type":"payment.succeeded","event":"paid","event_id":"e1","text":"Zoë 😀"}"#;
    let mut input = String::new();
    for name in schemes {
        let scheme = Scheme::named(name).expect("a preset");
        let public_url = scheme.signs_url().then(|| URL.into());
        let secrets = vec![Secret::new(senders_secret(name))];
        let signer = Signer::new(&Config { scheme, secrets, public_url }).expect("a signer");
        let mut request = Request::post("/in?a=b").header("content-type", "application/json");
        if name.starts_with("shopify") {
            let prefix = if name == "shopify" { "x-shopify" } else { "shopify" };
            for (header, value) in [("shop-domain", "a.myshopify.com"), ("api-version", "2025-10")] {
                request = request.header(format!("{prefix}-{header}"), value);
            }
        }
        let request = request.body(Bytes::from(body)).expect("a request");
        let signed_at = Clock::machine().wall();
        let occasion = Occasion { id: Some("evt_1"), event_type: Some("orders/create"), signed_at };
        let request = signer.sign(request, occasion, 0).expect("signed");
        let secret = String::from_utf8(signer.receivers_secret(0).expect("one").expose().to_vec()).expect("text");
        let at = request.body().iter().position(|byte| *byte == b'Z').expect("in the text");
        for request in [&request, &changed(&request, at)] {
            writeln!(input, "{}", line(name, &secret, request)).expect("into memory");
        }
    }
    let answers = node(include_str!("providers/verify.cjs"), &input);
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).expect("an answer")).collect();
    assert_eq!(answers.len(), 2 * schemes.len());
    for (name, pair) in schemes.iter().zip(answers.chunks(2)) {
        assert_eq!(pair[0]["ok"], true, "{name} refuses what we sign: {}", pair[0]);
        assert_eq!(pair[1]["ok"], false, "{name} accepts another body: {}", pair[1]);
    }
    let they_verify = |checked| if let Checked::TheyVerify(who) = checked { Some(who) } else { None };
    assert!(promised(they_verify, "npm").iter().all(|name| schemes.contains(name)));
}
