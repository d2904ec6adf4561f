//! What is hashed in pieces is believed exactly where the whole body is.

use http::{HeaderMap, Method, Request, Uri};

use super::super::{Config, PRESETS, Signing};
use super::*;
use crate::domain::{Secret, Timestamp};

const BODY: &[u8] = b"{\"id\":\"evt_1\",\"type\":\"a.b\",\"timestamp\":1}";

/// The verifier of a preset with two secrets, where its scheme can be signed by us and taken in pieces.
fn verifier(name: &str) -> Option<Verifier> {
    let scheme = PRESETS.iter().find(|preset| preset.name == name)?.scheme();
    let secrets = ["d2hzZWNfb25l", "d2hzZWNfdHdv"].map(Secret::new).to_vec();
    let public_url = Some("https://hooks.example.com/in".into());
    Verifier::new(&Config { scheme, secrets, public_url })
        .ok()
        .filter(|verifier| verifier.takes_pieces() && verifier.scheme().proof.reads_body())
}

/// What both ways say of a request whose body comes in pieces of this size.
fn both(
    verifier: &Verifier,
    headers: &HeaderMap,
    body: &[u8],
    step: usize,
) -> [Option<(Option<usize>, Option<Timestamp>)>; 2] {
    let mut request = Request::post("/in?a=b").body(()).unwrap();
    *request.headers_mut() = headers.clone();
    let head = Head { method: request.method(), uri: request.uri(), headers: request.headers() };
    let mut facts = Facts::default();
    let whole = verifier.verify(head, body, &mut facts);
    let whole = match whole {
        Ok(()) => Some((facts.secret_index.map(usize::from), facts.signed_at)),
        Err(rejection) if rejection.reason == crate::domain::Reason::SignatureMismatch => Some((None, facts.signed_at)),
        Err(_) => None,
    };
    let pieces = verifier.hashing(head).ok().flatten().map(|mut hashing| {
        body.chunks(step).for_each(|piece| hashing.take(piece));
        let Verified { secret, signed_at } = hashing.finish();
        (secret, signed_at)
    });
    [whole, pieces]
}

#[test]
fn pieces_are_believed_where_the_whole_is() {
    let (method, uri) = (Method::POST, Uri::from_static("/in?a=b"));
    let mut checked = Vec::new();
    for preset in PRESETS {
        let Some(verifier) = verifier(preset.name) else { continue };
        for secret in 0..2 {
            let signing = Signing {
                body: BODY,
                id: Some("msg_1"),
                signed_at: Timestamp(1_700_000_000_000),
                method: &method,
                uri: &uri,
                headers: &HeaderMap::new(),
            };
            let Ok(fields) = verifier.sign(&signing, secret) else { continue };
            let headers: HeaderMap = fields.into_iter().collect();
            for step in [1, 7, BODY.len()] {
                let [whole, pieces] = both(&verifier, &headers, BODY, step);
                assert_eq!(whole, pieces, "{}", preset.name);
                assert_eq!(whole.and_then(|(secret, _)| secret), Some(secret), "{}", preset.name);
            }
            // One byte changed, one missing, one more: believed by neither.
            for wrong in [&BODY.to_ascii_uppercase()[..], &BODY[1..], &[BODY, b" "].concat(), b""] {
                let [whole, pieces] = both(&verifier, &headers, wrong, 7);
                assert_eq!((whole, pieces.map(|(secret, _)| secret)), (pieces, Some(None)), "{}", preset.name);
            }
            assert_eq!(both(&verifier, &HeaderMap::new(), BODY, 7), [None, None], "{}", preset.name);
            checked.push(preset.name);
        }
    }
    for name in ["github", "stripe", "slack", "shopify", "appmint", "standard-webhooks"] {
        assert!(checked.contains(&name), "{name} among {checked:?}");
    }
}

#[test]
fn what_needs_the_whole_body_is_not_taken_in_pieces() {
    // The form is sorted before it is hashed, the signature stands in the body, the key is public.
    for name in ["twilio", "mailgun", "discord"] {
        assert!(verifier(name).is_none(), "{name}");
    }
}
