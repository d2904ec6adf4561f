//! A bad file costs bounded time and memory, however it is made.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

/// Address space that the process may have, in KiB; the binary and its allocator take most of it.
const ADDRESS_SPACE_KIB: u32 = 300_000;

/// CPU seconds that a refusal may take; the promise is for the optimised build.
const CPU_SECONDS_MAX: f64 = if cfg!(debug_assertions) { 1.5 } else { 0.1 };

/// `hookward check` refuses the file with 78 in bounded CPU time, under a hard bound of memory.
#[track_caller]
fn check(name: &str, text: impl AsRef<[u8]>, fragment: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{name}.yaml"));
    std::fs::write(&file, text).unwrap();
    check_file(&file, fragment);
}

#[track_caller]
fn check_file(file: &std::path::Path, fragment: &str) {
    let script = format!("ulimit -v {ADDRESS_SPACE_KIB}; \"$0\" check -c \"$1\"; echo \"exit $?\"; times");
    let output = Command::new("bash").args(["-c", &script, env!("CARGO_BIN_EXE_hookward")]).arg(file).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.starts_with("exit 78\n") && err.contains(fragment), "{}:\n{out}\n{err:.2000}", file.display());
    assert!(err.len() < 20_000, "{} bytes of errors", err.len());
    // The last line of `times` is what the children took: user and system, as 0m0.010s.
    let seconds: f64 = out.lines().last().unwrap().split_whitespace().map(seconds).sum();
    assert!(seconds <= CPU_SECONDS_MAX, "{} took {seconds} s", file.display());
}

fn seconds(minutes: &str) -> f64 {
    let (minutes, seconds) = minutes.trim_end_matches('s').split_once('m').unwrap();
    minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(",");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    check("bomb", &text, "more than 50000 values");
    let merges = format!(
        "b0: &b0 {{ k: v }}\n{}",
        (1..40).map(|n| format!("b{n}: &b{n} {{ <<: [*b{0}, *b{0}], k{n}: *b{0} }}\n", n - 1)).collect::<String>()
    );
    check("merges", &merges, "");
}

#[test]
fn deep_nesting_is_refused() {
    check("flow", "[".repeat(1 << 19), "nested deeper than 24 levels");
    check("mappings", "{a: ".repeat(1 << 17), "nested deeper than 24 levels");
    check("dashes", "- ".repeat(1 << 19), "nested deeper than 24 levels");
    check("questions", "? ".repeat(1 << 19), "a key must be a name");
    let block: String = (0..500).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    check("block", &block, "nested deeper than 24 levels");
}

#[test]
fn wide_files_are_refused() {
    check("list", format!("sources: [{}]", "a,".repeat(500_000)), "more than 50000 values");
    check("keys", (0..80_000).map(|key| format!("k{key}: 1\n")).collect::<String>(), "more than 50000 values");
    check(
        "anchors",
        format!("a: [{}]", (0..80_000).map(|n| format!("&a{n} x,")).collect::<String>()),
        "more than 50000 values",
    );
    check("unknown", (0..45_000).map(|key| format!("k{key}: 1\n")).collect::<String>(), "unknown key");
    check(
        "secrets",
        format!("sources: {{ a: {{ path: /a, verify: {{ scheme: appmnt, secrets: [{}] }} }} }}", "a,".repeat(45_000)),
        "not one of",
    );
    check("unset", format!("sources: [{}]", "'${UNSET}',".repeat(45_000)), "UNSET is not set");
}

#[test]
fn long_scalars_are_refused() {
    check("text", format!("sources: \"{}\"", "a".repeat(1_040_000)), "expected a mapping");
    check("open", format!("sources: \"{}", "\n".repeat(1_040_000)), "unclosed quote");
    check("references", format!("sources: \"{}\"", "${A:-b}".repeat(140_000)), "expected a mapping");
    check("dollars", format!("sources: \"{}\"", "$".repeat(1_040_000)), "expected a mapping");
    check("comment", "#".repeat(1 << 20), "there are no sources");
    check("colons", "a: ".repeat(300_000), "not valid YAML");
}

#[test]
fn what_is_larger_than_a_configuration_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.yaml");
    let file = File::create(&path).unwrap();
    file.set_len(100 << 20).unwrap();
    check_file(&path, "larger than 1024 KiB");
    file.set_len(4 << 40).unwrap();
    check_file(&path, "larger than 1024 KiB");
    file.set_len(0).unwrap();
    file.write_all_at(&vec![b'#'; (1 << 20) + 1], 0).unwrap();
    check_file(&path, "larger than 1024 KiB");
    check_file(std::path::Path::new("/dev/zero"), "larger than 1024 KiB");
    check_file(folder.path(), "cannot read the configuration");
}

#[test]
fn what_is_not_text_is_refused() {
    check("binary", b"sources:\n  a: \xff\xfe\n", "not UTF-8 text, see line 2");
    check("nul", b"sources: \0\n", "");
}
