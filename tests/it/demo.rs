//! The README's first command: a gateway, services and a sender, and an exit code that says whether all ended well.

use serde_json::Value;

use crate::support::hookward;

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
