//! Configuration: what is refused and where, what is understood, and that a bad file costs little.

mod bad_keys;
mod bad_text;
mod bad_values;
mod bounds;
mod examples;
mod good;
mod keys;
mod references;
mod reload;
mod schemes;
mod verbs;

use std::path::PathBuf;

use hookward::config::{self, Error, Loaded};

/// The shortest source, for files whose point is something else.
pub(crate) const SOURCE: &str = "sources: { a: { path: /a, verify: { scheme: none } } }\n";

/// What stands for a secret in every test: no output may contain it.
pub(crate) const SECRET: &str = "s3cret-value-of-a-test";

/// Stands in a text right before the place of a problem, and is not part of it.
pub(crate) const MARK: char = '‸';

/// The key path of a problem and a part of what is said about it.
pub(crate) type Expected<'a> = (&'a str, &'a str);

pub(crate) fn file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("hookward.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

pub(crate) fn load(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Error> {
    let folder = tempfile::tempdir().unwrap();
    config::load_with(&file(&folder, text), variable)
}

pub(crate) fn no_variables(_: &str) -> Option<String> {
    None
}

/// Loads a configuration that is valid.
#[track_caller]
pub(crate) fn good(text: &str) -> Loaded {
    load(text, &no_variables).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// A configuration is refused for exactly these reasons, each at its [`MARK`], and nothing that is shown holds a
/// secret. `SECRET` in the text becomes one, and a text without sources gets one.
#[track_caller]
pub(crate) fn refused(text: &str, expected: &[Expected<'_>]) {
    let (text, places) = unmarked(&text.replace("SECRET", SECRET));
    let text = if text.contains("sources:") { text } else { format!("{}\n{SOURCE}", text.trim_end()) };
    let error = load(&text, &no_variables).expect_err(&text);
    let shown = format!("{error}\n{error:?}");
    assert!(!shown.contains(SECRET), "a secret is shown:\n{shown}");
    let found: Vec<_> =
        error.findings().iter().map(|one| (one.line, one.column, one.path.as_str(), one.message.as_str())).collect();
    assert_eq!(found.len(), expected.len(), "{text}\n{error}");
    for ((found, (path, fragment)), place) in found.iter().zip(expected).zip(places) {
        assert_eq!(((found.0, found.1), found.2), (place, *path), "{text}\n{error}");
        assert!(found.3.contains(fragment), "expected `{fragment}` in\n{error}");
        assert!(shown.contains(&format!("hookward.yaml:{}:{}", found.0, found.1)), "no place in\n{error}");
    }
}

/// A configuration is refused for one reason, at its mark.
#[track_caller]
pub(crate) fn check(text: &str, path: &str, fragment: &str) {
    refused(text, &[(path, fragment)]);
}

/// A problem in a source.
#[track_caller]
pub(crate) fn source(settings: &str, key: &str, fragment: &str) {
    let path = format!("sources.a.{key}");
    check(&format!("sources: {{ a: {{ path: /a, verify: {{ scheme: none }}, {settings} }} }}\n"), &path, fragment);
}

/// A problem in a destination.
#[track_caller]
pub(crate) fn destination(settings: &str, key: &str, fragment: &str) {
    let path = format!("destinations.b.{key}");
    check(&format!("destinations: {{ b: {{ {settings} }} }}\n"), &path, fragment);
}

/// The text without its marks, and the line and column of each.
fn unmarked(text: &str) -> (String, Vec<(usize, usize)>) {
    let (mut places, mut line, mut column) = (Vec::new(), 1, 1);
    for char in text.chars() {
        match char {
            MARK => places.push((line, column)),
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    (text.replace(MARK, ""), places)
}
