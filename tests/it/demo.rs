//! The README's first command: a gateway, services and a sender, and an exit code that says whether all ended well.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use http::Request;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Client, eventually, hookward};

#[test]
fn the_demo_ends_with_0_and_its_figures_add_up() {
    let output = hookward(&["demo", "--exit", "--json"], &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |name: &str| shown["counts"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {shown}"));
    assert_eq!((count("not_as_expected"), count("delivered_more_than_once")), (0, 0), "{shown}");
    assert_eq!(count("sent"), count("kept") + count("duplicates") + count("refused"), "{shown}");
    let requests = shown["requests"].as_array().unwrap();
    assert!(requests.iter().all(|request| request["as_expected"] == true), "{shown}");
    for status in [200, 400, 401, 403, 404, 429] {
        assert!(requests.iter().any(|request| request["status"] == status), "no request is answered {status}: {shown}");
    }
}

#[test]
fn the_demo_shows_a_table_of_what_became_of_each_request() {
    let output = hookward(&["demo", "--exit", "--events", "20"], &[("NO_COLOR", "1")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["delivered to", "duplicate: not delivered again", "attempt 3", "refused: ", "as it should"] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    assert!(!text.contains("NOT AS IT SHOULD"), "{text}");
}

#[tokio::test]
async fn the_demo_stays_up_with_its_admin_port_until_ctrl_c_and_then_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(["demo", "--events", "20"])
        .env_clear()
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = demo.stdout.take().unwrap();
    // Up to its last sentence; it goes on running with its output closed only where it has nothing more to say.
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        for line in BufReader::new(output).lines() {
            text.push_str(&line.unwrap());
            text.push('\n');
            if text.contains("stays up until Ctrl-C") {
                break;
            }
        }
        text
    })
    .await
    .unwrap();
    assert!(text.contains("as it should") && !text.contains("NOT AS IT SHOULD"), "the table comes first: {text}");
    let (_, admin) = text.split_once("--admin http://").unwrap_or_else(|| panic!("no address in {text}"));
    let admin: SocketAddr = admin.trim().parse().unwrap();
    let get = async |path: &str| {
        let request = Request::get(path).body(Full::default()).unwrap();
        Client::new(admin).send(request).await.unwrap()
    };
    assert_eq!(get("/readyz").await.status, 200);
    let events = get("/v1/events?limit=100").await.json();
    assert!(events["data"].as_array().unwrap().iter().any(|event| event["source_event_id"] == "evt_demo_user"));
    assert!(demo.try_wait().unwrap().is_none(), "it is still up");
    kill_process(Pid::from_raw(i32::try_from(demo.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let ended = eventually("the end of the demo", async || demo.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    let left = std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(left, 0, "its folder is gone");
}
