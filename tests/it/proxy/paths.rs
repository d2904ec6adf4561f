//! A path is parsed once: what the router matched is what the app gets, byte for byte, or there is no request at all.

use crate::support::{Answer, Gateway, Sink, raw};

/// The paths of the sources, as they stand in the configuration.
const SOURCES: [&str; 9] =
    ["/in", "/in/", "/a//b", "/a/../b", "/a/./b", "/a%2fb", "/a%2Fb", "/semi;v=1", "/~tilde/%41"];

/// Targets that are no source's path, however alike they look.
const FOREIGN: [&str; 62] = [
    "/",
    "//",
    "//in",
    "/in//",
    "/IN",
    "/In",
    "/iN/",
    "/./in",
    "/../in",
    "/in/.",
    "/in/..",
    "/in/../in",
    "/x/../in",
    "/%69n",
    "/i%6e",
    "/%69%6E",
    "/in%2f",
    "/in%2F",
    "/%2fin",
    "/%2Fin",
    "/in%20",
    "/in%09x",
    "/in;",
    "/in;x=1",
    "/in%3f",
    "/in%3Fx",
    "/in%23",
    "/in%25",
    "/in%2500",
    "/in%252f",
    "/in.",
    "/in..",
    "/in./",
    "/in/x",
    "/inx",
    "/a/b",
    "/a///b",
    "/b",
    "/a/%2e%2e/b",
    "/a/%2E%2E/b",
    "/a/.%2e/b",
    "/a/..%2fb",
    "/a/..;/b",
    "/a/%2e/b",
    "/a/b/",
    "/a%2f/b",
    "/a%5cb",
    "/a%5Cb",
    "/a%252fb",
    "/a%2f%2fb",
    "/semi",
    "/semi;",
    "/semi;v=2",
    "/semi;v=1;",
    "/semi%3bv=1",
    "/SEMI;v=1",
    "/~tilde/A",
    "/~tilde/%61",
    "/%7etilde/%41",
    "/%7Etilde/%41",
    "/~tilde/%2541",
    "/in%2e",
];

/// Targets that no request can have.
const MALFORMED: [&str; 24] = [
    "/in%",
    "/in%2",
    "/in%zz",
    "/in%g0",
    "/in%00",
    "/in%0a",
    "/in%0d%0a",
    "/in%1f",
    "/in%7f",
    "/in\\",
    "/\\in",
    "/a\\..\\b",
    "in",
    "*",
    "http:/in",
    "ftp://h/in",
    "http://u@h/in",
    "http://u:p@h/in",
    "//h@/in%",
    "/in%u0041",
    "/%",
    "/%%32%66in",
    "http://h/in%00",
    "/in%c",
];

#[tokio::test]
async fn route_and_forwarded_path_agree_or_nothing_is_forwarded() {
    let sink = Sink::answering(|hit| Answer::status(200).body(hit.uri.to_string())).await;
    let sources = SOURCES.iter().enumerate().map(|(number, path)| {
        format!(
            "  s{number}: {{ path: '{path}', mode: proxy, app: \"{}\", verify: {{ scheme: none }}, dedup: off }}\n",
            sink.url("")
        )
    });
    let gateway = Gateway::start(&format!("sources:\n{}", sources.collect::<String>())).await;
    let ask = async |target: &str| {
        let request = format!("POST {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let answer = raw(gateway.ingress(), request.as_bytes()).await;
        let status: u16 = answer[9..12].parse().unwrap();
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    };
    let mut cases = 0;
    for path in SOURCES {
        for query in ["", "?", "?a=b&a=b", "?/../%2e%2e//\\?x", "?%zz%00"] {
            for origin in ["", "http://h", "http://h:80", "https://other.example"] {
                let (status, seen) = ask(&format!("{origin}{path}{query}")).await;
                // A query that is there and empty stays so, or is absent: it says the same.
                let same = seen == format!("{path}{query}") || query == "?" && seen == path;
                assert!((status, same) == (200, true) || status == 400, "{origin}{path}{query}: {status} {seen}");
                cases += 1;
            }
        }
        let (status, seen) = ask(path).await;
        assert_eq!((status, &*seen), (200, path));
    }
    let forwarded = sink.count();
    for target in FOREIGN {
        for origin in ["", "http://h"] {
            let (status, _) = ask(&format!("{origin}{target}")).await;
            assert!([400, 404].contains(&status), "{origin}{target}: {status}");
            cases += 1;
        }
    }
    for target in MALFORMED {
        let (status, _) = ask(target).await;
        assert!([400, 404].contains(&status), "{target}: {status}");
        cases += 1;
    }
    assert_eq!(sink.count(), forwarded, "nothing of these reached the app");
    assert!(cases >= 100, "{cases}");
}
