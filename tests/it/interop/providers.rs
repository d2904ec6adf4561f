//! The providers' own packages and our presets: what they sign we accept, and one changed byte of what is signed, or a
//! time that is too old, we refuse. One process of node and one of Python. The other direction is the module beside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hookward::guard::signature::{Checked, Config, PRESETS, Proof};
use hookward::guard::{Guard, Head};
use serde::Deserialize;
use serde_json::Value;

use super::*;

pub(super) const URL: &str = "https://hooks.example.com/in";

/// A signed request.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Case {
    pub(super) scheme: String,
    /// What the receiver has.
    pub(super) secret: String,
    pub(super) method: String,
    pub(super) query: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    /// In base64.
    pub(super) body: String,
    /// When it was signed, in milliseconds.
    pub(super) now: u64,
    pub(super) id: Option<String>,
    #[serde(rename = "type")]
    pub(super) event_type: Option<String>,
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

// === impl Case ===

impl Case {
    pub(super) fn request(&self) -> Request<Bytes> {
        let target = self.query.as_ref().map_or_else(|| "/in".to_owned(), |query| format!("/in?{query}"));
        let mut request = Request::builder().method(self.method.as_str()).uri(target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Bytes::from(decode(&self.body))).expect("a request")
    }

    /// It is accepted as it is; refused with any byte changed that is signed, and when it is too old.
    #[track_caller]
    pub(super) fn check(&self) -> Facts {
        let (name, guards, request) = (self.scheme.as_str(), Guards::new(self), self.request());
        let facts = guards.answer(&request).unwrap_or_else(|code| panic!("{name}: {code}: {self:?}"));
        check_bytes(name, &guards, &request);
        check_head(name, &guards, &request);
        if let Some(tolerance) = guards.verifier.scheme().tolerance() {
            guards.clock.advance(Duration::from_secs(299).min(tolerance));
            assert!(guards.answer(&request).is_ok(), "{name}: young enough");
            let too_old = Duration::from_secs(301).max(tolerance + Duration::from_secs(1));
            guards.clock.advance(too_old - Duration::from_secs(299).min(tolerance));
            assert_eq!(guards.answer(&request).err(), Some("timestamp_too_old"), "{name}: too old");
        }
        facts
    }
}

pub(super) fn changed(request: &Request<Bytes>, at: usize) -> Request<Bytes> {
    let (head, body) = request.clone().into_parts();
    let mut body = body.to_vec();
    body[at] ^= 1;
    Request::from_parts(head, Bytes::from(body))
}

/// Another character at this place.
pub(super) fn misspelled(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
    String::from_utf8(bytes).expect("it was ASCII")
}

/// Each byte of the body.
#[track_caller]
fn check_bytes(name: &str, guards: &Guards, request: &Request<Bytes>) {
    let kind = request.headers().get("content-type").map(|kind| kind.as_bytes()).unwrap_or_default();
    let is_form = kind.starts_with(b"application/x-www-form-urlencoded");
    let signs_nothing = matches!(guards.verifier.scheme().proof, Proof::Token(_) | Proof::Query(_));
    for at in 0..request.body().len() {
        let other = changed(request, at);
        let code = guards.answer(&other).err();
        let refused = matches!(code, Some("signature_mismatch" | "signature_malformed" | "signature_missing"));
        // Another way to write the same form is the same form for who signs its parameters; of Adyen's items
        // eight fields are signed and no more, of Mailgun's bodies what stands beside the signature.
        let is_unsigned = match name {
            "twilio" | "braintree" => is_form && is_same_form(request, &other),
            "adyen" => is_same_adyen(request.body(), other.body()),
            "mailgun" => is_same_mailgun(request.body(), other.body()),
            _ => signs_nothing,
        };
        assert!(refused || is_unsigned, "{name}: byte {at} of the body: {code:?}");
    }
}

/// Each byte of what proves it in the head; the query and the method where they are signed.
#[track_caller]
fn check_head(name: &str, guards: &Guards, request: &Request<Bytes>) {
    let scheme = guards.verifier.scheme();
    let query = request.uri().query().unwrap_or_default();
    if scheme.signs_url() {
        let mut other = request.clone();
        *other.uri_mut() = format!("/in?{query}&x=y").parse().expect("a target");
        assert_eq!(guards.answer(&other).err(), Some("signature_mismatch"), "{name}: the query");
    }
    if let Proof::Query(parameter) = &scheme.proof {
        let start = query.find(&format!("{parameter}=")).expect("it is there") + parameter.len() + 1;
        for at in start..query.len() {
            let mut other = request.clone();
            *other.uri_mut() = format!("/in?{}", misspelled(query, at)).parse().expect("a target");
            assert!(guards.answer(&other).is_err(), "{name}: byte {at} of the query");
        }
    }
    let template = match &scheme.proof {
        Proof::Signatures(signatures) => signatures.signed.to_string(),
        _ => String::new(),
    };
    if template.contains("{method}") {
        let mut other = request.clone();
        *other.method_mut() = Method::PUT;
        assert_eq!(guards.answer(&other).err(), Some("signature_mismatch"), "{name}: the method");
    }
    let id = scheme.event_id.header.as_ref().filter(|_| template.contains("{id}"));
    let proof = guards.verifier.proof_headers();
    let mut headers: Vec<_> = [proof.proof, proof.timestamp, id].into_iter().flatten().cloned().collect();
    headers.extend(request.headers().keys().filter(|name| name.as_str().starts_with("x-docusign-signature-")).cloned());
    for header in headers {
        let Some(value) = request.headers().get(&header) else { continue };
        let value = value.to_str().expect("text").to_owned();
        for at in 0..value.len() {
            let mut other = request.clone();
            other.headers_mut().insert(header.clone(), misspelled(&value, at).parse().expect("a value"));
            // A space, or what stands in Stripe's `v0`, is nothing that is signed.
            let is_signed = value.as_bytes()[at] != b' ' && value.find(",v0").is_none_or(|end| at <= end);
            assert!(guards.answer(&other).is_err() || !is_signed, "{name}: byte {at} of {header}");
        }
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

/// Whether what Mailgun signs, and how, is the same in both bodies.
fn is_same_mailgun(one: &[u8], other: &[u8]) -> bool {
    let signed = |body: &[u8]| serde_json::from_slice::<Value>(body).ok()?.get("signature").cloned();
    signed(one).is_some() && signed(one) == signed(other)
}

/// Checks all of them; each scheme whose entry says that a package of this registry signs is among them.
#[track_caller]
fn check_all(cases: &str, registry: &str, elsewhere: &[&str]) {
    let cases: Vec<Case> = serde_json::from_str(cases).expect("cases");
    for case in &cases {
        let (name, facts) = (&case.scheme, case.check());
        assert_eq!(facts.source_event_id.as_deref(), case.id.as_deref(), "{name}: the id");
        assert_eq!(facts.event_type.as_deref(), case.event_type.as_deref(), "{name}: the type");
    }
    let seen: BTreeSet<_> = cases.iter().map(|case| case.scheme.as_str()).chain(elsewhere.iter().copied()).collect();
    for preset in PRESETS {
        let is_promised = matches!(preset.checked, Checked::TheySign(who) if who.contains(registry));
        assert!(!is_promised || seen.contains(preset.name), "{}: {:?}", preset.name, preset.checked);
    }
}

// Tests of their own: standard_webhooks.rs and certificates.rs.

#[test]
fn what_the_packages_of_npm_sign_is_accepted_and_nothing_else() {
    check_all(&node(include_str!("providers/sign.cjs"), ""), "npm", &["standard-webhooks"]);
}

#[test]
fn what_the_packages_of_pypi_sign_is_accepted_and_nothing_else() {
    check_all(&python(include_str!("providers/sign.py"), ""), "PyPI", &["standard-webhooks", "paypal"]);
}
