//! What providers ask before they send, answered by us as their own packages answer it.

use std::collections::BTreeMap;

use hookward::guard::handshake::{HandshakeHead, HandshakeSigned, HandshakeUnsigned, Handshakes};
use hookward::guard::signature::{Config, Occasion, Signer};
use hookward::guard::{Guard, Head};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "a secret of this test";

/// What Braintree asks: 20 to 32 hexadecimal digits.
const CHALLENGE: &str = "20f9f8ed05f77439fe955c977e4c8a53";

fn config(scheme: &str, secret: &str) -> Config {
    let scheme = Scheme::named(scheme).expect("a preset");
    Config { scheme, secrets: vec![Secret::new(secret)], public_url: None }
}

/// The body of our answer.
#[track_caller]
fn answer(scheme: &str, secret: &str, request: &Request<Bytes>) -> String {
    let config = config(scheme, secret);
    let verifier = Arc::new(Verifier::new(&config).expect("a verifier"));
    let known = config.scheme.handshakes;
    let handshakes = Handshakes::new(known, &[Method::POST], None, Arc::clone(&verifier)).map(Arc::new).expect("some");
    let guards = (
        HandshakeHead(Arc::clone(&handshakes)),
        HandshakeUnsigned(Arc::clone(&handshakes)),
        Signature(verifier),
        HandshakeSigned(handshakes),
    );
    let own = guards.answer(Head::of(request), request.body(), &mut Facts::default());
    let own = own.unwrap_or_else(|rejection| panic!("{scheme}: {rejection:?}")).expect("a handshake");
    assert_eq!(own.status(), 200, "{scheme}");
    String::from_utf8(own.body().to_vec()).expect("text")
}

fn get(query: &str) -> Request<Bytes> {
    Request::get(format!("/in?{query}")).body(Bytes::new()).expect("a request")
}

#[test]
fn what_their_packages_answer_we_answer() {
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
    let zoom = Request::post("/in").header("content-type", "application/json").body(Bytes::from(body));
    let signer = Signer::new(&config("zoom", SECRET)).expect("a signer");
    let occasion = Occasion { id: None, event_type: None, signed_at: Clock::machine().wall() };
    let zoom = signer.sign(zoom.expect("a request"), occasion, 0).expect("signed");
    let headers = zoom.headers().iter();
    let headers: BTreeMap<_, _> = headers.map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
    let input = json!({ "secret": SECRET, "crc": "a crc", "challenge": CHALLENGE,
        "zoom": { "headers": headers, "body": body } });
    let theirs: Value =
        serde_json::from_str(&node(include_str!("providers/handshakes.cjs"), &input.to_string())).expect("answers");
    let their = |scheme: &str| theirs[scheme].as_str().unwrap_or_else(|| panic!("{scheme}: {theirs}"));
    let document = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");

    assert_eq!(document(&answer("x", SECRET, &get("crc_token=a%20crc"))), document(their("x")));
    assert_eq!(answer("braintree", "public:private", &get(&format!("bt_challenge={CHALLENGE}"))), their("braintree"));
    assert_eq!(document(&answer("zoom", SECRET, &zoom)), document(their("zoom")));
}
