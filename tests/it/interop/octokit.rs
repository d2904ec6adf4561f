//! npm `@octokit/webhooks-examples`: real payloads of GitHub, signed as GitHub signs them, by node's own crypto,
//! and checked by the preset.

use hookward::guard::envelope::{DEPTH_MAX, Pointer, Value, scan};

use super::*;

const SIGN: &str = r#"
const { createHmac } = require('crypto');
const events = require('@octokit/webhooks-examples/api.github.com/index.json');
const sign = (body) => 'sha256=' + createHmac('sha256', 'It\'s a Secret to Everybody').update(body).digest('hex');
const all = events.flatMap(({ name, examples }) => examples.map((example) => {
  const body = Buffer.from(JSON.stringify(example));
  return [name, body.toString('base64'), sign(body)];
}));
console.log(JSON.stringify(all));
"#;

fn examples() -> Vec<(String, Vec<u8>, String)> {
    let signed: Vec<(String, String, String)> = serde_json::from_str(&node(SIGN, "")).expect("examples");
    assert_eq!(signed.len(), 329);
    signed.into_iter().map(|(name, body, signature)| (name, decode(&body), signature)).collect()
}

#[tokio::test]
async fn real_payloads_of_github_are_verified() {
    let stack = Stack::new(
        Scheme::named("github").expect("a preset"),
        "It's a Secret to Everybody",
        Timestamp(1_763_900_000_000),
    );
    for (number, (name, body, signature)) in examples().into_iter().enumerate() {
        let delivery = format!("72d3162e-cc78-11e3-81ab-{number:012}");
        let headers =
            [("X-GitHub-Delivery", &delivery), ("X-GitHub-Event", &name), ("X-Hub-Signature-256", &signature)]
                .map(|(name, value)| (name.to_owned(), value.clone()));
        let facts = stack.answer(&headers, &body).await.expect("accepted");
        assert_eq!(facts.source_event_id.as_deref(), Some(delivery.as_str()));
        let parsed: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let expected = parsed["action"].as_str().map_or_else(|| name.clone(), |action| format!("{name}.{action}"));
        assert_eq!(facts.event_type.as_deref(), Some(expected.as_str()));
        // GitHub signs the body alone.
        assert!(!facts.source_event_id_signed);

        for at in [0, body.len() / 2, body.len() - 1] {
            let mut changed = body.clone();
            changed[at] ^= 0x20;
            assert_eq!(stack.answer(&headers, &changed).await, Err((401, "signature_mismatch")), "{name} {at}");
        }
    }
}

#[test]
fn the_scanner_finds_what_serde_json_finds() {
    let mut found = 0;
    for (name, body, _) in examples() {
        let whole: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        for pointer in
            ["/action", "/sender/login", "/repository/id", "/repository/owner/login", "/commits/0/author/email"]
        {
            let parsed: Pointer = pointer.parse().expect("a pointer");
            let [scanned] = scan(&body, [Some(&parsed)], DEPTH_MAX).expect("JSON");
            let expected = whole.pointer(pointer);
            found += usize::from(expected.is_some());
            let scanned = scanned.map(|value| match value {
                Value::Text(text) => serde_json::Value::from(text.into_owned()),
                Value::Integer(digits) => digits.parse::<i64>().expect("a number").into(),
                Value::Null | Value::Other => serde_json::Value::Null,
            });
            assert_eq!(scanned.as_ref(), expected, "{name} {pointer}");
        }
    }
    assert!(found > 1000, "{found}");
}
