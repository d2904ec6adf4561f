//! npm and PyPI `standardwebhooks` sign and we verify; we sign and they verify.

use hookward::guard::signature::presets;

use super::*;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

const SIGN_NODE: &str = r#"
const { Webhook } = require('standardwebhooks');
const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const webhook = new Webhook(input.secret);
const sign = (body) => webhook.sign(input.id, new Date(input.seconds * 1000), Buffer.from(body, 'base64').toString());
console.log(JSON.stringify(input.bodies.map(sign)));
"#;

const SIGN_PYTHON: &str = r"
import base64, datetime, json, sys
from standardwebhooks import Webhook
input = json.load(sys.stdin)
webhook = Webhook(input['secret'])
time = datetime.datetime.fromtimestamp(input['seconds'], tz=datetime.timezone.utc)
sign = lambda body: webhook.sign(input['id'], time, base64.b64decode(body).decode())
print(json.dumps([sign(body) for body in input['bodies']]))
";

const VERIFY_NODE: &str = r#"
const { Webhook } = require('standardwebhooks');
const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const webhook = new Webhook(input.secret);
for (const { headers, body } of input.events) {
  webhook.verify(Buffer.from(body, 'base64').toString(), headers, { jsonParse: false });
}
console.log(input.events.length);
"#;

const VERIFY_PYTHON: &str = r"
import base64, json, sys
from standardwebhooks import Webhook
input = json.load(sys.stdin)
webhook = Webhook(input['secret'])
for event in input['events']:
    webhook.verify(base64.b64decode(event['body']), event['headers'], json_parse=False)
print(len(input['events']))
";

/// The platform's example event, other JSON, and what is no JSON at all.
const BODIES: [&str; 5] = [
    include_str!("appmint_event.json"),
    r#"{"type":"contact.created","data":{"name":"Zoë 😀"}}"#,
    "{}",
    "plain text",
    "",
];

async fn check(signatures: &str, seconds: u64) {
    let signatures: Vec<String> = serde_json::from_str(signatures).expect("an array");
    let stack = Stack::new(presets::STANDARD_WEBHOOKS.scheme(), SECRET, Timestamp(seconds * 1000));
    assert_eq!(signatures.len(), BODIES.len());
    for (signature, body) in signatures.into_iter().zip(BODIES) {
        let headers = [
            ("webhook-id".to_owned(), "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W".to_owned()),
            ("webhook-timestamp".to_owned(), seconds.to_string()),
            ("webhook-signature".to_owned(), signature),
        ];
        let facts = stack.answer(&headers, body.as_bytes()).await.expect("accepted");
        assert_eq!(facts.source_event_id.as_deref(), Some("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"));
        assert_eq!((facts.secret_index, facts.signed_at), (Some(0), Some(Timestamp(seconds * 1000))));
        refuses_every_changed_byte(&stack, &headers, body.as_bytes()).await;
    }
}

/// One byte changed anywhere in what is signed, or in the signature itself.
async fn refuses_every_changed_byte(stack: &Stack, headers: &[(String, String)], body: &[u8]) {
    for at in 0..body.len() {
        let mut changed = body.to_vec();
        changed[at] ^= 1;
        let refused = stack.answer(headers, &changed).await.expect_err("a changed body");
        assert_eq!(refused, (401, "signature_mismatch"), "byte {at} of the body");
    }
    for (header, (name, value)) in headers.iter().enumerate() {
        for at in 0..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
            let mut headers = headers.to_vec();
            headers[header].1 = String::from_utf8(changed).expect("ASCII");
            let (status, code) = stack.answer(&headers, body).await.expect_err("a changed header");
            let codes = ["signature_mismatch", "signature_malformed"];
            assert!(status == 401 && codes.contains(&code), "byte {at} of {name}: {status} {code}");
        }
    }
}

fn to_sign(seconds: u64) -> String {
    let bodies = BODIES.map(|body| encode(body.as_bytes()));
    let id = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
    serde_json::json!({ "secret": SECRET, "id": id, "seconds": seconds, "bodies": bodies }).to_string()
}

#[tokio::test]
async fn what_npm_standardwebhooks_signs_is_accepted_and_nothing_else() {
    check(&node(SIGN_NODE, &to_sign(1_763_900_000)), 1_763_900_000).await;
}

#[tokio::test]
async fn what_pypi_standardwebhooks_signs_is_accepted_and_nothing_else() {
    check(&python(SIGN_PYTHON, &to_sign(1_763_900_000)), 1_763_900_000).await;
}

#[test]
fn what_we_sign_is_accepted_by_both_packages() {
    // The packages look at the machine's clock.
    let stack = Stack::new(presets::STANDARD_WEBHOOKS.scheme(), SECRET, Clock::machine().wall());
    let events: Vec<_> = BODIES
        .iter()
        .map(|body| {
            let headers: std::collections::BTreeMap<_, _> = stack.sign("evt_1", body.as_bytes()).into_iter().collect();
            serde_json::json!({ "headers": headers, "body": encode(body.as_bytes()) })
        })
        .collect();
    let input = serde_json::json!({ "secret": SECRET, "events": events }).to_string();
    assert_eq!(node(VERIFY_NODE, &input).trim(), "5");
    assert_eq!(python(VERIFY_PYTHON, &input).trim(), "5");
}
