//! Answers to "why was it refused?": `verify`, the ledger's diagnosis, `explain` and `send`, as a person runs them; the
//! address lists that are followed.

mod explain;
mod feeds;
mod ledger;
mod readmit;
mod send;
mod verify;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Runs `hookward` with these words, this environment and this on its standard input.
fn hookward(words: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(words)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A verb that fails before it reads closes its end.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

/// What it printed, and that it ended with this code.
#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
    format!("{out}{error}")
}
