//! What `hookward check --json` prints: one document, for machines.

use serde_json::{Value, json};

use crate::config::{Error, Finding, Loaded};

/// `{ valid, file, problems, warnings, … }`, the same keys whether it is valid or not.
pub(super) fn document(loaded: &Result<Loaded, Error>) -> String {
    let document = match loaded {
        Ok(loaded) => json!({
            "object": "configuration_check",
            "valid": true,
            "file": loaded.file,
            "problems": [],
            "warnings": findings(&loaded.checked.warnings),
            "sources": loaded.checked.sources.iter().map(|source| &*source.name).collect::<Vec<_>>(),
            "routes": loaded.checked.routes.0.len(),
            "destinations":
                loaded.checked.destinations.iter().map(|one| &*one.settings.name).collect::<Vec<_>>(),
        }),
        Err(error) => {
            let problems = match error.findings() {
                [] => json!([{ "message": error.to_string() }]),
                problems => findings(problems),
            };
            json!({
                "object": "configuration_check",
                "valid": false,
                "file": error.findings().first().map(|finding| &*finding.file),
                "problems": problems,
                "warnings": [],
                "sources": [],
                "routes": 0,
                "destinations": [],
            })
        }
    };
    format!("{document:#}\n")
}

fn findings(findings: &[Finding]) -> Value {
    findings
        .iter()
        .map(|finding| {
            json!({
                "line": finding.line,
                "column": finding.column,
                "path": finding.path,
                "message": finding.message,
                "hint": finding.hint,
            })
        })
        .collect()
}
