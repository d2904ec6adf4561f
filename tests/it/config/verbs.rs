//! `check`, `init` and `schema` as a person runs them, and where the configuration is found.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{SECRET, SOURCE};

fn hookward(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("HOOKWARD_CONFIG")
        .env("APPMINT_WEBHOOK_SECRET", SECRET)
        .output()
        .unwrap()
}

#[track_caller]
fn check(folder: &Path, arguments: &[&str], code: i32, out: &str, err: &str) -> String {
    let output = hookward(folder, arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
    assert!(stdout.contains(out) && stderr.contains(err), "{arguments:?}\n{stdout}\n{stderr}");
    assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "a secret is shown");
    stdout.into_owned()
}

#[test]
fn init_writes_what_check_accepts_and_never_over_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    check(at, &["init"], 0, "wrote hookward.yaml", "");
    check(at, &["check"], 0, "hookward.yaml: valid", "");
    std::fs::write(at.join("hookward.yaml"), "mine").unwrap();
    check(at, &["init"], 1, "", "--force");
    assert_eq!(std::fs::read(at.join("hookward.yaml")).unwrap(), b"mine");
    check(at, &["init", "--force"], 0, "wrote", "");
    check(at, &["check", "--quiet"], 0, "", "");
    check(at, &["init", "nowhere/hookward.yaml"], 1, "", "cannot write");
    check(at, &["init", "-"], 0, "sources:", "");
}

#[test]
fn check_says_what_a_configuration_means() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), &["init"], 0, "", "");
    let out = check(folder.path(), &["check"], 0, "appmint with one secret", "");
    let order = ["POST /webhooks/appmint", "any address", "application/json", "one secret", "copies within 96h"];
    let places: Vec<_> = order.iter().map(|part| out.find(part).unwrap_or_else(|| panic!("{part} in {out}"))).collect();
    assert!(places.is_sorted(), "guards stand in the order of the request:\n{out}");
}

#[test]
fn check_says_who_only_reports_and_what_is_kept_for_an_app() {
    let folder = tempfile::tempdir().unwrap();
    let verify = format!("verify: {{ scheme: appmint, secrets: [{SECRET}] }}");
    let text = format!(
        "sources:\n  kept: {{ path: /kept, mode: proxy, app: 'http://app.example', if_app_fails: keep, {verify} }}\n  \
         asked: {{ path: /asked, mode: proxy, app: 'http://app.example', {verify} }}\n  \
         open: {{ path: /open, enforce: report, {verify} }}\n"
    );
    std::fs::write(folder.path().join("hookward.yaml"), text).unwrap();
    let warning = "warning: sources.open.enforce: the guards refuse nothing";
    let out = check(folder.path(), &["check"], 0, "valid", warning);
    let kept = "    while it cannot be reached: kept, 200 OK, and delivered to it as app:kept\n";
    let reported = "    enforce: report: what these would refuse is noted, marked Hookward-Reported and let through\n";
    for (line, source) in [(kept, "kept: POST"), (reported, "open: POST")] {
        assert_eq!(out.matches(line).count(), 1, "{out}");
        let (at, of) = (out.find(line).unwrap(), out.find(source).unwrap());
        assert!(of < at && !out[of..at].contains("\n\n"), "{line} stands below {source}: {out}");
    }
}

#[test]
fn check_names_the_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = format!(
        "{{ name: ann, token: {SECRET}, role: viewer }}, {{ name: bob, token: {SECRET}2, role: admin, project: shop }}"
    );
    std::fs::write(folder.path().join("hookward.yaml"), format!("{SOURCE}admin: {{ tokens: [{tokens}] }}\n")).unwrap();
    check(folder.path(), &["check"], 0, "tokens: ann (viewer), bob (admin of shop)", "");
}

#[test]
fn check_refuses_with_78_and_warns_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("bad.yaml"), "sources: []\n").unwrap();
    std::fs::write(at.join("open.yaml"), SOURCE).unwrap();
    check(at, &["check", "-c", "bad.yaml"], 78, "", "--> bad.yaml:1:10");
    check(at, &["check", "-c", "nowhere.yaml"], 78, "", "cannot read the configuration nowhere.yaml");
    check(at, &["check", "-c", "open.yaml"], 0, "valid", "warning: sources.a.verify.scheme: everybody who finds");
    check(at, &["check", "--nonsense"], 2, "", "--nonsense");
    check(at, &["check"], 78, "", "there is no configuration file");
}

#[test]
fn check_speaks_json() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("bad.yaml"), "sources: { a: { path: /a, verify: { scheme: hmc } } }\n").unwrap();
    std::fs::write(at.join("good.yaml"), SOURCE).unwrap();
    let bad: serde_json::Value =
        serde_json::from_str(&check(at, &["check", "--json", "-c", "bad.yaml"], 78, "", "")).unwrap();
    assert_eq!(bad["valid"], false);
    assert_eq!(bad["problems"][0]["path"], "sources.a.verify.scheme");
    assert_eq!((&bad["problems"][0]["line"], &bad["problems"][0]["column"]), (&1.into(), &45.into()));
    let good: serde_json::Value =
        serde_json::from_str(&check(at, &["check", "--json", "-c", "good.yaml"], 0, "", "")).unwrap();
    assert_eq!((&good["valid"], &good["sources"][0]), (&true.into(), &"a".into()));
    let missing: serde_json::Value =
        serde_json::from_str(&check(at, &["check", "--json", "-c", "x.yaml"], 78, "", "")).unwrap();
    assert!(missing["problems"][0]["message"].as_str().unwrap().contains("x.yaml"));
}

#[test]
fn a_configuration_is_found_in_the_documented_order() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in ["named", "variable", "hookward"] {
        std::fs::write(at.join(format!("{name}.yaml")), SOURCE).unwrap();
    }
    let run = |arguments: &[&str], variable: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
        command.args(arguments).current_dir(at).env_remove("HOOKWARD_CONFIG");
        if let Some(variable) = variable {
            command.env("HOOKWARD_CONFIG", variable);
        }
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(run(&["check", "--config", "named.yaml"], Some("variable.yaml")), "named.yaml: valid");
    assert_eq!(run(&["check"], Some("variable.yaml")), "variable.yaml: valid");
    assert_eq!(run(&["check"], None), "./hookward.yaml: valid");
    assert_eq!(run(&["check"], Some("")), "./hookward.yaml: valid");
    // A name that leads nowhere is an error, not a reason to take another file.
    assert_eq!(run(&["check"], Some("nowhere.yaml")), "");
}

#[test]
fn a_closed_pipe_is_no_disaster() {
    for verb in [&["schema"][..], &["completions", "bash"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookward"))
            .args(verb)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{verb:?}");
    }
}

#[test]
fn the_version_and_the_verbs_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), &["--version"], 0, concat!("hookward ", env!("CARGO_PKG_VERSION")), "");
    let help = check(folder.path(), &["--help"], 0, "Exit codes: 0 done", "");
    for verb in ["check", "init", "schema", "completions"] {
        assert!(help.contains(verb), "{help}");
    }
    check(folder.path(), &["completions", "zsh"], 0, "_hookward", "");
}
