//! The examples in config/ and the published schema: loaded, complete, and true about the defaults.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use hookward::config::{self, Loaded};
use serde_json::Value;

use super::load;

const MINIMAL: &str = include_str!("../../../config/minimal.yaml");
const FULL: &str = include_str!("../../../config/full.yaml");
const REDIS: &str = include_str!("../../../config/redis.yaml");
const CLUSTER: &str = include_str!("../../../config/cluster.yaml");

fn variables(name: &str) -> Option<String> {
    // Base64, so that it can sign; long enough for a token; another one for each name.
    static IDENTITY: OnceLock<(String, String)> = OnceLock::new();
    let (certificate, key) = IDENTITY.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec!["hooks.example".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    });
    match name {
        "TLS_CERT" | "OTHER_CERT" | "CLIENT_CA" | "REDIS_CA" | "REDIS_CLIENT_CERT" => return Some(certificate.clone()),
        "TLS_KEY" | "OTHER_KEY" | "REDIS_CLIENT_KEY" => return Some(key.clone()),
        "REDIS_URL" => return Some("rediss://hookward:a-password@redis:6379/0".to_owned()),
        _ => {}
    }
    let made_of = |name: &str| format!("{}{}", name.replace('_', "x"), "A".repeat(64 - name.len()));
    (!name.ends_with("_OLD")).then(|| made_of(name))
}

#[track_caller]
fn loaded(text: &str) -> Loaded {
    load(text, &variables).unwrap_or_else(|error| panic!("{error}"))
}

/// A line `key: value # comment` of an example: its path (names as `*`, list entries as `[]`), value and comment.
struct Line<'a> {
    path: String,
    value: &'a str,
    comment: &'a str,
}

/// Reads the block style that the examples are written in.
fn lines(text: &str) -> Vec<Line<'_>> {
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        let (content, comment) = line.split_once(" #").unwrap_or((line, ""));
        let dash = content.trim_start().strip_prefix("- ");
        let indent = content.len() - content.trim_start().len() + if dash.is_some() { 2 } else { 0 };
        let Some((key, value)) = dash.unwrap_or(content.trim_start()).split_once(':') else { continue };
        if key.contains(['"', '{']) {
            continue;
        }
        above.retain(|(outer, _)| *outer < indent || (dash.is_some() && *outer == indent - 2));
        above.retain(|(outer, _)| *outer < indent);
        let parent = above.last().map(|(_, path)| path.clone()).unwrap_or_default();
        let key = if matches!(parent.as_str(), "sources" | "destinations") { "*" } else { key };
        // Within a list that was opened by a dash, further keys stand at the same indentation.
        let path = match (parent.is_empty(), dash.is_some() || parent.ends_with("[]")) {
            (true, _) => key.to_owned(),
            (false, true) => format!("{}[].{key}", parent.trim_end_matches("[]")),
            (false, false) => format!("{parent}.{key}"),
        };
        if dash.is_some() {
            let list = format!("{}[]", parent.trim_end_matches("[]"));
            above.push((indent - 1, list));
        }
        above.push((indent, path.clone()));
        lines.push(Line { path, value: value.trim(), comment });
    }
    lines
}

/// Every key of the schema by the same paths, with its default where it says one.
fn schema_keys() -> BTreeMap<String, Option<Value>> {
    let schema = config::schema();
    let mut keys = BTreeMap::new();
    collect(&schema, &schema, "", &mut keys);
    keys
}

fn collect(schema: &Value, at: &Value, path: &str, keys: &mut BTreeMap<String, Option<Value>>) {
    let at = match at["$ref"].as_str() {
        Some(name) => &schema["$defs"][name.trim_start_matches("#/$defs/")],
        None => at,
    };
    for (key, value) in at["properties"].as_object().into_iter().flatten().filter(|(key, _)| *key != "file") {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        keys.insert(path.clone(), value.get("default").cloned());
        collect(schema, value, &path, keys);
    }
    if at["additionalProperties"].is_object() && (path == "sources" || path == "destinations") {
        collect(schema, &at["additionalProperties"], &format!("{path}.*"), keys);
    }
    if at["items"].is_object() {
        collect(schema, &at["items"], &format!("{path}[]"), keys);
    }
    for choice in at["anyOf"].as_array().into_iter().flatten() {
        // One or many: in the examples a list, if it is a mapping at all.
        let one_or_many =
            at["anyOf"].as_array().is_some_and(|choices| choices.iter().any(|one| one["items"].is_object()));
        if !(one_or_many && choice["items"].is_null()) {
            collect(schema, choice, path, keys);
        }
    }
}

pub(super) fn all_keys() -> Vec<String> {
    schema_keys().into_keys().collect()
}

#[test]
fn the_published_schema_is_current() {
    let published: Value = serde_json::from_str(include_str!("../../../config/hookward.schema.json")).unwrap();
    assert_eq!(published, config::schema(), "run: cargo run -- schema > config/hookward.schema.json");
}

#[test]
fn the_examples_are_valid() {
    let minimal = loaded(MINIMAL);
    assert_eq!(minimal.checked.warnings, [], "the first example warns of nothing");
    let full = loaded(FULL);
    assert_eq!((full.checked.sources.len(), full.checked.destinations.len()), (6, 3));
    for shared in [REDIS, CLUSTER].map(loaded) {
        assert_eq!(shared.checked.warnings, []);
        assert!(shared.checked.store.redis.is_some());
    }
}

#[test]
fn the_full_example_has_every_key() {
    let written: Vec<_> = [FULL, REDIS, CLUSTER].into_iter().flat_map(lines).map(|line| line.path).collect();
    let missing: Vec<_> = schema_keys().into_keys().filter(|key| !written.contains(key)).collect();
    assert_eq!(missing, Vec::<String>::new(), "{written:#?}");
    let keys = all_keys();
    let names = ["sources.*", "destinations.*"];
    let foreign: Vec<_> =
        written.iter().filter(|path| !keys.contains(path) && !names.contains(&path.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn the_full_example_and_the_schema_agree_on_the_defaults() {
    let plain = |value: &str| value.replace(['"', ' '], "");
    let mut compared = 0;
    for (key, default) in schema_keys() {
        let Some(default) = default else { continue };
        let marked: Vec<_> = lines(FULL)
            .into_iter()
            .chain([REDIS, CLUSTER].into_iter().flat_map(lines))
            .filter(|line| line.path == key && line.comment.trim_start().starts_with("default"))
            .map(|line| plain(line.value))
            .collect();
        // Some have no line of their own with the default: a list of tokens, and the opposite of what is shown.
        if marked == [""] || ["destinations.*.discard", "outbound.enabled"].contains(&key.as_str()) {
            continue;
        }
        let default = default.as_str().map_or_else(|| default.to_string(), ToOwned::to_owned);
        assert_eq!(marked, [plain(&default)], "{key}");
        compared += 1;
    }
    assert!(compared > 30, "{compared}");
}

/// Leaving a key out is the same as writing what the example calls its default: for each such line by itself.
#[test]
fn what_the_full_example_calls_default_is_the_default() {
    let is_default =
        |line: &str| line.split_once(" #").is_some_and(|(_, comment)| comment.trim_start().starts_with("default"));
    let mut left_out = 0;
    for text in [FULL, REDIS, CLUSTER] {
        let whole = loaded(text);
        let lines: Vec<_> = text.lines().collect();
        for line in lines
            .iter()
            .filter(|line| is_default(line))
            .filter(|line| !line.contains(": #") && !line.contains("tokens:"))
        {
            let (content, _) = line.split_once(" #").unwrap();
            if content.trim_end().ends_with(':') {
                continue;
            }
            let without: Vec<_> = lines.iter().filter(|other| *other != line).copied().collect();
            let without = loaded(&without.join("\n"));
            assert!(without.checked.says_the_same_as(&whole.checked), "not the default: {line}");
            left_out += 1;
        }
    }
    assert!(left_out > 30, "{left_out}");
}

/// A value that is not the default makes a difference: the comparison above cannot succeed by chance.
#[test]
fn every_value_of_the_full_example_makes_a_difference() {
    let full = loaded(FULL);
    for (from, to) in [
        ("connections_max: 10000", "connections_max: 10001"),
        ("jitter: 0.1", "jitter: 0.2"),
        ("window: 96h", "window: 97h"),
        ("body: OK", "body: KO"),
        ("disk_free_min: 512MiB", "disk_free_min: 511MiB"),
        ("signature: auto", "signature: keep"),
        ("role: admin", "role: viewer"),
        ("by: ip", "by: source"),
        ("delay: 0s", "delay: 1s"),
    ] {
        assert!(FULL.contains(from), "{from}");
        assert!(!loaded(&FULL.replacen(from, to, 1)).checked.says_the_same_as(&full.checked), "{from} -> {to}");
    }
}

/// docs/configuration.md shows what is really said.
#[test]
fn the_documented_error_is_the_one_that_is_said() {
    let docs = include_str!("../../../docs/configuration.md");
    let block =
        |opening: &str| docs.split_once(opening).unwrap().1.split_once("\n```").unwrap().0.trim_start_matches('\n');
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hookward.yaml"), block("```yaml")).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_hookward"))
        .args(["check", "-c", "hookward.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr).trim_end(),
        block("\n```\nerror").replacen(": sources", "error: sources", 1)
    );
}
