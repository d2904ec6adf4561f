//! Every key of the configuration has a test at the place where it takes effect.

use std::path::Path;

/// A key and the test that shows its effect: the file below the repository, and the test's name.
const COVERED: &[(&str, &str, &str)] = &[];

#[test]
#[ignore = "being filled in"]
fn every_key_has_a_test_of_its_effect() {
    let covered: Vec<_> = COVERED.iter().map(|(key, ..)| *key).collect();
    let keys = super::examples::all_keys();
    let missing: Vec<_> = keys.iter().filter(|key| !covered.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "no test of their effect: {missing:#?}");
    for (key, file, test) in COVERED {
        assert!(keys.iter().any(|known| known == key), "{key} is not a key any more");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}
