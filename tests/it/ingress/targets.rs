//! S08: which request targets reach a source. One parse: the path matches byte for byte or not at all.

use hookward::ingress::{PathError, Table};
use http::Method;

use super::Gate;
use super::gate::short;

#[tokio::test]
async fn s08_a_path_matches_as_it_is_configured_or_not_at_all() {
    check(&[
        ("/hook", 200),
        ("/hook?", 200),
        ("/hook?a=/../b", 200),
        ("/hook?%00", 200),
        ("http://test/hook", 200),
        ("http://other:80/hook?x", 200),
        ("HTTP://test/hook", 200),
        ("https://test/hook", 200),
        ("/", 404),
        ("/hook/", 404),
        ("/Hook", 404),
        ("/HOOK", 404),
        ("//hook", 404),
        ("/hook//", 404),
        ("///hook", 404),
        ("/./hook", 404),
        ("/hook/.", 404),
        ("/hook/..", 404),
        ("/x/../hook", 404),
        ("/../hook", 404),
        ("/%2e/hook", 404),
        ("/%2e%2e/hook", 404),
        ("/x/%2e%2e/hook", 404),
        ("/%68ook", 404),
        ("/%48ook", 404),
        ("/%2fhook", 404),
        ("/hook%2f", 404),
        ("/hook%2F", 404),
        ("/hook%20", 404),
        ("/%5chook", 404),
        ("/hook%3f", 404),
        ("/hook%23", 404),
        ("/%2568ook", 404),
        ("/hook;x=y", 404),
        ("/hook;", 404),
        ("/hook.json", 404),
        ("/hook*", 404),
        ("/hook%c3%a9", 404),
        ("http://test", 404),
        ("http://test//hook", 404),
    ])
    .await;
}

#[tokio::test]
async fn s08_a_target_that_no_url_can_have_is_malformed() {
    check(&[
        ("/hook%00", 400),
        ("/%00hook", 400),
        ("/hook%0a", 400),
        ("/hook%0d%0aX:y", 400),
        ("/hook%1f", 400),
        ("/hook%7f", 400),
        ("/hook%", 400),
        ("/hook%2", 400),
        ("/hook%zz", 400),
        ("/hook%u0041", 400),
        ("/hook\\", 400),
        ("/..\\hook", 400),
        ("/hook#x", 400),
        ("/hook?x#y", 400),
        ("/hooké", 400),
        ("hook", 400),
        ("test:80", 400),
        ("test/hook", 400),
        ("*", 400),
        ("ftp://test/hook", 400),
        ("http://user@test/hook", 400),
        ("http://user:pass@test/hook", 400),
        ("http:///hook", 400),
        ("://hook", 400),
        ("?hook", 400),
    ])
    .await;
}

async fn check(table: &[(&str, u16)]) {
    let gate = Gate::open(short()).await;
    for (target, status) in table {
        let answer = gate.send(format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(answer.status, *status, "{target}: {}", answer.body);
    }
}

#[tokio::test]
async fn rfc9110_15_5_6_another_method_is_405_with_allow() {
    let gate = Gate::open(short()).await;
    for (line, status, allow) in [
        ("GET /hook", 405, "\r\nallow: POST\r\n"),
        ("PUT /hook", 405, "\r\nallow: POST\r\n"),
        ("OPTIONS /hook", 405, "\r\nallow: POST\r\n"),
        ("TRACE /hook", 405, "\r\nallow: POST\r\n"),
        ("post /hook", 405, "\r\nallow: POST\r\n"),
        ("PROPFIND /hook", 405, "\r\nallow: POST\r\n"),
        ("CONNECT test:443", 405, "\r\nallow: \r\n"),
        ("GET /nowhere", 404, ""),
        ("OPTIONS *", 400, ""),
    ] {
        let answer = gate.send(format!("{line} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{line}");
        assert!(answer.head.contains(allow), "{line}: {}", answer.head);
    }
}

#[tokio::test]
async fn rfc9110_9_3_2_head_gets_no_body() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("HEAD /hook HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await;
    let raw = peer.rest().await;
    assert!(raw.starts_with("HTTP/1.1 405 ") && raw.ends_with("\r\n\r\n"), "{raw}");
}

#[tokio::test]
async fn rfc9112_3_2_exactly_one_host_is_wanted() {
    let gate = Gate::open(short()).await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: test\r\nHost: test\r\n", 400),
        ("1.1", "Host: test\r\nhost: other\r\n", 400),
        ("1.1", "Host: user@test\r\n", 400),
        ("1.1", "Host: test/hook\r\n", 400),
        ("1.1", "Host: te st\r\n", 400),
        ("1.1", "Host: te,st\r\n", 200),
        ("1.1", "Host: té\r\n", 400),
        ("1.1", "Host: test:8080\r\n", 200),
        ("1.1", "Host: [::1]:8080\r\n", 200),
        ("1.1", "Host: 127.0.0.1\r\n", 200),
        ("1.1", "Host:\r\n", 200),
        ("1.0", "", 200),
        ("1.0", "Host: test\r\nHost: test\r\n", 400),
    ] {
        let answer = gate.send(format!("POST /hook HTTP/{version}\r\n{hosts}Content-Length: 0\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{version} {hosts:?}");
    }
}

#[test]
fn a_path_that_cannot_match_or_is_taken_is_not_configured() {
    let table =
        |paths: &[&str]| Table::new(paths.iter().map(|path| (Box::from(*path), vec![Method::POST], ()))).map(drop);
    assert_eq!(table(&["/a", "/a/", "/A", "/a%2fb"]), Ok(()));
    for path in ["a", "", "/a?b", "/a#b", "/a b", "/a%", "/a%00", "/a\\b", "/é", "*"] {
        assert_eq!(table(&[path]), Err(PathError::Impossible(path.into())), "{path}");
    }
    assert_eq!(table(&["/a", "/b", "/a"]), Err(PathError::Taken("/a".into())));
}
