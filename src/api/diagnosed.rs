//! A diagnosis on the wire: what a rejection shows of its signature, and what `hookward verify --json` prints.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::guard::signature::diagnosis::{Covered, Diagnosis, Finding};

/// Why a signature does not verify, or that it does by today's configuration.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Diagnosed {
    object: &'static str,
    /// Whether it is right.
    verified: bool,
    /// Which secret made it, counted from 1.
    secret: Option<usize>,
    /// How many secrets there are.
    secrets: Option<usize>,
    /// Why not, as a code.
    reason: Option<&'static str>,
    /// Why not, in words.
    detail: Option<String>,
    /// What is expected in the signature's place, never the value.
    expected: String,
    given: Vec<Given>,
    signed: Vec<Signed>,
    findings: Vec<Found>,
}

/// A text in the signature's place.
#[derive(Clone, Debug, JsonSchema, Serialize)]
struct Given {
    text: String,
    shape: String,
}

/// A piece of what the scheme signs.
#[derive(Clone, Debug, JsonSchema, Serialize)]
struct Signed {
    what: String,
    bytes: usize,
    /// Its beginning, safe to print.
    shown: String,
}

/// What differs.
#[derive(Clone, Debug, JsonSchema, Serialize)]
struct Found {
    code: &'static str,
    message: String,
}

/// The same as a document.
#[must_use]
pub fn document(diagnosis: &Diagnosis) -> Value {
    // Strings and numbers: writing them into memory does not fail.
    serde_json::to_value(Diagnosed::from(diagnosis)).unwrap_or_default()
}

impl From<&Diagnosis> for Diagnosed {
    fn from(diagnosis: &Diagnosis) -> Self {
        let rejection = diagnosis.verdict.as_ref().err();
        let verified = diagnosis.verdict.as_ref().ok();
        let signed = |piece: &Covered| Signed {
            what: piece.what.to_string(),
            bytes: piece.bytes,
            shown: piece.shown.to_string(),
        };
        let found = |finding: &Finding| Found { code: finding.code(), message: finding.to_string() };
        Self {
            object: "diagnosis",
            verified: verified.is_some(),
            secret: verified.and_then(|verified| verified.secret),
            secrets: verified.map(|verified| verified.of),
            reason: rejection.map(|rejection| rejection.reason.code()),
            detail: rejection.map(|rejection| rejection.detail.to_string()),
            expected: diagnosis.expected.to_string(),
            given: diagnosis
                .given
                .iter()
                .map(|(text, shape)| Given { text: text.to_string(), shape: shape.to_string() })
                .collect(),
            signed: diagnosis.covered.iter().map(signed).collect(),
            findings: diagnosis.findings.iter().map(found).collect(),
        }
    }
}
