//! `${NAME}`, `${NAME:-default}` and `{ file: … }`.

use hookward::config::{self, Loaded};

use super::{SECRET, SOURCE, file, load};

fn variables(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "1234",
        "EMPTY" => "",
        "YAML" => "x }, evil: { path: /evil, verify: { scheme: none } }, \"'\n- [",
        "REFERENCE" => "${PORT}",
        "NUMBER" => "7",
        "SECRET" => SECRET,
        "ECHO" => "s3cret\n",
        "_1" => "underscored",
        _ => return None,
    };
    Some(value.to_owned())
}

/// What `respond.body`, written like this, becomes.
#[track_caller]
fn check(written: &str, expected: &str) {
    for quoted in [written.to_owned(), format!("\"{written}\""), format!("'{written}'")] {
        let text = format!(
            "sources:\n  a:\n    path: /a\n    verify: {{ scheme: none }}\n    respond:\n      body: {quoted}\n"
        );
        let loaded = load(&text, &variables).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.checked.sources[0].respond.body, expected.as_bytes(), "{quoted}");
        assert_eq!(loaded.checked.sources.len(), 1);
    }
}

/// `respond.body`, written like this, is refused.
#[track_caller]
fn refused(written: &str, fragment: &str) {
    for quoted in [written.to_owned(), format!("\"{written}\""), format!("'{written}'")] {
        let text = format!("sources: {{ a: {{ path: /a, verify: {{ scheme: none }} }} }}\nstore:\n  path: {quoted}\n");
        let error = load(&text, &variables).expect_err(written);
        let [finding] = error.findings() else { panic!("{error}") };
        assert_eq!((finding.line, finding.column, finding.path.as_str()), (3, 9, "store.path"));
        assert!(finding.message.contains(fragment), "{error}");
    }
}

#[test]
fn references_are_resolved_in_plain_and_quoted_scalars_alike() {
    check("${PORT}", "1234");
    check("a-${PORT}-b", "a-1234-b");
    check("${PORT}${NUMBER}", "12347");
    check("${_1}", "underscored");
    check("${UNSET:-default}", "default");
    check("${UNSET:-}", "");
    check("${EMPTY}", "");
    check("${EMPTY:-default}", "default");
    check("${PORT:-default}", "1234");
    check("${UNSET:-a:-b}", "a:-b");
    check("$${PORT}", "${PORT}");
    check("$$${PORT}", "$${PORT}");
    check("$PORT", "$PORT");
    check("a$b", "a$b");
    check("$ {PORT}", "$ {PORT}");
}

#[test]
fn what_is_put_in_is_neither_yaml_nor_a_reference() {
    check("${YAML}", &variables("YAML").unwrap());
    check("${REFERENCE}", "${PORT}");
}

#[test]
fn references_that_lead_nowhere_are_refused() {
    refused("${UNSET}", "the environment variable UNSET is not set");
    refused("a${UNSET}b", "the environment variable UNSET is not set");
    refused("${PORT", "without its `}`");
    refused("${}", "not a reference");
    refused("${A-B}", "not a reference");
    refused("${1A}", "not a reference");
    refused("${PORT:?message}", "not a reference");
}

#[test]
fn any_value_may_be_a_reference() {
    let text = "ingress: { listen: \"127.0.0.1:${PORT}\", connections_max: \"${NUMBER}\", header_timeout: \"${NUMBER}s\" }\n\
                destinations: { b: { discard: \"${UNSET:-true}\", concurrency: '${NUMBER}' } }\n\
                routes: [{ from: \"${UNSET:-a}\", to: b }]\n";
    let checked = load(&format!("{text}{SOURCE}"), &variables).unwrap_or_else(|error| panic!("{error}")).checked;
    assert_eq!(checked.ingress.listen.port(), 1234);
    assert_eq!(checked.ingress.connections_max, 7);
    assert_eq!(checked.ingress.header_timeout.as_secs(), 7);
    assert_eq!(checked.destinations[0].settings.concurrency.get(), 7);
    assert!(checked.destinations[0].endpoint.is_none());
}

#[test]
fn an_unquoted_reference_where_yaml_does_not_take_one_is_explained() {
    let error = load(&format!("ingress: {{ listen: ${{PORT}} }}\n{SOURCE}"), &variables).unwrap_err();
    assert!(error.to_string().contains("needs quotes around a reference"), "{error}");
    let block = load(&format!("ingress:\n  connections_max: ${{NUMBER}}\n{SOURCE}"), &variables).unwrap();
    assert_eq!(block.checked.ingress.connections_max, 7);
}

#[test]
fn keys_are_never_references() {
    let error = load(&format!("\"${{PORT}}\": 1\n{SOURCE}"), &variables).unwrap_err();
    assert!(error.to_string().contains("unknown key"), "{error}");
}

#[test]
fn a_value_that_came_by_reference_is_not_shown_where_it_is_wrong() {
    for text in [
        "ingress: { listen: \"${SECRET}\" }\n",
        "ingress: { connections_max: \"${SECRET}\" }\n",
        "ingress: { header_timeout: \"${SECRET}\" }\n",
        "ingress: { trusted_proxies: [\"${SECRET}\"] }\n",
        "store: { engine: \"${SECRET}\" }\n",
        "destinations: { b: { url: \"${SECRET}\" } }\n",
        "destinations: { b: { url: \"http://x:${SECRET}@y/\" } }\n",
        "destinations: { b: { url: \"http://b\", sign: { secret: \"!${SECRET}\" } } }\n",
        "admin: { tokens: [{ name: \"${SECRET} x\", token: \"${SECRET}\", role: admin }] }\n",
        "destinations: { b: { discard: true } }\nroutes: [{ from: \"${SECRET}\", to: b }]\n",
    ] {
        let error = load(&format!("{text}{SOURCE}"), &variables).expect_err(text);
        assert!(!format!("{error}{error:?}").contains(SECRET), "{error}");
        assert_eq!(error.findings().len(), 1, "{error}");
    }
}

fn with_file(content: &[u8], rest: &str) -> Result<Loaded, config::Error> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), content).unwrap();
    config::load_with(&file(&folder, rest), &variables)
}

const SECRET_FILE: &str = "sources: { a: { path: /a, verify: { scheme: appmint, secrets: [{ file: secret }] } } }\n";

#[track_caller]
fn check_file(content: &[u8], expected: Result<&[u8], &str>) {
    match (with_file(content, SECRET_FILE), expected) {
        (Ok(loaded), Ok(expected)) => {
            assert_eq!(loaded.checked.sources[0].signature.secrets[0].expose(), expected);
            assert_eq!(loaded.referenced.len(), 1);
            assert!(loaded.checked.warnings.iter().all(|warning| !warning.message.contains("file itself")));
        }
        (Err(error), Err(fragment)) => {
            assert!(error.to_string().contains(fragment), "{error}");
            assert_eq!(error.findings()[0].path, "sources.a.verify.secrets[0]");
        }
        (Ok(_), Err(fragment)) => panic!("not refused: {fragment}"),
        (Err(error), Ok(_)) => panic!("{error}"),
    }
}

#[test]
fn a_secret_file_is_read_without_its_last_line_break() {
    check_file(b"abc", Ok(b"abc"));
    check_file(b"abc\n", Ok(b"abc"));
    check_file(b"abc\r\n", Ok(b"abc"));
    check_file(b" abc ", Ok(b" abc "));
    check_file(b"${PORT}", Ok(b"${PORT}"));
    check_file(b"", Err("what it refers to holds nothing"));
    check_file(b"\n", Err("what it refers to holds nothing"));
    check_file(b"a\nb\n", Err("several lines"));
    check_file(b"\xff", Err("not UTF-8"));
    check_file(&vec![b'a'; (1 << 20) + 1], Err("larger than 1024 KiB"));
}

#[test]
fn a_secret_file_that_cannot_be_read_is_named() {
    let text = SECRET_FILE.replace("secret }", "/nowhere/secret }");
    let error = load(&text, &variables).unwrap_err();
    assert!(error.to_string().contains("cannot use the file /nowhere/secret: No such file"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in ["/", "/dev/zero", pipe.to_str().unwrap()] {
        let text = SECRET_FILE.replace("secret }", &format!("{path} }}"));
        assert!(load(&text, &variables).unwrap_err().to_string().contains("not a file"), "{path}");
    }
}

#[test]
fn a_file_may_name_a_file_by_reference() {
    let loaded = with_file(b"abc", &SECRET_FILE.replace("secret }", "\"${UNSET:-secret}\" }")).unwrap();
    assert_eq!(loaded.checked.sources[0].signature.secrets[0].expose(), b"abc");
}

#[test]
fn an_allowlist_may_be_a_file_with_comments() {
    let text = "sources: { a: { path: /a, verify: { scheme: none }, allow_ips: [{ file: secret }, 192.0.2.9] } }\n";
    let loaded = with_file(b"# ours\n10.0.0.0/8\n\n2001:db8::1 # one\n", text).unwrap();
    assert_eq!(loaded.checked.sources[0].allow_ips.as_ref().unwrap().networks.len(), 3);
    let error = with_file(b"10.0.0.0/8\nhost\n", text).unwrap_err();
    assert!(error.to_string().contains("line 2 of what this refers to"), "{error}");
}

#[test]
fn a_line_break_at_the_end_of_a_secret_is_named() {
    let text = SECRET_FILE.replace("{ file: secret }", "'${ECHO}'");
    assert!(load(&text, &variables).unwrap_err().to_string().contains("ends with a line break"));
}

#[test]
fn a_secret_in_a_block_is_not_shown() {
    for style in ["|", ">", "|-", "'"] {
        let (open, close) = if style == "'" { ("'", "'") } else { (style, "") };
        let text = format!(
            "sources:\n  a:\n    path: /a\n    verify:\n      scheme: appmint\n      secrets:\n        - {open}\n          {SECRET}\n\n          {SECRET}\n{close}"
        );
        let error = load(&text.replace("\n'", "'"), &variables).expect_err(style);
        assert!(!format!("{error}{error:?}").contains(SECRET), "{error}");
    }
}

#[test]
fn a_literal_secret_is_worth_a_warning() {
    let text = SECRET_FILE.replace("{ file: secret }", SECRET);
    let warnings = load(&text, &variables).unwrap().checked.warnings;
    let shown: String = warnings.iter().map(|warning| warning.report("warning")).collect();
    assert!(shown.contains("the secret stands in the file itself") && !shown.contains(SECRET), "{shown}");
}
