//! What the scanner takes, refuses and finds.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(json: &str, pointer: &str, expected: Result<Option<Value<'_>>, ScanError>) {
    let pointer: Pointer = pointer.parse().expect("a pointer");
    assert_eq!(scan(json.as_bytes(), [Some(&pointer)], DEPTH_MAX).map(|[found]| found), expected, "{json}");
}

fn text(text: &str) -> Result<Option<Value<'_>>, ScanError> {
    Ok(Some(Value::Text(Cow::Borrowed(text))))
}

#[test]
fn fields_are_found_where_the_pointer_leads() {
    check(r#"{"id":"a"}"#, "/id", text("a"));
    check(r#" { "x" : [ 1 , {"id":"no"} ] , "id" : "a" } "#, "/id", text("a"));
    check(r#"{"data":{"id":"no"}}"#, "/id", Ok(None));
    check(r#"{"data":{"id":"a"},"id":"no"}"#, "/data/id", text("a"));
    check(r#"{"x":{"id":"no"},"data":{"x":1,"id":"a"}}"#, "/data/id", text("a"));
    check(r#"{"data":{"data":{"id":"no"}},"id":"no"}"#, "/data/id", Ok(None));
    check(r#"[{"id":"no"},{"id":"a"}]"#, "/1/id", text("a"));
    check(r#"{"a":[["no"],["no","a","no"]]}"#, "/a/1/1", text("a"));
    check(r#"[0,0,0,0,0,["a","no","no"],"no","no"]"#, "/5/0", text("a"));
    check(r#"[0,["a",1,2],"no"]"#, "/1/0", text("a"));
    check(r#"{"0":"a"}"#, "/0", text("a"));
    check(r#"{"":"a"}"#, "/", text("a"));
    check(r#"{"a/b":{"m~n":"a"}}"#, "/a~1b/m~0n", text("a"));
    check(r#"{"\u0069d":"a"}"#, "/id", text("a"));
    check(r#"{"ID":"no"}"#, "/id", Ok(None));
}

#[test]
fn values_are_text_integers_or_something_else() {
    check(r#"{"id":"\u00e4\n\"\ud83d\ude00\/"}"#, "/id", text("ä\n\"😀/"));
    check(r#"{"id":"ä😀"}"#, "/id", text("ä😀"));
    check(r#"{"id":12345678901234567890123}"#, "/id", Ok(Some(Value::Integer("12345678901234567890123"))));
    check(r#"{"id":-7}"#, "/id", Ok(Some(Value::Integer("-7"))));
    check(r#"{"id":null}"#, "/id", Ok(Some(Value::Null)));
    for other in ["1.0", "1e3", "true", "false", "{}", "[1]", r#""\ud800""#, r#""\udc00\ud800""#] {
        check(&format!(r#"{{"id":{other}}}"#), "/id", Ok(Some(Value::Other)));
    }
}

#[test]
fn a_name_on_the_way_must_not_come_twice() {
    check(r#"{"id":"a","id":"b"}"#, "/id", Err(ScanError::DuplicateKey { at: 14 }));
    check(r#"{"id":"a","\u0069\u0064":"a"}"#, "/id", Err(ScanError::DuplicateKey { at: 24 }));
    check(r#"{"id":null,"id":"b"}"#, "/id", Err(ScanError::DuplicateKey { at: 15 }));
    check(r#"{"d":{"id":"a"},"d":{}}"#, "/d/id", Err(ScanError::DuplicateKey { at: 19 }));
    check(r#"{"x":1,"x":2,"d":{"x":1,"x":2},"id":"a"}"#, "/id", text("a"));
    check(r#"{"d":{"id":1},"e":{"id":2},"id":"a"}"#, "/id", text("a"));
}

#[test]
fn nesting_is_bounded_without_recursion() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    check(&nested(127), "/id", Ok(None));
    check(&nested(128), "/id", Err(ScanError::TooDeep { at: 127, depth_max: 127 }));
    check(&"[".repeat(1_000_000), "/id", Err(ScanError::TooDeep { at: 127, depth_max: 127 }));
    check(&r#"{"a":"#.repeat(1_000_000), "/id", Err(ScanError::TooDeep { at: 635, depth_max: 127 }));
    assert_eq!(scan(b"[[1]]", [None], 1), Err(ScanError::TooDeep { at: 1, depth_max: 1 }));
    let mixed = format!("{}1{}", r#"[{"a":"#.repeat(63), "}]".repeat(63));
    check(&mixed, "/id", Ok(None));
    // As deep as the readers behind take it, and no deeper.
    assert!(serde_json::from_str::<serde_json::Value>(&nested(127)).is_ok());
    assert!(serde_json::from_str::<serde_json::Value>(&nested(128)).is_err());
}

#[test]
fn long_names_and_strings_are_read_once() {
    // Ten megabytes each: anything but one pass would not end in a test's time.
    let long = "a".repeat(10_000_000);
    check(&format!(r#"{{"{long}":"{long}","id":"a"}}"#), "/id", text("a"));
    let escaped = r"\u0041".repeat(1_000_000);
    check(&format!(r#"{{"{escaped}":"{escaped}","id":"a"}}"#), "/id", text("a"));
    check(&format!(r#"{{"id":{}}}"#, "1".repeat(1_000_000)), "/id", Ok(Some(Value::Integer(&"1".repeat(1_000_000)))));
}

#[test]
fn what_is_not_json_is_told_with_its_place() {
    for (json, at, expected) in [
        ("", 0, "a value"),
        ("\u{feff}{}", 0, "a value"),
        ("{} {}", 3, "the end"),
        ("{}\0", 2, "the end"),
        ("{\"a\":1,}", 7, "a name in quotes"),
        ("[1,]", 3, "a value"),
        ("[1 2]", 3, "`,` or `]`"),
        ("[1}", 2, "`,` or `]`"),
        ("{\"a\":1]", 6, "`,` or `}`"),
        ("{\"a\" 1}", 5, "`:`"),
        ("{a:1}", 1, "a name in quotes"),
        ("[01]", 2, "`,` or `]`"),
        ("[+1]", 1, "a value"),
        ("[.5]", 1, "a value"),
        ("[1.]", 3, "a digit"),
        ("[1e]", 3, "a digit"),
        ("[-]", 2, "a digit"),
        ("[tru]", 1, "`true`, `false` or `null`"),
        ("[NaN]", 1, "a value"),
        ("\"a", 2, "`\"`"),
        ("\"a\nb\"", 2, "no control character in a string"),
        ("\"abcdefghijkl\u{1f}\"", 13, "no control character in a string"),
        ("\"\\x\"", 2, "an escape"),
        ("\"\\u12g4\"", 3, "four hexadecimal digits"),
        ("'a'", 0, "a value"),
        ("[1] // no", 4, "the end"),
    ] {
        assert_eq!(validate(json.as_bytes()), Err(ScanError::NotJson { at, expected }), "{json}");
    }
    assert_eq!(validate(b"\"\xff\""), Err(ScanError::NotJson { at: 1, expected: "UTF-8" }));
}

/// Scans within the deepest bound, for nothing.
fn validate(json: &[u8]) -> Result<(), ScanError> {
    scan(json, [None], DEPTH_MAX).map(|[_]| ())
}

/// Bytes that are JSON, almost JSON, or nothing like it.
fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"id\"",
        "\"\\u0069d\"",
        "\"a\":",
        "null",
        "true",
        "fals",
        "0",
        "-1",
        "1.5e3",
        "01",
        " ",
        "\n",
        "\\",
        "\\u12",
        "\\ud800",
        "ä",
        "\u{1f}",
        "\u{7f}",
        "abcdefgh",
    ]);
    let soup = prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat().into_bytes());
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    let key = prop_oneof![Just("id".to_owned()), Just("data".to_owned()), any::<String>()];
    let value = leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    let whole = value.prop_map(|value| value.to_string().into_bytes());
    let cut = (whole.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut json, at, byte)| {
        let at = at.index(json.len());
        json[at] = byte;
        json
    });
    prop_oneof![soup, whole, cut]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// serde_json as a second opinion: what it takes is taken, and what only we take is a number that it cannot
    /// hold or a lone surrogate.
    #[test]
    fn the_scanner_agrees_with_serde_json(json in json_like()) {
        let pointer: Pointer = "/data/id".parse().expect("a pointer");
        let scanned = scan(&json, [Some(&pointer)], DEPTH_MAX);
        match (serde_json::from_slice::<serde_json::Value>(&json), &scanned) {
            (Ok(value), Ok([found])) => {
                let found = found.as_ref().map(|found| match found {
                    Value::Text(text) => serde_json::Value::from(text.as_ref()),
                    Value::Integer(digits) => digits.parse().expect("a number"),
                    Value::Null => serde_json::Value::Null,
                    Value::Other => value.pointer("/data/id").cloned().unwrap_or_default(),
                });
                prop_assert_eq!(found.as_ref(), value.pointer("/data/id"));
            }
            // serde_json takes the last of two.
            (Ok(_), Err(ScanError::DuplicateKey { .. })) => {}
            (Ok(_), Err(error)) => prop_assert!(false, "serde_json takes it: {error}"),
            (Err(error), Ok(_)) => {
                let error = error.to_string();
                let known = ["number out of range", "lone leading surrogate", "unexpected end of hex escape", "lone trailing"];
                prop_assert!(known.iter().any(|known| error.contains(known)), "serde_json does not: {error}");
            }
            (Err(_), Err(_)) => {}
        }
    }
}

#[test]
fn what_ends_a_string_is_found_wherever_it_stands() {
    for length in 0..120 {
        for place in 0..=length {
            let string = |at_place: &str| format!("{}{at_place}{}", "x".repeat(place), "y".repeat(length - place));
            let json = format!(r#"{{"id":"{}"}}"#, string(r#"\""#));
            check(&json, "/id", text(&string("\"")));
            let json = format!(r#"{{"id":"{}"}}"#, string("\u{1f}"));
            let expected = Err(ScanError::NotJson { at: 7 + place, expected: "no control character in a string" });
            check(&json, "/id", expected);
            let json = format!(r#"{{"id":"{}"}}"#, string("\u{7f}\u{e4}\u{ff22}"));
            check(&json, "/id", text(&string("\u{7f}\u{e4}\u{ff22}")));
        }
    }
}
