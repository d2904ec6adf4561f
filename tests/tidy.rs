//! The habits of the house, held by a test: who may import whom, file length, module docs, forbidden names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// No file is longer; a chapter that grows beyond it is two chapters.
const FILE_LINES_MAX: usize = 500;

/// Names that say nothing about what is inside.
const FORBIDDEN_NAMES: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "types", "manager", "misc", "shared"];

/// Who may import which of our modules. `app`, `api`, `cli` and `config` stand above the stages and may import
/// anything; the stages meet in `app` and never import each other.
const IMPORTS: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("deadline", &[]),
    ("telemetry", &["domain"]),
    ("store", &["domain", "telemetry"]),
    ("ingress", &["deadline", "domain", "telemetry", "store"]),
    ("guard", &["deadline", "domain", "telemetry", "store"]),
    ("intake", &["domain", "telemetry", "store"]),
    ("dispatch", &["domain", "telemetry", "store"]),
    ("deliver", &["deadline", "domain", "telemetry", "store"]),
    ("records", &["domain", "telemetry", "store"]),
    ("outbound", &["domain", "telemetry", "store"]),
];

/// A source file: where, and what is in it.
struct Source {
    path: PathBuf,
    text: String,
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    assert!(!found.is_empty(), "no source files found: the test looks in the wrong place");
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(Source { path: path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned(), text });
        }
    }
}

/// Fails with all offences at once, a line each.
fn none(offences: Vec<String>) {
    assert!(offences.is_empty(), "{} offences:\n{}", offences.len(), offences.join("\n"));
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let all: Vec<&str> = IMPORTS.iter().map(|(module, _)| *module).chain(["app", "api", "cli", "config"]).collect();
    let mut offences = Vec::new();
    for (module, allowed) in IMPORTS {
        for source in sources(&["src"]).iter().filter(|source| is_of(&source.path, module)) {
            for (number, line) in source.text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for other in all.iter().filter(|other| **other != module && !allowed.contains(other)) {
                    if imports(code, other) {
                        let place = format!("{}:{}", source.path.display(), number + 1);
                        offences.push(format!("{place}: {module} must not import {other}"));
                    }
                }
            }
        }
    }
    none(offences);
}

/// Whether a file belongs to a top-level module.
fn is_of(path: &Path, module: &str) -> bool {
    path.starts_with(Path::new("src").join(module)) || path == Path::new("src").join(format!("{module}.rs"))
}

/// Whether a line of code names this top-level module of ours by its path.
fn imports(code: &str, module: &str) -> bool {
    ["crate::", "hookward::"].iter().any(|root| {
        code.match_indices(root).any(|(at, _)| {
            let rest = &code[at + root.len()..];
            // `crate::{domain::Event, store::Store}` names several.
            let heads: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split(',').map(str::trim).collect(),
                None => vec![rest],
            };
            heads.iter().any(|head| {
                head.strip_prefix(module)
                    .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            })
        })
    })
}

#[test]
fn no_file_is_longer_than_the_limit() {
    none(
        sources(&["src", "tests", "benches"])
            .iter()
            .map(|source| (source, source.text.lines().count()))
            .filter(|(_, lines)| *lines > FILE_LINES_MAX)
            .map(|(source, lines)| format!("{}: {lines} lines, at most {FILE_LINES_MAX}", source.path.display()))
            .collect(),
    );
}

#[test]
fn every_file_opens_with_what_it_is() {
    none(
        sources(&["src", "tests", "benches"])
            .iter()
            .filter(|source| !source.text.starts_with("//! "))
            .map(|source| format!("{}: does not open with `//! ` and what it is", source.path.display()))
            .collect(),
    );
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    none(
        sources(&["src", "tests", "benches"])
            .iter()
            .flat_map(|source| source.path.iter().map(move |part| (source, part)))
            .filter(|(_, part)| {
                FORBIDDEN_NAMES.iter().any(|name| Path::new(part).file_stem().is_some_and(|stem| stem == *name))
            })
            .map(|(source, part)| format!("{}: no name for a module: {}", source.path.display(), part.display()))
            .collect(),
    );
}

#[test]
fn nothing_is_unsafe_and_nothing_is_left_to_do() {
    let words = [
        concat!("unsafe", " {"),
        concat!("unsafe", " fn"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
    ];
    none(
        sources(&["src", "tests", "benches"])
            .iter()
            .flat_map(|source| source.text.lines().enumerate().map(move |(number, line)| (source, number, line)))
            .filter(|(_, _, line)| words.iter().any(|word| line.contains(word)))
            .map(|(source, number, line)| format!("{}:{}: {}", source.path.display(), number + 1, line.trim()))
            .collect(),
    );
}

#[test]
fn a_mod_file_is_a_shop_window_without_logic() {
    none(
        sources(&["src"])
            .iter()
            .filter(|source| source.path.ends_with("mod.rs"))
            .flat_map(|source| source.text.lines().enumerate().map(move |(number, line)| (source, number, line)))
            .filter(|(_, _, line)| {
                line.starts_with("impl") || line.contains("fn ") && !line.trim_start().starts_with("//")
            })
            .map(|(source, number, line)| format!("{}:{}: {}", source.path.display(), number + 1, line.trim()))
            .collect(),
    );
}

/// What every Debian has, containers included: coreutils, util-linux, bash.
const PROGRAMS_OF_THE_SYSTEM: [&str; 6] = ["sh", "bash", "sync", "timeout", "mkfifo", "umount"];

#[test]
fn every_program_that_a_test_starts_is_installed_by_a_script() {
    let script = |name: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let scripts = script("tests/tools") + &script("tests/install");
    let is_brought = |program: &str| {
        scripts
            .split([' ', '(', ')', '\n'])
            .any(|word| word.split_once(':').is_some_and(|(command, _)| command == program))
    };
    let started = sources(&["tests"]).into_iter().flat_map(|Source { path, text }| {
        let start = concat!("Command::", "new(\"");
        let programs = text.split(start).skip(1).filter_map(|rest| rest.split('"').next());
        programs.map(|program| (path.clone(), program.to_owned())).collect::<Vec<_>>()
    });
    none(
        started
            .filter(|(_, program)| !PROGRAMS_OF_THE_SYSTEM.contains(&&**program) && !is_brought(program))
            .map(|(path, program)| format!("{}: {program} is not in tests/tools", path.display()))
            .collect(),
    );
}

#[test]
fn the_import_check_sees_what_it_must() {
    assert!(imports("use crate::store::Store;", "store"));
    assert!(imports("    crate::{domain::Event, store::Store}", "store"));
    assert!(imports("pub(crate) use crate::guard;", "guard"));
    assert!(!imports("use crate::stored::Thing;", "store"));
    assert!(!imports("use super::store;", "store"));
    assert!(!imports("use serde::de;", "store"));
}
