//! schemathesis (PyPI) against a real gateway: what it makes of the OpenAPI document, and what comes back.
//!
//! It runs for `HOOKWARD_SCHEMATHESIS_SECONDS` (40 by default), and again with another seed until there were [`CASES_MIN`]
//! cases; for a long run: `HOOKWARD_SCHEMATHESIS_SECONDS=600 cargo nextest run heavy_schemathesis`.

use std::process::Command;

use crate::support::Gateway;

const TOKEN: &str = "the-token-of-schemathesis";

/// The kinds of answers that are never right.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// So many cases there are at least; how long that takes is the machine's business.
const CASES_MIN: u64 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_schemathesis_finds_no_answer_that_is_not_documented() {
    let gateway = Gateway::start(&format!(
        "admin:\n  listen: \"@ADMIN@\"\n  tokens: [{{ name: a, token: {TOKEN}, role: admin }}]\n\
         outbound: {{ enabled: true, secrets_key: \"a key for tests that is long enough\" }}\n\
         sources: {{ a: {{ path: /in, verify: {{ scheme: none }} }} }}\nroutes: [{{ from: a, to: d }}]\n\
         destinations: {{ d: {{ discard: true }} }}\n"
    ))
    .await;
    let (mut cases, mut seed) = (0, 0);
    while cases < CASES_MIN {
        seed += 1;
        let more = run(&gateway, seed).await;
        assert!(more > 0, "no cases with the seed {seed}");
        cases += more;
    }
    println!("{cases} cases");
}

/// Runs it once; how many cases it made.
async fn run(gateway: &Gateway, seed: u64) -> u64 {
    let seconds = std::env::var("HOOKWARD_SCHEMATHESIS_SECONDS").unwrap_or_else(|_| "40".to_owned());
    let mut command = Command::new("python3");
    command
        .args(["-m", "schemathesis.cli", "run", &format!("http://{}/v1/openapi.json", gateway.admin())])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--checks", CHECKS, "--seed", &seed.to_string()])
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
    cases.unwrap_or_else(|| panic!("it does not say how many cases it made: {said}"))
}
