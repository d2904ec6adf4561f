//! A diagnosis as a person reads it: what `verify` prints, and `rejections ID` below the request.

use serde_json::Value;

use super::listing::{facts, items, text};
use crate::telemetry::escape::escaped;

/// The diagnosis; `by` names what it was checked with.
pub(super) fn shown(diagnosis: &Value, by: &str) -> String {
    let verdict = match diagnosis.get("verified").and_then(Value::as_bool) {
        Some(true) => match (text(diagnosis, "secret"), text(diagnosis, "secrets")) {
            (number, of) if !number.is_empty() && of != "1" => {
                format!("verified by {by}: secret {number} of {of} made it")
            }
            _ => format!("verified by {by}"),
        },
        _ => format!("not verified by {by}: {} ({})", text(diagnosis, "detail"), text(diagnosis, "reason")),
    };
    let mut shown = format!("{}\n\n", escaped(&verdict));
    let given = items(diagnosis, "given").iter().map(|one| format!("{} ({})", text(one, "text"), text(one, "shape")));
    let mut lines = vec![("expected", text(diagnosis, "expected"))];
    lines.extend(given.map(|given| ("given", given)));
    let signed = items(diagnosis, "signed").iter();
    lines.extend(signed.map(|piece| {
        let (what, bytes, begins) = (text(piece, "what"), text(piece, "bytes"), text(piece, "shown"));
        ("signed", format!("{what}, {bytes} bytes: {begins}"))
    }));
    shown.push_str(&facts(&lines));
    let findings = items(diagnosis, "findings");
    if !findings.is_empty() {
        shown.push('\n');
    }
    for finding in findings {
        shown.push_str(&format!("- {}\n", escaped(&text(finding, "message"))));
    }
    shown
}
