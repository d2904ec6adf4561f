//! docs/api.md does what it says: its examples are run, in order, against a real gateway; and the command line.

use std::process::Command;

use serde_json::{Value, json};

use super::world::SECRETS_KEY;
use crate::support::{Gateway, Sink, hookward};

const TOKEN: &str = "the-token-of-the-documentation";

async fn gateway() -> Gateway {
    Gateway::start(&format!(
        "admin: {{ listen: \"@ADMIN@\", tokens: [{{ name: docs, token: {TOKEN}, role: admin }}] }}\n\
         outbound: {{ enabled: true, allow_private: [127.0.0.0/8], secrets_key: \"{SECRETS_KEY}\" }}\n"
    ))
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_of_the_documentation_work() {
    let page = include_str!("../../../docs/api.md");
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect();
    assert!(blocks.len() > 8, "the examples are not found any more");
    let (gateway, sink) = (gateway().await, Sink::start().await);
    let script = format!("set -euo pipefail\n{}", blocks.join("\n"));
    let mut command = Command::new("timeout");
    command.args(["60", "bash", "-c", &script]);
    command
        .env("HOOKWARD", format!("http://{}", gateway.admin()))
        .env("TOKEN", TOKEN)
        .env("RECEIVER", sink.url("/hook"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{said}", output.status);
    assert_eq!(sink.wait_for(4).await.len(), 4, "emitted, tested, redelivered, replayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_registers_emits_shows_and_replays() {
    let (gateway, sink) = (gateway().await, Sink::start().await);
    let admin = format!("http://{}", gateway.admin());
    let file = gateway.folder().join("data.json");
    std::fs::write(&file, r#"{"amount":1}"#).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let url = sink.url("/hook");
    let run = |words: &[&str]| {
        let output = hookward(words, &[("HOOKWARD_ADMIN", &admin), ("HOOKWARD_ADMIN_TOKEN", TOKEN)]);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let json = |words: &[&str]| serde_json::from_str::<Value>(&run(words)).unwrap();
    let made = json(&["webhooks", "create", &url, "--event", "payment.*", "--header", "X-A: b", "--json"]);
    let id = made["id"].as_str().unwrap();
    assert!(run(&["webhooks", "list"]).contains(id));
    assert_eq!(json(&["webhooks", "list", "--json"])["events"], json!(["payment.*"]));
    let emitted = json(&["emit", "--type", "payment.failed", "--id", "evt_cli", &file, "--json"]);
    assert_eq!((&emitted["id"], &emitted["deliveries"]), (&json!("evt_cli"), &json!(1)));
    let hit = sink.wait_for(1).await.remove(0);
    assert_eq!((hit.header("x-a"), hit.header("x-appmint-event-id")), ("b", "evt_cli"));
    assert!(run(&["emit", "--type", "payment.failed", "--id", "evt_cli", &file]).contains("emitted before"));
    run(&["webhooks", "test", id]);
    sink.wait_for(2).await;
    assert!(
        run(&["replay", "--to", id, "--status", "succeeded", "--type", "payment.failed"])
            .contains("1 deliveries match, 1")
    );
    sink.wait_for(3).await;
    assert!(run(&["replay", "--to", id, "--dry-run"]).starts_with("0 deliveries match"));
    assert!(run(&["webhooks", "rotate", id]).contains("whsec_"));
    assert!(run(&["webhooks", "pause", id]).contains("paused") && run(&["webhooks", "resume", id]).contains("active"));
    assert!(run(&["webhooks", "update", id, "--description", "second"]).contains("second"));
    assert!(run(&["webhooks", "show", id]).contains("success rate"));
    assert!(run(&["webhooks", "delete", id]).contains("true"));
    let gone = hookward(&["webhooks", "show", id], &[("HOOKWARD_ADMIN", &admin), ("HOOKWARD_ADMIN_TOKEN", TOKEN)]);
    assert_eq!(gone.status.code(), Some(1));
}
