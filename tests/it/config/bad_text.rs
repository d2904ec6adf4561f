//! Files that are not the YAML that we take.

use super::check;

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    check("sources: ‸[", "", "not valid YAML");
    check("sources:\n\t‸a: 1\n", "", "not valid YAML");
    check("sources: { a: }‸}\n", "", "not valid YAML");
    check("sources:\n  a: ‸'x\n", "", "not valid YAML");
    check("sources:\n  a: ‸\"\\q\"\n", "", "not valid YAML");
    check("sources:\n  a: 1\n ‸b: 2\n", "", "not valid YAML");
    check("sources: ‸@a\n", "", "not valid YAML");
}

#[test]
fn a_syntax_error_shows_no_value_of_its_line() {
    check("sources:\n  secrets: ‸\"SECRET\n", "", "not valid YAML");
    check("sources: { a: { verify: { secrets: ‸[SECRET } } }\n", "", "not valid YAML");
    check("sources:\n  token: ‸*SECRET\n", "", "anchor");
    check("sources:\n  token: ‸@SECRET\n", "", "not valid YAML");
}

#[test]
fn duplicate_keys_are_refused() {
    check("sources:\n  a: { path: /a }\n  ‸a: { path: /b }\n", "", "twice");
    check("sources: { a: 1, ‸'a': 2 }\n", "", "twice");
}

#[test]
fn tags_are_refused() {
    check("sources: ‸!!map { a: 1 }\n", "", "tags");
    check("sources:\n  a: ‸!!str x\n", "", "tags");
    check("sources:\n  a: ‸!custom [x]\n", "", "tags");
    check("sources:\n  token: ‸!SECRET\n", "", "tags");
    check("‸!!binary aGVsbG8=: sources:\n", "", "tags");
}

#[test]
fn directives_and_second_documents_are_refused() {
    check("‸%YAML 1.2\n---\nsources: {}\n", "", "directive");
    check("sources: {}\n‸---\nsources: {}\n", "", "second document");
}

#[test]
fn keys_are_names() {
    check("sources: {}\n‸[a, b]: c\n", "", "a key must be a name");
    check("sources: {}\n‸{a: b}: c\n", "", "a key must be a name");
    check("sources: &s x\n‸*s : c\n", "", "a key must be a name");
}

#[test]
fn an_alias_of_itself_is_refused() {
    check("sources: &s { a: ‸*s }\n", "", "inside of what it stands for");
    check("sources: ‸*nothing\n", "", "anchor");
    check("sources: { a: { ‸<<: [x] } }\n", "", "`<<` takes");
}

#[test]
fn a_root_that_is_not_a_mapping_is_refused() {
    check("‸- sources:\n", "", "expected a mapping");
    check("sources: ‸hello\n", "sources", "expected a mapping");
}
