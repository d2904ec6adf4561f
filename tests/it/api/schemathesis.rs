//! schemathesis (PyPI) against a real gateway: what it makes of the OpenAPI document, and what comes back.
//!
//! Some thousand cases within `HOOKWARD_SCHEMATHESIS_SECONDS` (40 by default); for a long run:
//! `HOOKWARD_SCHEMATHESIS_SECONDS=600 cargo nextest run heavy_schemathesis`.

use std::process::Command;

use crate::support::Gateway;

const TOKEN: &str = "the-token-of-schemathesis";

/// The kinds of answers that are never right.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// Fewer cases than this are no test.
const CASES_MIN: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_schemathesis_finds_no_answer_that_is_not_documented() {
    let gateway = Gateway::start(&format!(
        "admin:\n  listen: \"@ADMIN@\"\n  tokens: [{{ name: a, token: {TOKEN}, role: admin }}]\n\
         outbound: {{ enabled: true, secrets_key: \"a key for tests that is long enough\" }}\n\
         sources: {{ a: {{ path: /in, verify: {{ scheme: none }} }} }}\nroutes: [{{ from: a, to: d }}]\n\
         destinations: {{ d: {{ discard: true }} }}\n"
    ))
    .await;
    let seconds = std::env::var("HOOKWARD_SCHEMATHESIS_SECONDS").unwrap_or_else(|_| "40".to_owned());
    let mut command = Command::new("python3");
    command
        .args(["-m", "schemathesis.cli", "run", &format!("http://{}/v1/openapi.json", gateway.admin())])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--checks", CHECKS, "--seed", "1"])
        .args(["--max-time", &seconds, "--no-color"])
        // It has no end.
        .args(["--exclude-path", "/v1/stream"])
        .current_dir(gateway.folder())
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-packages/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("python3 is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let cases = said.lines().find_map(|line| line.trim().split_once(" generated")?.0.parse::<u64>().ok());
    assert!(cases.is_some_and(|cases| cases >= CASES_MIN), "{cases:?}: {said}");
    println!("{} cases", cases.unwrap_or_default());
}
