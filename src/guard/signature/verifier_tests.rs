//! What the engine takes for a signature, and everything that it must not.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use proptest::prelude::*;

use super::*;
use crate::domain::Timestamp;
use crate::guard::signature::{Encoding, SignError, Signing, TimestampField, TimestampUnit, Token, presets};

const BODY: &str = r#"{"id":"evt_1","type":"a"}"#;
const SECRET: &str = "a secret";
/// `printf '%s' BODY | openssl dgst -sha256 -hmac 'a secret'`
const HEX: &str = "25ac19927f860ea6c9a43a76f642c80210b898fe9b9901572ac773aa04045995";

fn verifier(scheme: Scheme, secrets: &[&str]) -> Result<Verifier, ConfigError> {
    let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    Verifier::new(&Config { scheme, secrets, public_url: Some("https://hooks.example.com/in".into()) })
}

/// The secret that verified, and the signed time.
type Verified = (Option<u8>, Option<u64>);

#[track_caller]
fn check(verifier: &Verifier, headers: &[(&str, &str)], body: &str, expected: Result<Verified, Reason>) {
    let mut request = Request::post("/in?a=b");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    let mut facts = Facts::default();
    let answer = verifier.verify(Head::of(&request), body.as_bytes(), &mut facts);
    let verified = answer.map(|()| (facts.secret_index, facts.signed_at.map(|signed_at| signed_at.0)));
    assert_eq!(verified.map_err(|rejection| rejection.reason), expected, "{headers:?} {body}");
    // What can be told before the body is there is told before it is there.
    let of_head = verifier.check_head(Head::of(&request)).map_err(|rejection| rejection.reason);
    let expected_of_head = match expected {
        Err(reason @ (Reason::SignatureMissing | Reason::SignatureMalformed)) => Err(reason),
        _ => Ok(()),
    };
    assert_eq!(of_head, expected_of_head, "{headers:?}");
}

const NAME: &str = "x-appmint-signature";
const MALFORMED: Result<Verified, Reason> = Err(Reason::SignatureMalformed);
const MISMATCH: Result<Verified, Reason> = Err(Reason::SignatureMismatch);

#[test]
fn the_platforms_signature_is_verified() {
    let verifier = verifier(presets::APPMINT.scheme(), &[SECRET]).expect("a verifier");
    let signature = format!("sha256={HEX}");
    check(&verifier, &[(NAME, &signature)], BODY, Ok((Some(0), None)));
    check(&verifier, &[(NAME, &format!("sha256={}", HEX.to_uppercase()))], BODY, Ok((Some(0), None)));
    // Another way to write the same JSON is another body.
    check(&verifier, &[(NAME, &signature)], r#"{"id": "evt_1", "type": "a"}"#, MISMATCH);
    check(&verifier, &[(NAME, &signature)], r#"{"type":"a","id":"evt_1"}"#, MISMATCH);
    check(&verifier, &[(NAME, &signature)], &format!("{BODY}\n"), MISMATCH);
    check(&verifier, &[(NAME, &signature)], "", MISMATCH);
}

#[test]
fn a_malformed_signature_is_refused_before_the_body() {
    let verifier = verifier(presets::APPMINT.scheme(), &[SECRET]).expect("a verifier");
    check(&verifier, &[], BODY, Err(Reason::SignatureMissing));
    check(&verifier, &[("x-hub-signature-256", &format!("sha256={HEX}"))], BODY, Err(Reason::SignatureMissing));
    let sha1 = &HEX[..40];
    for malformed in [
        "",
        "sha256=",
        "sha256",
        HEX,
        &format!("sha1={sha1}"),
        &format!("sha1={HEX}"),
        &format!("sha512={HEX}{HEX}"),
        &format!("SHA256={HEX}"),
        &format!("sha256={}", &HEX[..62]),
        &format!("sha256={}", &HEX[..63]),
        &format!("sha256={HEX}0"),
        &format!("sha256={HEX}00"),
        &format!("sha256= {HEX}"),
        &format!("sha256={HEX} "),
        &format!(" sha256={HEX}"),
        &format!("sha256=0x{}", &HEX[..62]),
        &format!("sha256={}zz", &HEX[..62]),
        &format!("sha256={HEX},sha256={HEX}"),
        &format!("v1,{HEX}"),
        &format!("sha256={}ä", &HEX[..62]),
        "sha256=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=",
    ] {
        check(&verifier, &[(NAME, malformed)], BODY, MALFORMED);
    }
    let signature = format!("sha256={HEX}");
    check(&verifier, &[(NAME, &signature), (NAME, &signature)], BODY, MALFORMED);
    check(&verifier, &[(NAME, &signature), (NAME, "")], BODY, MALFORMED);
}

#[test]
fn another_signature_is_a_mismatch() {
    let verifier = verifier(presets::APPMINT.scheme(), &[SECRET]).expect("a verifier");
    check(&verifier, &[(NAME, &format!("sha256={}", "0".repeat(64)))], BODY, MISMATCH);
    // Every bit of the signature counts.
    let bytes = hex::decode(HEX).expect("hex");
    for bit in 0..256 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check(&verifier, &[(NAME, &format!("sha256={}", hex::encode(flipped)))], BODY, MISMATCH);
    }
}

#[test]
fn any_one_of_the_secrets_may_have_signed() {
    let signature = format!("sha256={HEX}");
    for (secrets, expected) in [
        (&["other", SECRET][..], Ok((Some(1), None))),
        (&[SECRET, "other"], Ok((Some(0), None))),
        (&[SECRET, SECRET], Ok((Some(0), None))),
        (&["other", "a secret ", "A secret", ""], MISMATCH),
    ] {
        let secrets: Vec<_> = secrets.iter().copied().filter(|secret| !secret.is_empty()).collect();
        check(
            &verifier(presets::APPMINT.scheme(), &secrets).expect("a verifier"),
            &[(NAME, &signature)],
            BODY,
            expected,
        );
    }
}

/// What a sender's library makes, with another body, id or time to be tried under its signature.
fn standard(secret: &str, id: &str, seconds: u64, body: &str) -> String {
    let verifier = verifier(presets::STANDARD_WEBHOOKS.scheme(), &[secret]).expect("a verifier");
    let (method, uri) = (Method::POST, Uri::from_static("/in"));
    let signed_at = Timestamp(seconds * 1000);
    let signing = Signing {
        body: body.as_bytes(),
        id: Some(id),
        signed_at,
        method: &method,
        uri: &uri,
        headers: &HeaderMap::new(),
    };
    let headers = verifier.sign(&signing, 0).expect("signed");
    headers.iter().find(|(name, _)| name == "webhook-signature").expect("there").1.to_str().expect("text").to_owned()
}

const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn standard_webhooks_take_the_specifications_example() {
    // The example of the specification's text.
    let verifier = verifier(presets::STANDARD_WEBHOOKS.scheme(), &[WHSEC]).expect("a verifier");
    let headers = |signature| {
        [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signature),
        ]
    };
    let body = r#"{"test": 2432232314}"#;
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    check(&verifier, &headers(signature), body, Ok((Some(0), Some(1_614_265_330_000))));
    check(&verifier, &headers(signature), r#"{"test": 2432232315}"#, MISMATCH);
    check(
        &verifier,
        &headers(&format!("v1a,AAAA v1,{} {signature}", "A".repeat(44))),
        body,
        Ok((Some(0), Some(1_614_265_330_000))),
    );
}

#[test]
fn standard_webhooks_refuse_what_is_not_one() {
    let verifier = verifier(presets::STANDARD_WEBHOOKS.scheme(), &[WHSEC]).expect("a verifier");
    let signature = standard(WHSEC, "msg_1", 1_700_000_000, BODY);
    let good = [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", &*signature)];
    check(&verifier, &good, BODY, Ok((Some(0), Some(1_700_000_000_000))));
    for missing in 0..3 {
        let headers: Vec<_> = good.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, pair)| *pair).collect();
        check(&verifier, &headers, BODY, Err(Reason::SignatureMissing));
        let twice: Vec<_> = good.iter().chain([&good[missing]]).copied().collect();
        check(&verifier, &twice, BODY, MALFORMED);
    }
    let with = |at: usize, value: &'static str| {
        let mut headers = good;
        headers[at].1 = value;
        headers
    };
    check(&verifier, &with(0, "msg_2"), BODY, MISMATCH);
    check(&verifier, &with(1, "1700000001"), BODY, MISMATCH);
    for timestamp in
        ["", " ", "+1700000000", "-1", "1700000000.0", "1.7e9", "0x65", "99999999999999999999", "yesterday"]
    {
        check(&verifier, &with(1, timestamp), BODY, MALFORMED);
    }
    for malformed in ["", "v1,", "v1", "v1,AAAA", "v2,AAAA", "v1a,AAAA", "v1,!", "v1 ,AAAA", "v1,\tAAAA"] {
        check(&verifier, &with(2, malformed), BODY, MALFORMED);
    }
    let bare = signature.trim_start_matches("v1,");
    for malformed in
        [bare, &format!("v2,{bare}"), &format!("v1,{}", bare.trim_end_matches('=')), &format!("v1,{bare}=")]
    {
        check(&verifier, &[good[0], good[1], ("webhook-signature", malformed)], BODY, MALFORMED);
    }
    let many = vec![signature.as_str(); 33].join(" ");
    check(&verifier, &[good[0], good[1], ("webhook-signature", &many)], BODY, MALFORMED);
}

#[test]
fn an_id_cannot_take_a_part_of_what_follows_it() {
    // The signature of (id, time, body) is one over their text: "msg_1.1700000000.123.45" has two readings.
    let verifier = verifier(presets::STANDARD_WEBHOOKS.scheme(), &[WHSEC]).expect("a verifier");
    let signature = standard(WHSEC, "msg_1", 1_700_000_000, "123.45");
    let shifted =
        [("webhook-id", "msg_1.1700000000"), ("webhook-timestamp", "123"), ("webhook-signature", &*signature)];
    check(&verifier, &shifted, "45", MALFORMED);
}

#[test]
fn every_setting_of_hmac_signs_and_verifies() {
    let header = HeaderName::from_static;
    let bodies = [BODY, "", "ä"];
    let timestamps = [
        None,
        Some(TimestampField::header(header("x-time"))),
        Some(TimestampField { unit: TimestampUnit::Milliseconds, ..TimestampField::header(header("x-time")) }),
        Some(TimestampField { unit: TimestampUnit::Rfc3339, ..TimestampField::header(header("x-time")) }),
        Some(TimestampField { place: TimestampPlace::Pair("t"), ..TimestampField::header(header("x-time")) }),
    ];
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
            for timestamp in &timestamps {
                let in_pair = matches!(timestamp, Some(TimestampField { place: TimestampPlace::Pair(_), .. }));
                let form = if in_pair { Form::Pairs { separator: ',', key: "v1" } } else { Form::Bare };
                let signed = if timestamp.is_some() { "{timestamp}.{method}{url}.{id}\n{body}" } else { "{id}|{body}" };
                let signed = signed.parse().expect("a template");
                let prefix = Cow::Borrowed(if in_pair { "" } else { "mac=" });
                let hmac = Signatures {
                    form,
                    prefix,
                    algorithm,
                    encoding,
                    signed,
                    timestamp: timestamp.clone(),
                    ..Signatures::default()
                };
                let scheme = Scheme::hmac(hmac, "header:x-id".parse().ok(), None);
                bodies.iter().for_each(|body| round_trip(&scheme, body));
            }
        }
    }
}

#[track_caller]
fn round_trip(scheme: &Scheme, body: &str) {
    let verifier = verifier(scheme.clone(), &["other", SECRET]).expect("a verifier");
    let has_timestamp = scheme.tolerance().is_some();
    let (method, uri) = (Method::POST, Uri::from_static("/in?a=b"));
    let signed_at = Timestamp(1_700_000_000_000);
    let signing = Signing {
        body: body.as_bytes(),
        id: Some("evt_1"),
        signed_at,
        method: &method,
        uri: &uri,
        headers: &HeaderMap::new(),
    };
    let headers = verifier.sign(&signing, 1).expect("signed");
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
    check(&verifier, &headers, body, Ok((Some(1), has_timestamp.then_some(signed_at.0))));
    check(&verifier, &headers, &format!("{body} "), MISMATCH);
    for (at, (name, _)) in headers.iter().enumerate().filter(|(_, (name, _))| *name == "x-id") {
        let mut other = headers.clone();
        other[at] = (name, "evt_2");
        check(&verifier, &other, body, MISMATCH);
    }
}

#[test]
fn method_and_url_are_signed_where_the_template_has_them() {
    let hmac = Signatures { signed: "{method}:{url}:{body}".parse().expect("a template"), ..Signatures::default() };
    let verifier = verifier(Scheme::hmac(hmac, None, None), &[SECRET]).expect("a verifier");
    let sign = |method: Method, uri: &'static str| {
        let uri = Uri::from_static(uri);
        let signing = Signing {
            body: b"",
            id: None,
            signed_at: Timestamp(0),
            method: &method,
            uri: &uri,
            headers: &HeaderMap::new(),
        };
        verifier.sign(&signing, 0).expect("signed").remove(0).1.to_str().expect("text").to_owned()
    };
    check(&verifier, &[("x-signature", &sign(Method::POST, "/in?a=b"))], "", Ok((Some(0), None)));
    check(&verifier, &[("x-signature", &sign(Method::PUT, "/in?a=b"))], "", MISMATCH);
    check(&verifier, &[("x-signature", &sign(Method::POST, "/in?a=c"))], "", MISMATCH);
    check(&verifier, &[("x-signature", &sign(Method::POST, "/in"))], "", MISMATCH);
}

#[test]
fn tokens_and_passwords_are_compared_whole() {
    let token = Scheme::token(Token { header: HeaderName::from_static("x-token"), prefix: "".into() }, None, None);
    let token = verifier(token, &["other", SECRET]).expect("a verifier");
    check(&token, &[("x-token", SECRET)], "", Ok((Some(1), None)));
    for wrong in ["a secre", "a secret ", "A secret", "*"] {
        check(&token, &[("x-token", wrong)], "", MISMATCH);
    }
    check(&token, &[("x-token", "")], "", MALFORMED);
    check(&token, &[("x-token", SECRET), ("x-token", SECRET)], "", MALFORMED);
    check(&token, &[], "", Err(Reason::SignatureMissing));

    let bearer = verifier(Scheme::token(Token::default(), None, None), &["tok"]).expect("a verifier");
    check(&bearer, &[("authorization", "Bearer tok")], "", Ok((Some(0), None)));
    check(&bearer, &[("authorization", "bearer tok")], "", Ok((Some(0), None)));
    check(&bearer, &[("authorization", "tok")], "", MALFORMED);

    let basic = verifier(Scheme::basic(None, None), &["user:pass:word"]).expect("a verifier");
    check(&basic, &[("authorization", "Basic dXNlcjpwYXNzOndvcmQ=")], "", Ok((Some(0), None)));
    check(&basic, &[("authorization", "Basic dXNlcjpwYXNz")], "", MISMATCH);
    check(&basic, &[("authorization", "Basic user:pass:word")], "", MALFORMED);
    check(&basic, &[("authorization", "Bearer dXNlcjpwYXNzOndvcmQ=")], "", MALFORMED);

    let none = Verifier::new(&Config { scheme: Scheme::none(None, None), secrets: Vec::new(), public_url: None });
    check(&none.expect("a verifier"), &[], "anything", Ok((None, None)));
}

#[test]
fn credentials_are_made_and_marked_as_such() {
    for (scheme, secret) in [(Scheme::token(Token::default(), None, None), "tok"), (Scheme::basic(None, None), "a:b")] {
        let verifier = verifier(scheme, &[secret]).expect("a verifier");
        let (method, uri) = (Method::POST, Uri::from_static("/"));
        let signing = Signing {
            body: b"",
            id: None,
            signed_at: Timestamp(0),
            method: &method,
            uri: &uri,
            headers: &HeaderMap::new(),
        };
        let (name, value) = verifier.sign(&signing, 0).expect("signed").remove(0);
        assert!(value.is_sensitive() && verifier.proof_headers().is_credential);
        check(&verifier, &[(name.as_str(), value.to_str().expect("text"))], "", Ok((Some(0), None)));
    }
}

#[test]
fn scheme_and_secrets_have_to_fit() {
    let hmac = |signed: &str, timestamp: bool| Signatures {
        signed: signed.parse().expect("a template"),
        timestamp: timestamp.then(|| TimestampField::header(HeaderName::from_static("x-time"))),
        ..Signatures::default()
    };
    let error = |scheme: Scheme, secrets: &[&str]| verifier(scheme, secrets).map(|_| ()).expect_err("does not fit");
    let scheme = |hmac| Scheme::hmac(hmac, None, None);
    let count = |found| ConfigError::SecretCount { scheme: "appmint".into(), found };
    assert_eq!(error(presets::APPMINT.scheme(), &[]), count(0));
    assert_eq!(error(presets::APPMINT.scheme(), &["a"; 17]), count(17));
    assert_eq!(error(presets::APPMINT.scheme(), &["a", ""]), ConfigError::SecretEmpty { number: 2 });
    assert_eq!(error(presets::STANDARD_WEBHOOKS.scheme(), &["whsec_"]), ConfigError::SecretEmpty { number: 1 });
    let encoding = KeyEncoding::Base64;
    assert_eq!(
        error(presets::STANDARD_WEBHOOKS.scheme(), &["whsec_!"]),
        ConfigError::SecretEncoding { number: 1, encoding }
    );
    assert_eq!(error(Scheme::none(None, None), &["a"]), ConfigError::SecretsUnused);
    assert_eq!(error(Scheme::basic(None, None), &["user"]), ConfigError::SecretNotBasic { number: 1 });
    assert_eq!(error(scheme(hmac("{timestamp}{body}", false)), &["a"]), ConfigError::TimestampNowhere);
    assert_eq!(error(scheme(hmac("{body}", true)), &["a"]), ConfigError::TimestampUnsigned);
    assert_eq!(error(scheme(hmac("{id}{body}", false)), &["a"]), ConfigError::IdNotInHeader);
    let field =
        TimestampField { place: TimestampPlace::Pair("t"), ..TimestampField::header(HeaderName::from_static("x")) };
    let pair = Signatures { timestamp: Some(field), ..hmac("{timestamp}{body}", true) };
    assert_eq!(error(scheme(pair), &["a"]), ConfigError::TimestampWithoutPairs);
    let config =
        Config { scheme: scheme(hmac("{url}{body}", false)), secrets: vec![Secret::new("a")], public_url: None };
    assert_eq!(Verifier::new(&config).map(|_| ()), Err(ConfigError::PublicUrlMissing));
}

#[test]
fn the_signed_time_is_read_from_the_headers_alone() {
    let verifier = verifier(presets::STANDARD_WEBHOOKS.scheme(), &[WHSEC]).expect("a verifier");
    let signature = standard(WHSEC, "msg_1", 1_700_000_000, BODY);
    let request = Request::post("/")
        .header("webhook-id", "msg_1")
        .header("webhook-timestamp", "1700000000")
        .header("webhook-signature", signature)
        .body(())
        .expect("a request");
    assert_eq!(verifier.signed_at(Head::of(&request)), Some(Timestamp(1_700_000_000_000)));
    assert_eq!(verifier.signed_at(Head::of(&Request::new(()))), None);
}

#[test]
fn a_signature_that_cannot_be_made_says_why() {
    let verifier = verifier(presets::STANDARD_WEBHOOKS.scheme(), &[WHSEC]).expect("a verifier");
    let (method, uri) = (Method::POST, Uri::from_static("/"));
    let signing = Signing {
        body: b"",
        id: None,
        signed_at: Timestamp(0),
        method: &method,
        uri: &uri,
        headers: &HeaderMap::new(),
    };
    assert_eq!(verifier.sign(&signing, 0), Err(SignError::IdMissing));
    assert_eq!(verifier.sign(&signing, 1), Err(SignError::NoSuchSecret(1)));
    let id = HeaderName::from_static("webhook-id");
    assert_eq!(verifier.sign(&Signing { id: Some("a\nb"), ..signing }, 0), Err(SignError::NotAHeaderValue(id)));
}

#[test]
fn nothing_shows_a_secret() {
    let verifier = verifier(presets::APPMINT.scheme(), &[SECRET]).expect("a verifier");
    assert!(!format!("{verifier:?}").contains(SECRET));
}

/// A header's value: any bytes, or pieces of what signature headers are made of.
fn header_value() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "sha256=",
        "v1,",
        "v1=",
        "t=",
        ",",
        ";",
        "=",
        " ",
        "1700000000",
        "Basic ",
        "Bearer ",
        "AAAA",
        "%00",
        HEX,
        "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat().into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn no_header_is_believed_or_makes_it_panic(values in prop::collection::vec(header_value(), 5), body in any::<Vec<u8>>()) {
        let field = TimestampField { place: TimestampPlace::Pair("t"), ..TimestampField::header(HeaderName::from_static("x")) };
        let pairs = Signatures {
            place: Place::Header(HeaderName::from_static("x-appmint-signature")),
            form: Form::Pairs { separator: ',', key: "v1" },
            signed: "{timestamp}.{body}".parse().expect("a template"),
            timestamp: Some(field),
            ..Signatures::default()
        };
        let names = ["x-appmint-signature", "webhook-id", "webhook-timestamp", "webhook-signature", "authorization"];
        let headers: HeaderMap = names
            .into_iter()
            .zip(&values)
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?)))
            .collect();
        let (method, uri) = (Method::POST, Uri::from_static("/"));
        let head = Head { method: &method, uri: &uri, headers: &headers };
        for scheme in [
            presets::APPMINT.scheme(),
            presets::STANDARD_WEBHOOKS.scheme(),
            Scheme::hmac(pairs, None, None),
            Scheme::token(Token::default(), None, None),
            Scheme::basic(None, None),
        ] {
            let verifier = verifier(scheme, &["YTpi:c2VjcmV0IG9mIG91cnM"]).or_else(|_| {
                let config = Config { scheme: presets::STANDARD_WEBHOOKS.scheme(), secrets: vec![Secret::new(WHSEC)], public_url: None };
                Verifier::new(&config)
            });
            let refused = verifier.expect("a verifier").verify(head, &body, &mut Facts::default());
            prop_assert_eq!(refused.expect_err("believed").reason.status().as_u16(), 401);
        }
    }
}
