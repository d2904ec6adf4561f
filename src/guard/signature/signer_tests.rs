//! What is signed for a preset, its own verifier takes, and takes no more when anything of it changed.

use http::Uri;

use super::super::preset::{PresetField, PresetProof};
use super::super::{PRESETS, Preset};
use super::*;
use crate::domain::{Facts, Reason};
use crate::guard::layer::Head;

const NOW: Timestamp = Timestamp(1_763_900_000_000);
const FORM: &str = "application/x-www-form-urlencoded";

fn signer(preset: &Preset) -> Signer {
    // A key in hexadecimal, which is base64 as well; or one of P-256 in PKCS#8, made by openssl for this test.
    let seed = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let pkcs8 = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgvTwX9VoqC2bwz0wlmSgDZoRbadeJnhJY2s81++Qo/O2hRANCAAQSyl4tnTtu81UK12ENGQi3FuCQ9feLUcQyxTSbYqOYJA2JWIKUokA9Z2m44EmBbQkPiF27cYrxlbxW5+eXcYcX";
    let made = [seed, pkcs8].map(|secret| {
        Signer::new(&Config {
            scheme: preset.scheme(),
            secrets: vec![Secret::new(secret)],
            public_url: Some("https://hooks.example.com/in".into()),
        })
    });
    made.into_iter().find_map(Result::ok).unwrap_or_else(|| panic!("{}: no signer", preset.name))
}

fn sign(signer: &Signer, kind: &str, body: &str) -> Request<Bytes> {
    let request = Request::post("/in?a=b").header("content-type", kind).body(Bytes::from(body.to_owned()));
    let occasion = Occasion { id: Some("id_1"), event_type: Some("paid"), signed_at: NOW };
    signer.sign(request.expect("a request"), occasion, 0).expect("signed")
}

fn answer(signer: &Signer, request: &Request<Bytes>) -> Result<Facts, Reason> {
    let mut facts = Facts::default();
    let head = Head::of(request);
    let answer = signer.verifier().check_head(head);
    let answer = answer.and_then(|()| signer.verifier().verify(head, request.body(), &mut facts));
    answer.map(|()| facts).map_err(|rejection| rejection.reason)
}

#[test]
fn every_preset_takes_what_it_signs_and_no_other_body() {
    for preset in PRESETS.iter().filter(|preset| !matches!(preset.proof, PresetProof::Odd(_))) {
        let (name, signer) = (preset.name, signer(preset));
        let body = r#"{"id":"id_1","text":"Zoë 😀"}"#;
        let request = sign(&signer, "application/json", body);
        let facts = answer(&signer, &request).unwrap_or_else(|reason| panic!("{name}: {}", reason.code()));
        assert_eq!(facts.secret_index, Some(0), "{name}");
        let PresetProof::Signatures(words) = &preset.proof else { continue };
        if words.time.is_empty() {
            assert_eq!(facts.signed_at, None, "{name}");
        } else {
            assert_eq!(facts.signed_at.map(Timestamp::as_secs), Some(NOW.as_secs()), "{name}");
        }
        let covers_all = words.signed.contains("{body}") || words.signed.contains("{form}");
        for at in 0..request.body().len() {
            let mut changed = request.body().to_vec();
            changed[at] ^= 1;
            let (head, _) = request.clone().into_parts();
            let taken = answer(&signer, &Request::from_parts(head, Bytes::from(changed))).is_ok();
            // Mailgun alone signs less than the body; of that the signature's own fields count.
            assert!(!taken || !covers_all, "{name}: byte {at} of the body does not count");
        }
    }
}

#[test]
fn what_is_signed_beside_the_body_counts_too() {
    for preset in PRESETS.iter().filter(|preset| !matches!(preset.proof, PresetProof::Odd(_))) {
        let (name, signer) = (preset.name, signer(preset));
        let PresetProof::Signatures(words) = &preset.proof else { continue };
        let request = sign(&signer, "application/json", "{}");
        if words.signed.contains("{url}") {
            let mut other = request.clone();
            *other.uri_mut() = Uri::try_from(format!("{}&c=d", request.uri())).expect("a target");
            assert!(answer(&signer, &other).is_err(), "{name}: the query does not count");
        }
        if words.signed.contains("{method}") {
            let mut other = request.clone();
            *other.method_mut() = http::Method::PUT;
            assert!(answer(&signer, &other).is_err(), "{name}: the method does not count");
        }
        if let Some(time) = words.time.strip_prefix("header:") {
            let mut other = request.clone();
            let later = write_timestamp(Timestamp(NOW.0 + 1000), words.time_unit);
            other.headers_mut().insert(HeaderName::from_static(time), later.parse().expect("a value"));
            assert_eq!(answer(&signer, &other).err(), Some(Reason::SignatureMismatch), "{name}: the time");
        }
        if let (PresetField::Required([place]), true) = (preset.event_id, words.signed.contains("{id}")) {
            let mut other = request.clone();
            let header = HeaderName::from_static(place.strip_prefix("header:").expect("a header"));
            other.headers_mut().insert(header, HeaderValue::from_static("id_2"));
            assert_eq!(answer(&signer, &other).err(), Some(Reason::SignatureMismatch), "{name}: the id");
        }
    }
}

#[test]
fn mailgun_signs_time_and_token_and_nothing_else() {
    let signer = signer(&super::super::presets::talk::MAILGUN);
    let request = sign(&signer, "application/json", r#"{"event-data":{"event":"opened"}}"#);
    let body = String::from_utf8(request.body().to_vec()).expect("text");
    for (from, to, expected) in [
        ("opened", "failed", Ok(())),
        ("id_1", "id_2", Err(Reason::SignatureMismatch)),
        ("1763900000", "1763900001", Err(Reason::SignatureMismatch)),
        ("\"token\"", "\"tok\"", Err(Reason::SignatureMissing)),
        ("\"signature\":\"", "\"signature\":\"0", Err(Reason::SignatureMalformed)),
    ] {
        assert!(body.contains(from), "{from}: {body}");
        let (head, _) = request.clone().into_parts();
        let changed = Request::from_parts(head, Bytes::from(body.replace(from, to)));
        assert_eq!(answer(&signer, &changed).map(|_| ()), expected, "{from}");
    }
}

#[test]
fn forms_are_signed_by_their_parameters() {
    let signer = signer(&super::super::presets::talk::TWILIO);
    let request = sign(&signer, FORM, "To=%2B15550001&From=%2B15550002&Body=h%C3%A9llo+you");
    assert!(!request.uri().to_string().contains("bodySHA256"));
    assert!(answer(&signer, &request).is_ok());
    let (head, _) = request.into_parts();
    let with = |body: &'static str| Request::from_parts(head.clone(), Bytes::from(body));
    assert!(answer(&signer, &with("Body=h%c3%a9llo%20you&From=%2B15550002&To=%2B15550001")).is_ok(), "the same form");
    for other in ["To=%2B15550001&From=%2B15550002&Body=hello+you", "", "To=%2B15550001"] {
        assert_eq!(answer(&signer, &with(other)).err(), Some(Reason::SignatureMismatch), "{other}");
    }
}

#[test]
fn one_of_many_numbered_headers_may_match() {
    let signer = signer(&super::super::presets::work::DOCUSIGN);
    let request = sign(&signer, "application/json", "{}");
    let signature = request.headers()["x-docusign-signature-1"].clone();
    let other = HeaderValue::from_static("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    let with = |headers: &[(&'static str, &HeaderValue)]| {
        let mut request = request.clone();
        request.headers_mut().remove("x-docusign-signature-1");
        for (name, value) in headers {
            request.headers_mut().append(*name, (*value).clone());
        }
        answer(&signer, &request).map(|_| ())
    };
    assert_eq!(with(&[("x-docusign-signature-1", &other), ("x-docusign-signature-2", &signature)]), Ok(()));
    assert_eq!(with(&[("x-docusign-signature-100", &signature)]), Ok(()));
    assert_eq!(with(&[("x-docusign-signature-1", &other)]), Err(Reason::SignatureMismatch));
    assert_eq!(with(&[]), Err(Reason::SignatureMissing));
    for strange in ["x-docusign-signature-0", "x-docusign-signature-101", "x-docusign-signature-01"] {
        assert_eq!(with(&[(strange, &signature)]), Err(Reason::SignatureMissing), "{strange}");
    }
    let twice = [("x-docusign-signature-1", &signature), ("x-docusign-signature-1", &other)];
    assert_eq!(with(&twice), Err(Reason::SignatureMalformed));
}

#[test]
fn every_item_of_adyen_is_signed_whatever_stands_between_them() {
    let preset = &super::super::presets::odd::ADYEN;
    let config = Config { scheme: preset.scheme(), secrets: vec![Secret::new("00ff")], public_url: None };
    let signer = Signer::new(&config).expect("a signer");
    let item = |psp: &str| format!(r#"{{"NotificationRequestItem":{{"pspReference":"{psp}","eventCode":"CAPTURE"}}}}"#);
    let body = |items: &[&str]| format!(r#"{{"notificationItems":[{}]}}"#, items.join(","));
    let request = sign(&signer, "application/json", &body(&[&item("1"), &item("2")]));
    assert_eq!(answer(&signer, &request).expect("taken").event_type.as_deref(), Some("CAPTURE"));
    let whole: Value = serde_json::from_slice(request.body()).expect("JSON");
    let signed = whole["notificationItems"][0].to_string();
    let (head, _) = request.into_parts();
    let with = |items: &[&str]| answer(&signer, &Request::from_parts(head.clone(), Bytes::from(body(items)))).err();
    assert_eq!(with(&[&signed]), None);
    for behind in [item("3"), "{}".to_owned(), "[]".to_owned(), "null".to_owned(), "1".to_owned()] {
        assert_eq!(with(&[&signed, &behind]), Some(Reason::SignatureMissing), "{behind}");
        assert_eq!(with(&[&signed, &behind, &item("3")]), Some(Reason::SignatureMissing), "{behind}");
    }
    assert_eq!(with(&[]), Some(Reason::SignatureMissing));
    let many = vec![signed.as_str(); 33];
    assert_eq!(with(&many), Some(Reason::SignatureMalformed));
}

#[test]
fn a_token_in_the_query_is_checked_and_comes_once() {
    let preset = &super::super::presets::odd::AZURE_EVENT_GRID;
    let config = Config { scheme: preset.scheme(), secrets: vec![Secret::new("a token+1")], public_url: None };
    let signer = Signer::new(&config).expect("a signer");
    let request = sign(&signer, "application/json", "[]");
    assert!(answer(&signer, &request).is_ok(), "{}", request.uri());
    for (target, expected) in [
        ("/in?code=a+token%2B1", None),
        ("/in?code=other", Some(Reason::SignatureMismatch)),
        ("/in", Some(Reason::SignatureMissing)),
        ("/in?code=a+token%2B1&code=other", Some(Reason::SignatureMalformed)),
    ] {
        let mut other = request.clone();
        *other.uri_mut() = Uri::from_static(target);
        assert_eq!(answer(&signer, &other).err(), expected, "{target}");
    }
}
