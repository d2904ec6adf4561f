//! Promise 7: no secret ever reaches a log, an error, a metric or an answer, not even at the finest log level (S17).

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::support::{Answer, Client, Gateway, Sender, Sink, event, eventually, hookward};

/// Every one of these is looked for in every output.
const CANARIES: [(&str, &str); 7] = [
    ("APPMINT_SECRET", "canary-appmint-secret-1f9a"),
    ("SOURCE_TOKEN", "canary-source-token-2e8b"),
    ("SOURCE_PASSWORD", "canary-source-password-3d7c"),
    ("DESTINATION_BEARER", "canary-destination-bearer-4c6d"),
    ("DESTINATION_HEADER", "canary-destination-header-5b5e"),
    ("DESTINATION_KEY", "Y2FuYXJ5LWRlc3RpbmF0aW9uLWtleS02YTRm"),
    ("ADMIN_TOKEN", "canary-admin-token-7f3a-0123456789abcdef"),
];

fn config(sink: &Sink) -> String {
    format!(
        r#"
admin:
  listen: "@ADMIN@"
  tokens: [{{ name: ops, token: "${{ADMIN_TOKEN}}", role: admin }}]
sources:
  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: ["${{APPMINT_SECRET}}"] }} }}
  tokened: {{ path: /token, verify: {{ scheme: token, header: x-token, secrets: ["${{SOURCE_TOKEN}}"] }} }}
  basic: {{ path: /basic, verify: {{ scheme: basic, secrets: ["user:${{SOURCE_PASSWORD}}"] }} }}
routes:
  - {{ from: "*", to: [crm, billing] }}
destinations:
  crm:
    url: "{url}"
    auth: {{ bearer: "${{DESTINATION_BEARER}}" }}
    headers: {{ add: {{ x-key: "${{DESTINATION_HEADER}}" }} }}
    sign: {{ secret: "${{DESTINATION_KEY}}" }}
  billing: {{ url: "{url}" }}
"#,
        url = sink.url("/hook")
    )
}

/// The base64 of `user:password`, as a sender of basic authentication writes it.
fn basic() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("user:{}", CANARIES[2].1))
}

/// What the admin port says, to a wrong token and to the right one.
async fn answers(gateway: &Gateway) -> Vec<(String, String)> {
    let mut outputs = Vec::new();
    let mut ask = async |path: &str, token: &str| {
        let request =
            Request::get(path).header("authorization", format!("Bearer {token}")).body(Full::default()).unwrap();
        let reply = Client::new(gateway.admin()).send(request).await.unwrap();
        outputs.push((path.to_owned(), String::from_utf8_lossy(&reply.body).into_owned()));
        reply
    };
    assert_eq!(ask("/v1/events", &format!("{}x", CANARIES[6].1)).await.status, 401);
    for path in ["/readyz", "/metrics", "/v1/events", "/v1/rejections?limit=100", "/v1/sources", "/v1/destinations"] {
        assert_eq!(ask(path, CANARIES[6].1).await.status, 200, "{path}");
    }
    for (list, detail) in [("/v1/events", "/v1/events/"), ("/v1/deliveries", "/v1/deliveries/")] {
        let rows = ask(&format!("{list}?limit=100"), CANARIES[6].1).await.json();
        let rows = rows["data"].as_array().unwrap().clone();
        assert!(rows.len() >= 3, "{rows:?}");
        for row in rows {
            assert_eq!(ask(&format!("{detail}{}", row["id"].as_str().unwrap()), CANARIES[6].1).await.status, 200);
        }
    }
    eventually("the rejections", async || {
        let rejections = ask("/v1/rejections?limit=100", CANARIES[6].1).await.json();
        (rejections["data"].as_array().unwrap().len() >= 4).then_some(())
    })
    .await;
    outputs
}

#[tokio::test]
async fn no_secret_is_in_any_output_at_the_finest_log_level() {
    let sink = Sink::answering(|hit| match hit.header("hookward-source") {
        "appmint" => Answer::status(200),
        _ => Answer::status(410),
    })
    .await;
    let mut gateway = Gateway::prepare(&config(&sink));
    for (name, value) in CANARIES {
        gateway.env(name, value);
    }
    gateway.env("HOOKWARD_LOG", "trace");
    gateway.run().await;

    let mut client = Client::new(gateway.ingress());
    let body = event("evt_1", "payment.succeeded");
    let mut sender = Sender::to(gateway.ingress(), "/in", CANARIES[0].1);
    assert_eq!(sender.send(&body).await.status, 200);
    // Genuine and refused credentials alike: both come near the secret.
    for (path, header, value, status) in [
        ("/token", "x-token", CANARIES[1].1.to_owned(), 200),
        ("/token", "x-token", format!("{}x", CANARIES[1].1), 401),
        ("/basic", "authorization", format!("Basic {}", basic()), 200),
        ("/basic", "authorization", format!("Basic {}x", &basic()[..basic().len() - 2]), 401),
        ("/in", "authorization", format!("Bearer {}", CANARIES[1].1), 401),
        ("/nowhere", "x-token", CANARIES[1].1.to_owned(), 404),
    ] {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .header(header, value)
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap();
        assert_eq!(client.send(request).await.unwrap().status, status, "{path} {header}");
    }
    let hits = sink.wait_for(6).await;
    assert!(hits.iter().any(|hit| hit.header("x-key") == CANARIES[4].1), "the destination gets what it must");
    assert!(hits.iter().any(|hit| hit.header("x-token") == CANARIES[1].1), "the sender's credentials are forwarded");

    let mut outputs = answers(&gateway).await;
    let file = gateway.config_file();
    let file = file.to_str().unwrap();
    let said = hookward(&["check", "-c", file], &CANARIES);
    outputs.push(("check".to_owned(), format!("{said:?}")));
    let admin = format!("http://{}", gateway.admin());
    for verb in ["events", "deliveries", "rejections"] {
        let said = hookward(&[verb, "--json", "--admin", &admin], &[("HOOKWARD_ADMIN_TOKEN", CANARIES[6].1)]);
        assert!(said.status.success(), "{verb}: {said:?}");
        outputs.push((verb.to_owned(), format!("{said:?}")));
    }
    gateway.terminate();
    assert!(gateway.ended().await.success());
    let log = gateway.log();
    assert!(log.lines().count() > 10, "the log at the finest level says something");
    outputs.push(("log".to_owned(), log));

    let basic = basic();
    let canaries =
        CANARIES.iter().map(|(name, value)| (*name, *value)).chain([("SOURCE_PASSWORD in base64", &basic[..])]);
    for (name, value) in canaries {
        for (output, text) in &outputs {
            let line = text.lines().find(|line| line.contains(value)).unwrap_or_default();
            assert!(line.is_empty(), "{name} stands in {output}: {line}");
        }
    }
}
