//! docs/api.md: every example is run, in the order of the page, by curl against a real gateway.

use std::process::Command;

use crate::support::Gateway;

const TOKEN: &str = "the-token-of-the-examples";

/// The page's shell blocks, one after the other.
fn script() -> String {
    let page = include_str!("../../../docs/api.md");
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5, "the examples are not found any more");
    format!("set -euo pipefail\nset -x\n{}", blocks.join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_page_works() {
    let gateway = Gateway::start(&format!(
        "admin:\n  listen: \"@ADMIN@\"\n  tokens: [{{ name: a, token: {TOKEN}, role: admin }}]\n\
         outbound: {{ enabled: true, secrets_key: \"a key for tests that is long enough\" }}\n"
    ))
    .await;
    let mut bash = Command::new("bash");
    bash.args(["-c", &script()])
        .env("HOOKWARD", format!("http://{}", gateway.admin()))
        .env("HOOKWARD_ADMIN_TOKEN", TOKEN);
    let output = tokio::task::spawn_blocking(move || bash.output()).await.unwrap().expect("bash is installed");
    let (said, steps) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{steps}\n{said}");
    for expected in
        ["\"object\":\"webhook\"", "\"secret\":\"", "payment.succeeded", "\"object\":\"delivery\"", "\"deleted\":true"]
    {
        assert!(said.contains(expected), "{expected} is missing: {said}");
    }
}
