//! The pass over pieces says what the pass over the whole says, wherever the text is cut.

use proptest::prelude::*;

use super::super::scan::{Value, scan};
use super::*;

/// The reason of an error, which is what senders and ledgers see.
#[derive(Debug, PartialEq, Eq)]
enum Why {
    NotJson,
    TooDeep,
    DuplicateKey,
}

type Found = Result<[Option<Scalar>; 3], Why>;

fn why(error: ScanError) -> Why {
    match error {
        ScanError::NotJson { .. } => Why::NotJson,
        ScanError::TooDeep { .. } => Why::TooDeep,
        ScanError::DuplicateKey { .. } => Why::DuplicateKey,
    }
}

fn pointers() -> [Pointer; 3] {
    ["/id", "/data/1/type", "/data"].map(|pointer| pointer.parse().unwrap())
}

fn whole(json: &[u8], depth_max: u32) -> Found {
    let [a, b, c] = &pointers();
    let found = scan(json, [Some(a), Some(b), Some(c)], depth_max).map_err(why)?;
    Ok(found.map(|found| {
        found.map(|value| match value {
            Value::Text(text) => Scalar::Text(text.into()),
            Value::Integer(digits) => Scalar::Integer(digits.into()),
            Value::Null => Scalar::Null,
            Value::Other => Scalar::Other,
        })
    }))
}

fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, depth_max: u32) -> Found {
    let [a, b, c] = &pointers();
    let mut pass = Piecewise::new([Some(a), Some(b), Some(c)], depth_max);
    pieces.into_iter().for_each(|piece| pass.take(piece));
    pass.finish().map_err(why)
}

#[track_caller]
fn check(json: &[u8]) {
    for depth_max in [2, 127] {
        let expected = whole(json, depth_max);
        let shown = || String::from_utf8_lossy(json).into_owned();
        assert_eq!(in_pieces([json], depth_max), expected, "{}", shown());
        assert_eq!(in_pieces(json.chunks(1), depth_max), expected, "byte by byte: {}", shown());
        for cut in 0..=json.len() {
            let (first, second) = json.split_at(cut);
            assert_eq!(in_pieces([first, second], depth_max), expected, "cut at {cut}: {}", shown());
        }
    }
}

#[test]
fn pieces_say_what_the_whole_says() {
    for json in [
        r#"{"id":"evt_1","data":[0,{"type":"a.b","id":2},[]]}"#,
        r#" { "\u0069d" : -0 , "data" : { "1" : { "type" : null } } } "#,
        r#"{"id":"a\u00e4\ud83d\ude00\n","id2":1,"data":[[],{"type":"\ud800"}]}"#,
        r#"{"id":"\u00e4ä😀","data":true}"#,
        r#"{"id":1,"id":2}"#,
        r#"{"id":1,"\u0069d":2}"#,
        r#"{"data":{"1":{"type":1},"1":{"type":2}}}"#,
        r#"{"x":1,"x":2,"id":12345678901234567890123}"#,
        r#"{"id":1.5,"data":[1e5,{"type":-1E+7}]}"#,
        r#"{"id":01}"#,
        r#"{"id":-}"#,
        r#"{"id":1.}"#,
        r#"{"id":1e}"#,
        r#"{"id":1,}"#,
        r#"{"id" 1}"#,
        r#"{id:1}"#,
        r#"{"id":tru}"#,
        r#"{"id":nullx}"#,
        r#"[1,]"#,
        r#"[]"#,
        r#"{}"#,
        r#"{]"#,
        r#"[}"#,
        r#"{"a":[{"b":[1]}]}"#,
        r#"{"a":[{"b":[1]}]} x"#,
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "12",
        " -0.5e-3 ",
        "-",
        "true",
        "null ",
        "",
        "  ",
        "\u{feff}{}",
        "{\"id\":\"unended",
    ] {
        check(json.as_bytes());
    }
    for broken in [
        &b"{\"id\":\"\xff\"}"[..],
        b"{\"id\":1} \xe4",
        b"{\"id\":1,\"id\":2,\"x\":\"\xe4\"}",
        b"{\"id\":\"\xed\xa0\x80\"}",
        b"{\"id\":\"\xf0\x9f\x98\"}",
        b"\xc3",
    ] {
        check(broken);
    }
}

#[test]
fn a_field_or_a_name_that_is_too_long_is_not_held() {
    let long = "x".repeat(HELD_BYTES_MAX + 1);
    let json = format!("{{\"{long}\":1,\"id\":\"{long}\",\"data\":{}}}", "1".repeat(HELD_BYTES_MAX + 1));
    let [a, b, c] = &pointers();
    let mut pass = Piecewise::new([Some(a), Some(b), Some(c)], 127);
    for piece in json.as_bytes().chunks(1000) {
        pass.take(piece);
        assert!(pass.held.bytes.capacity() <= 2 * HELD_BYTES_MAX);
    }
    assert_eq!(pass.finish().map_err(why), Ok([Some(Scalar::Other), None, Some(Scalar::Other)]));
}

proptest! {
    #[test]
    fn pieces_of_anything_like_json_say_what_the_whole_says(
        json in r#"([\[\]{},: ]|"(id|data|type|1|\\u0069d|\\[nu"]|[ -~]{0,3}|ä|\x00)"|-?[0-9]{1,3}(\.[0-9])?([eE][+-]?[0-9])?|true|null|0){0,14}"#,
        cuts in proptest::collection::vec(1_usize..6, 1..6),
    ) {
        let mut pieces = Vec::new();
        let mut rest = json.as_bytes();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        for depth_max in [2, 127] {
            prop_assert_eq!(in_pieces(pieces.iter().copied(), depth_max), whole(json.as_bytes(), depth_max), "{}", json);
        }
    }

    #[test]
    fn pieces_of_json_say_what_the_whole_says(
        members in proptest::collection::vec((r#""(id|data|x|[a-z]{0,4})""#, r#"("[ -!#-Z]{0,9}"|-?[1-9][0-9]{0,3}|\[(0,)?\{"type":"t"\}\]|\[\[\],\{"type":[0-9]\}\]|\{"1":\{"type":null\}\})"#), 0..6),
        step in 1_usize..9,
    ) {
        let members: Vec<String> = members.into_iter().map(|(name, value)| format!("{name} : {value}")).collect();
        let json = format!("{{ {} }}", members.join(" ,\t"));
        prop_assert_eq!(in_pieces(json.as_bytes().chunks(step), 127), whole(json.as_bytes(), 127), "{}", json);
    }
}
