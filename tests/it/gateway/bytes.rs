//! Promise 3: body, query, method and end-to-end headers reach the destination byte for byte.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;

use crate::support::{Client, Gateway, Hit, SECRET, Sender, Sink, sign};

/// What a gateway may add besides `Hookward-*`, and what it may not pass on because it belongs to one connection.
const OF_THE_CONNECTION: [&str; 5] = ["host", "connection", "content-length", "transfer-encoding", "via"];

async fn start() -> (Gateway, Sink) {
    let sink = Sink::start().await;
    let config = format!(
        r#"
ingress: {{ listen: "@INGRESS@", body_bytes_max: 4MiB }}
sources:
  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: ["{SECRET}"] }} }}
  github:
    path: /github
    verify:
      scheme: hmac
      header: x-hub-signature-256
      prefix: "sha256="
      algorithm: sha256
      encoding: hex
      signed: "{{body}}"
      id: header:X-GitHub-Delivery
      type: header:X-GitHub-Event
      secrets: ["{SECRET}"]
  anything:
    path: /anything
    methods: [POST, PUT, PATCH, DELETE]
    verify: {{ scheme: none }}
routes:
  - {{ from: "*", to: [crm] }}
destinations:
  crm: {{ url: "{}" }}
"#,
        sink.url("/hook")
    );
    (Gateway::start(&config).await, sink)
}

/// The headers that are the sender's own, sorted.
fn own(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut own = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .filter(|(name, _)| !name.starts_with("hookward-") && !OF_THE_CONNECTION.contains(&name.as_str()))
        .collect::<Vec<_>>();
    own.sort_by(|one, other| one.0.cmp(&other.0));
    own
}

/// Sends this request to `path` and gives what arrived; fails where it is not the same byte for byte.
async fn check(gateway: &Gateway, sink: &Sink, name: &str, request: http::request::Builder, body: Bytes) -> Hit {
    let before = sink.count();
    let request = request.body(Full::new(body.clone())).unwrap();
    let (method, query) = (request.method().clone(), request.uri().query().map(str::to_owned));
    let sent = own(request.headers());
    let reply = Client::new(gateway.ingress()).send(request).await.unwrap();
    assert_eq!(reply.status, 200, "{name}: {reply:?}");
    let hit = sink.wait_for(before + 1).await.pop().unwrap();
    assert!(hit.body == body, "{name}: the body was changed to {:?}", hit.body);
    assert_eq!(hit.method, method, "{name}");
    assert_eq!((hit.uri.path(), hit.uri.query()), ("/hook", query.as_deref()), "{name}");
    assert_eq!(own(&hit.headers), sent, "{name}");
    hit
}

#[tokio::test]
async fn bodies_of_any_kind_and_queries_and_methods_arrive_as_they_were_sent() {
    let (gateway, sink) = start().await;
    let every_byte = (0..=255u8).cycle().take(70_000).collect::<Vec<_>>();
    let bodies: [(&str, &str, Vec<u8>); 11] = [
        ("JSON with odd spacing", "application/json", b"{ \"b\":1.0,\r\n\t\"a\" : [ 1e3 ,2 ] }\n\n".to_vec()),
        ("JSON with escapes", "application/json", br#"{"a":"\u00e9\/\ud83d\ude00","a ":"\u0000"}"#.to_vec()),
        ("big numbers", "application/json", b"{\"n\":123456789012345678901234567890.10}".to_vec()),
        ("duplicate keys", "application/json", b"{\"a\":1,\"a\":2}".to_vec()),
        ("a byte order mark", "application/json", b"\xef\xbb\xbf{}".to_vec()),
        ("form", "application/x-www-form-urlencoded", b"payload=%7B%22a%22%3A+1%7D&b=%20+".to_vec()),
        ("XML in Latin-1", "text/xml; charset=ISO-8859-1", b"<?xml version='1.0'?><a>\xe9</a>".to_vec()),
        ("multipart", "multipart/form-data; boundary=\"x y\"", b"--x y\r\n\r\n\x00\xff\r\n--x y--\r\n".to_vec()),
        ("every byte", "application/octet-stream", every_byte),
        ("no type at all", "", b"\r\n\r\n".to_vec()),
        ("large", "application/json", vec![b'7'; 3 << 20]),
    ];
    let queries = ["", "?", "?a=1&b=%20x&&c", "?next=http://x/?y=%2F", "?%00%ff", "?a=b;c='d'"];
    for (number, (name, content_type, body)) in bodies.into_iter().enumerate() {
        let method = ["POST", "PUT", "PATCH", "DELETE"][number % 4];
        let uri = format!("/anything{}", queries[number % queries.len()]);
        let mut request = Request::builder().method(method).uri(uri);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        check(&gateway, &sink, name, request, Bytes::from(body)).await;
    }
}

#[tokio::test]
async fn headers_arrive_as_they_were_sent_but_those_of_the_connection_and_ours() {
    let (gateway, sink) = start().await;
    let body = Bytes::from_static(b"{\"id\":\"evt_headers\",\"type\":\"a.b\"}");
    let signature = sign(SECRET, &body);
    let latin = http::HeaderValue::from_bytes(b"caf\xe9").unwrap();
    let request = Request::post("/in")
        .header("content-type", "application/json;charset=UTF-8")
        .header("x-appmint-signature", &signature)
        .header("x-appmint-event-id", "evt_headers")
        .header("x-appmint-event-type", "a.b")
        .header("x-appmint-delivery", "delivery_abcd1234")
        .header("user-agent", "Appmint-Webhooks/1.0")
        .header("accept", "*/*")
        .header("authorization", "Bearer of-the-sender")
        .header("cookie", "a=b; c=d")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("x-several", "one")
        .header("x-several", "two, three")
        .header("x-empty", "")
        .header("x-latin", latin);
    let hit = check(&gateway, &sink, "headers", request, body).await;
    assert_eq!(sign(SECRET, &hit.body), hit.header("x-appmint-signature"), "the original signature verifies there");
    for (name, value) in [
        ("hookward-source", "appmint"),
        ("hookward-source-event-id", "evt_headers"),
        ("hookward-event-type", "a.b"),
        ("hookward-attempt", "1"),
    ] {
        assert_eq!(hit.header(name), value, "{name}");
    }
    assert!(
        hit.header("hookward-event-id").starts_with("evt_")
            && hit.header("hookward-delivery-id").starts_with("delivery_")
    );
    assert!(!hit.header("hookward-received-at").is_empty());
}

#[tokio::test]
async fn what_a_sender_pretends_to_have_from_us_and_what_belongs_to_its_connection_is_dropped() {
    let (gateway, sink) = start().await;
    let body = Bytes::from_static(b"x");
    let request = Request::post("/anything")
        .header("hookward-event-id", "evt_forged")
        .header("hookward-duplicate", "true")
        .header("hookward-anything", "forged")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "of this connection")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("te", "trailers")
        .header("x-kept", "1")
        .body(Full::new(body))
        .unwrap();
    assert_eq!(Client::new(gateway.ingress()).send(request).await.unwrap().status, 200);
    let hit = sink.wait_for(1).await.pop().unwrap();
    for name in ["hookward-anything", "hookward-duplicate", "x-hop", "keep-alive", "proxy-connection", "te"] {
        assert!(!hit.headers.contains_key(name), "{name} was passed on: {:?}", hit.headers);
    }
    assert_ne!(hit.header("hookward-event-id"), "evt_forged");
    assert_eq!(hit.headers.get_all("hookward-event-id").iter().count(), 1);
    assert_eq!(hit.header("x-kept"), "1");
    assert_eq!(hit.header("host"), sink.address().to_string(), "the destination's own name");
}

#[tokio::test]
async fn the_platforms_own_examples_arrive_byte_identical() {
    let (gateway, sink) = start().await;
    let mut sender = Sender::new(&gateway);
    let examples: [&[u8]; 6] = [
        include_bytes!("platform/standard_event.json"),
        include_bytes!("platform/user_created.json"),
        include_bytes!("platform/payment_succeeded.json"),
        include_bytes!("platform/document_created.json"),
        include_bytes!("platform/handler_test.json"),
        include_bytes!("platform/curl_test.json"),
    ];
    for (number, example) in examples.into_iter().enumerate() {
        let body = Bytes::from_static(example);
        assert_eq!(sender.send(&body).await.status, 200, "{}", String::from_utf8_lossy(example));
        assert!(sink.wait_for(number + 1).await[number].body == body);
    }
}

#[tokio::test]
async fn the_329_real_payloads_of_github_arrive_byte_identical() {
    let (gateway, sink) = start().await;
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/test-packages/node_modules/@octokit/webhooks-examples/api.github.com/index.json"
    );
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{path}: {error}. tests/install brings it (npm @octokit/webhooks-examples)"));
    let hooks: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut sent = Vec::new();
    let mut client = Client::new(gateway.ingress());
    for hook in &hooks {
        for example in hook["examples"].as_array().unwrap() {
            let id = format!("72d3162e-cc78-11e3-81ab-{:012}", sent.len());
            // GitHub prints compactly; every other one is printed with spaces, which must survive as well.
            let body = match sent.len() % 2 {
                0 => serde_json::to_vec(example),
                _ => serde_json::to_vec_pretty(example),
            };
            let body = Bytes::from(body.unwrap());
            let request = Request::post("/github")
                .header("content-type", "application/json")
                .header("x-github-event", hook["name"].as_str().unwrap())
                .header("x-github-delivery", &id)
                .header("x-hub-signature-256", sign(SECRET, &body))
                .body(Full::new(body.clone()))
                .unwrap();
            let reply = client.send(request).await.unwrap();
            assert_eq!((reply.status, reply.is_duplicate()), (200, false), "{} {id}", hook["name"]);
            sent.push((id, body));
        }
    }
    assert_eq!(sent.len(), 329, "the examples are those of @octokit/webhooks-examples 7.6.1");
    let hits = sink.wait_for(329).await;
    for (id, body) in sent {
        let hit = hits.iter().find(|hit| hit.header("hookward-source-event-id") == id);
        let hit = hit.unwrap_or_else(|| panic!("{id} did not arrive"));
        assert!(hit.body == body, "{id} was changed");
        assert_eq!(hit.header("x-hub-signature-256"), sign(SECRET, &hit.body));
    }
}
