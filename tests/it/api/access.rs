//! Who may ask for what (RELIABILITY.md S18): denied by default, for every route, role and trick.

use hookward::api::Role;
use http::{Method, Request};
use http_body_util::Full;

use super::fixture::{ADMIN, Fixture, TOKENS, VIEWER};
use crate::support::{Client, eventually, join_all};

/// Every operation of the admin port and who may use it; the same as the document says, written by hand: whoever adds
/// one says here once more who it is for.
///
/// `o` open, `r` admin and viewer, `a` admin, `e` admin and publisher, `x` every role; a capital letter: tokens bound to a project too.
const EXPECTED: &[(&str, &str, char)] = &[
    ("GET", "/livez", 'o'),
    ("GET", "/readyz", 'o'),
    ("GET", "/healthz", 'o'),
    ("GET", "/metrics", 'o'),
    ("GET", "/v1/events", 'R'),
    ("GET", "/v1/events/{id}", 'R'),
    ("GET", "/v1/events/{id}/body", 'R'),
    ("POST", "/v1/events/{id}/replay", 'A'),
    ("GET", "/v1/deliveries", 'R'),
    ("GET", "/v1/deliveries/{id}", 'R'),
    ("POST", "/v1/deliveries/{id}/redeliver", 'A'),
    ("POST", "/v1/deliveries/{id}/cancel", 'A'),
    ("GET", "/v1/rejections", 'r'),
    ("GET", "/v1/rejections/{id}", 'r'),
    ("GET", "/v1/sources", 'r'),
    ("GET", "/v1/destinations", 'r'),
    ("GET", "/v1/stats", 'r'),
    ("GET", "/v1/stream", 'R'),
    ("GET", "/v1/openapi.json", 'R'),
    ("POST", "/v1/events", 'E'),
    ("POST", "/v1/test-events", 'E'),
    ("GET", "/v1/event-types", 'X'),
    ("GET", "/v1/webhooks", 'R'),
    ("POST", "/v1/webhooks", 'A'),
    ("GET", "/v1/webhooks/{id}", 'R'),
    ("PATCH", "/v1/webhooks/{id}", 'A'),
    ("DELETE", "/v1/webhooks/{id}", 'A'),
    ("POST", "/v1/webhooks/{id}/rotate-secret", 'A'),
    ("POST", "/v1/webhooks/{id}/pause", 'A'),
    ("POST", "/v1/webhooks/{id}/resume", 'A'),
    ("GET", "/v1/webhooks/{id}/deliveries", 'R'),
    ("GET", "/v1/webhooks/{id}/stats", 'R'),
    ("POST", "/v1/rejections/{id}/readmit", 'a'),
    ("POST", "/v1/sources/{name}/pause", 'a'),
    ("POST", "/v1/sources/{name}/resume", 'a'),
    ("POST", "/v1/destinations/{name}/pause", 'a'),
    ("POST", "/v1/destinations/{name}/resume", 'a'),
    ("POST", "/v1/replays", 'A'),
    ("GET", "/v1/replays/{id}", 'R'),
];

/// Every operation of the document: a new one is in the matrix without anybody thinking of it.
async fn documented(fixture: &Fixture) -> Vec<(String, String)> {
    let document = fixture.get("/v1/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    let methods = |item: &serde_json::Value| item.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let of_path = |(path, item): (&String, &serde_json::Value)| {
        methods(item).into_iter().map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// With something in the place of ids and names.
fn filled(path: &str) -> String {
    path.replace("{id}", "delivery_01kb9w3v1m000000000000000000").replace("{name}", "crm")
}

/// Who may, of the six tokens.
fn may(expected: char, role: Role, bound: bool) -> bool {
    let role = match expected.to_ascii_lowercase() {
        'r' => role != Role::Publisher,
        'a' => role == Role::Admin,
        'e' => role != Role::Viewer,
        'x' => true,
        other => panic!("no such letter: {other}"),
    };
    role && (!bound || expected.is_uppercase())
}

#[tokio::test]
async fn every_route_is_denied_to_whoever_may_not() {
    let fixture = Fixture::new().await;
    let address = fixture.serve().await;
    let mut told = documented(&fixture).await;
    let mut expected: Vec<(String, String)> =
        EXPECTED.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected, "the document and this table");
    let routes: Vec<(Method, &str)> =
        EXPECTED.iter().map(|(method, path, _)| (method.parse().unwrap(), *path)).collect();
    let ask = async |method: &Method, path: &str, token: Option<&str>| {
        let mut request = Request::builder().method(method).uri(filled(path));
        if let Some(token) = token {
            request = request.header("authorization", bearer(token));
        }
        Client::new(address).send(request.body(Full::default()).unwrap()).await.unwrap()
    };
    for ((method, path), (.., expected)) in routes.iter().zip(EXPECTED) {
        let nobody = ask(method, path, None).await;
        if *expected == 'o' {
            assert_eq!(nobody.status, 200, "{path}");
            assert_eq!(ask(method, path, Some("wrong")).await.status, 200, "{path}");
            continue;
        }
        assert_eq!((nobody.status, nobody.code().as_str()), (401, "unauthorized"), "{method} {path}");
        assert!(nobody.header("www-authenticate").starts_with("Bearer"), "{path}");
        for (token, role, bound) in TOKENS {
            let reply = ask(method, path, Some(token)).await;
            if may(*expected, role, bound) {
                assert!(![401, 403, 405].contains(&reply.status), "{method} {path} {role:?} {bound}: {}", reply.status);
            } else {
                let code = reply.code();
                assert_eq!(reply.status, 403, "{method} {path} {role:?} {bound}");
                assert!(["role_not_allowed", "project_not_allowed"].contains(&code.as_str()), "{code}");
            }
        }
    }
    // Wrong tokens: as many as are listened to at once.
    let closed: Vec<_> = routes.iter().zip(EXPECTED).filter(|(_, (.., expected))| *expected != 'o').collect();
    for some in closed.chunks(8) {
        let wrong = some.iter().map(|((method, path), _)| ask(method, path, Some("wrong"))).collect();
        assert!(join_all(wrong).await.iter().all(|reply| reply.status == 401));
    }
}

#[tokio::test]
async fn a_wrong_token_is_counted_and_its_answer_waits() {
    let fixture = Fixture::new().await;
    let begin = std::time::Instant::now();
    let headers = [("authorization", "Bearer wrong")];
    let guesses: Vec<_> = (0..40).map(|_| fixture.ask(Method::GET, "/v1/events", &headers)).collect();
    let mut statuses = Vec::new();
    for guess in join_all(guesses).await {
        statuses.push(guess.status);
        assert!(guess.status == 401 || guess.header("retry-after") == "1");
    }
    assert!(begin.elapsed().as_millis() >= 500, "guesses are answered slowly");
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!(looked_at, 8, "of one address so many are looked at in half a second: {statuses:?}");
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "more are sent away: {statuses:?}");
    assert_eq!(fixture.metrics.gateway().auth_failures.get(), 8);
    assert_eq!(fixture.get("/v1/events").await.status, 200, "the right token is not slowed down");
}

#[tokio::test]
async fn an_early_refusal_tells_nothing_about_the_token() {
    let fixture = Fixture::new().await;
    let address = fixture.serve().await;
    let ask = async |token: &str| {
        let request = Request::get("/v1/events").header("authorization", bearer(token));
        Client::new(address).send(request.body(Full::default()).unwrap()).await.unwrap().status
    };
    let guesses = async { join_all((0..8).map(|_| ask("wrong")).collect()).await };
    let right = async {
        let waiting = async || fixture.metrics.gateway().auth_failures.get() == 8;
        eventually("eight wrong tokens", async || waiting().await.then_some(())).await;
        ask(ADMIN).await
    };
    let (wrong, right) = tokio::join!(guesses, right);
    assert_eq!((wrong, right), (vec![401; 8], 429), "not even the right one is looked at now");
    assert_eq!(ask(ADMIN).await, 200, "and half a second later it is");
}

#[tokio::test]
async fn tricks_do_not_open_what_is_closed() {
    let fixture = Fixture::new().await;
    let (viewer, admin) = (bearer(VIEWER), bearer(ADMIN));
    let path = "/v1/deliveries/delivery_01kb9w3v1m000000000000000000/redeliver";
    // Overriding the method does nothing: a viewer's POST stays a POST, and a GET stays a GET.
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        assert_eq!(fixture.ask(Method::POST, path, &[("authorization", &viewer), (name, "GET")]).await.status, 403);
        assert_eq!(fixture.ask(Method::GET, path, &[("authorization", &viewer), (name, "POST")]).await.status, 405);
    }
    for unknown in
        ["/v1/events/", "/v1//events", "/v1", "/", "/V1/events", "/v1/events/%2e%2e", "/metrics/", "/livez/x"]
    {
        assert_eq!(fixture.ask(Method::GET, unknown, &[]).await.status, 401, "strangers learn nothing: {unknown}");
    }
    assert_eq!(fixture.get("/v1/events/").await.code(), "not_found");
    let head = fixture.ask(Method::HEAD, "/v1/events", &[]).await;
    assert_eq!(head.status, 401);
    let head = fixture.ask(Method::HEAD, "/v1/events", &[("authorization", &viewer)]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::TRACE] {
        assert_eq!(fixture.ask(method.clone(), "/v1/events", &[]).await.status, 401, "{method}");
        let refused = fixture.ask(method.clone(), "/v1/events", &[("authorization", &admin)]).await;
        assert_eq!((refused.status, refused.code().as_str()), (405, "method_not_allowed"), "{method}");
        assert_eq!(refused.header("allow"), "GET,HEAD,POST");
    }
    // No page of another site gets an answer that it may read.
    let headers = [("authorization", admin.as_str()), ("origin", "http://evil.example")];
    let reply = fixture.ask(Method::GET, "/v1/events", &headers).await;
    assert!(!reply.headers.keys().any(|name| name.as_str().starts_with("access-control")));
}

#[tokio::test]
async fn only_one_bearer_in_the_right_form_counts() {
    let fixture = Fixture::new().await;
    let fixture = &fixture;
    let status = |headers: &[(&str, &str)]| {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            fixture.ask(Method::GET, "/v1/events", &headers).await.status
        }
    };
    assert_eq!(status(&[("authorization", &bearer(VIEWER))]).await, 200);
    assert_eq!(status(&[("authorization", &format!("bearer {VIEWER}"))]).await, 200, "RFC 9110 11.1: any case");
    let wrong = [
        VIEWER.to_owned(),
        format!("Basic {VIEWER}"),
        format!("Bearer  {VIEWER}"),
        format!("Bearer {VIEWER}x"),
        format!("Bearer {}", &VIEWER[..VIEWER.len() - 1]),
        "Bearer ".to_owned(),
        String::new(),
    ];
    let statuses = join_all(wrong.iter().map(|wrong| status(&[("authorization", wrong)])).collect()).await;
    assert_eq!(statuses, [401; 7], "{wrong:?}");
    let two = [("authorization", bearer("wrong")), ("authorization", bearer(ADMIN))];
    assert_eq!(status(&two.each_ref().map(|(name, value)| (*name, value.as_str()))).await, 401);
    assert_eq!(fixture.ask(Method::GET, &format!("/v1/events?token={ADMIN}"), &[]).await.status, 401);
}

#[tokio::test]
async fn without_tokens_only_loopback_asks_and_no_strange_page() {
    let open = Fixture::without_tokens(true).await;
    let status = async |headers: &[(&str, &str)]| open.ask(Method::GET, "/v1/events", headers).await.status;
    assert_eq!(status(&[("host", "127.0.0.1:8081")]).await, 200);
    assert_eq!(status(&[("host", "localhost:8081"), ("sec-fetch-site", "same-origin")]).await, 200);
    for host in ["evil.example:8081", "127.0.0.1.evil.example", "10.0.0.7:8081", ""] {
        assert_eq!(status(&[("host", host)]).await, 403, "{host:?}");
    }
    assert_eq!(status(&[]).await, 403, "no Host");
    assert_eq!(status(&[("host", "localhost"), ("host", "localhost")]).await, 403, "two Hosts");
    assert_eq!(status(&[("host", "localhost:8081"), ("origin", "http://evil.example")]).await, 403);
    assert_eq!(status(&[("host", "localhost:8081"), ("sec-fetch-site", "cross-site")]).await, 403);
    let probe = open.ask(Method::GET, "/readyz", &[("host", "10.1.2.3:8081")]).await;
    assert_eq!(probe.status, 200, "a probe comes by the pod's address");

    let elsewhere = Fixture::without_tokens(false).await;
    assert_eq!(elsewhere.ask(Method::GET, "/v1/events", &[("host", "127.0.0.1:8081")]).await.status, 401);
    assert_eq!(elsewhere.ask(Method::GET, "/metrics", &[]).await.status, 200);
}
