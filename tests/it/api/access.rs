//! Who may ask for what (RELIABILITY.md S18): denied by default, for every route, role and trick.

use http::Method;

use super::fixture::{ADMIN, Fixture, PUBLISHER, VIEWER};

/// Every route of the router, read from its source: a new one is in the matrix without anybody thinking of it.
fn routes() -> Vec<(Method, String)> {
    let source = include_str!("../../../src/api/router.rs");
    let lines = source.lines().filter_map(|line| line.trim().strip_prefix(".route(\""));
    let routes: Vec<(Method, String)> = lines
        .map(|line| {
            let (path, handler) = line.split_once("\", ").unwrap();
            let method = if handler.starts_with("get(") { Method::GET } else { Method::POST };
            assert!(handler.starts_with("get(") || handler.starts_with("post("), "one method a route: {line}");
            (method, path.replace("{id}", "delivery_01kb9w3v1m000000000000000000").replace("{name}", "crm"))
        })
        .collect();
    assert!(routes.len() >= 15, "the routes are not found any more");
    routes
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// What no role may turn into a yes.
fn is_open(path: &str) -> bool {
    ["/livez", "/readyz", "/healthz", "/metrics"].contains(&path)
}

#[tokio::test]
async fn every_route_is_denied_to_whoever_may_not() {
    let fixture = Fixture::new().await;
    // Answers to wrong tokens wait, so they wait together.
    let wrong = routes().into_iter().map(|(method, path)| {
        let fixture = &fixture;
        async move { fixture.ask(method, &path, &[("authorization", "Bearer wrong")]).await }
    });
    let wrong = join_all(wrong.collect()).await;
    for ((method, path), wrong) in routes().into_iter().zip(wrong) {
        let ask = async |token: Option<&str>| {
            let value = token.map(bearer);
            let headers: Vec<(&str, &str)> = value.iter().map(|value| ("authorization", value.as_str())).collect();
            fixture.ask(method.clone(), &path, &headers).await
        };
        let nobody = ask(None).await;
        let (viewer, publisher, admin) = (ask(Some(VIEWER)).await, ask(Some(PUBLISHER)).await, ask(Some(ADMIN)).await);
        if is_open(&path) {
            assert_eq!([nobody.status, wrong.status, viewer.status, admin.status], [200; 4], "{path}");
            continue;
        }
        assert_eq!((nobody.status, nobody.code().as_str()), (401, "unauthorized"), "{method} {path}");
        assert!(nobody.header("www-authenticate").starts_with("Bearer"), "{path}");
        assert_eq!(wrong.status, 401, "{method} {path}");
        assert_eq!(publisher.status, 403, "{method} {path}");
        assert!(![401, 403].contains(&admin.status), "{method} {path}: {}", admin.status);
        if method == Method::GET {
            assert_eq!(viewer.status, admin.status, "{path}");
        } else {
            assert_eq!((viewer.status, viewer.code().as_str()), (403, "role_not_allowed"), "{path}");
        }
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
    assert!(
        statuses.contains(&401) && statuses.contains(&429),
        "more guesses than may wait are sent away: {statuses:?}"
    );
    assert_eq!(fixture.metrics.gateway().auth_failures.get(), 40);
    assert_eq!(fixture.get("/v1/events").await.status, 200, "the right token is not slowed down");
}

async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut done: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (slot, place) in pending.iter_mut().zip(&mut done) {
            if let Some(future) = slot
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *place = Some(value);
                *slot = None;
            }
        }
        if pending.iter().any(Option::is_some) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(done.drain(..).map(Option::unwrap).collect())
    })
    .await
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
        assert_eq!(refused.header("allow"), "GET,HEAD");
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
