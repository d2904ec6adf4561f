//! The short way of emissions answers as the router does.

use axum::body::Body;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::super::router::tests::state;
use super::*;

/// What is asked: its target, its headers and its body.
type Asked = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const PUBLISHER: (&str, &str) = ("authorization", "Bearer publisher");
const JSON: (&str, &str) = ("content-type", "application/json");
const EVENT: &str = r#"{"type":"user.created","data":{}}"#;

const ASKED: &[Asked] = &[
    ("/v1/events", &[JSON], EVENT),
    ("/v1/events", &[JSON, ("authorization", "Bearer nobody's")], EVENT),
    ("/v1/events", &[JSON, ("authorization", "Basic publisher")], EVENT),
    ("/v1/events", &[JSON, PUBLISHER, PUBLISHER], EVENT),
    ("/v1/events", &[JSON, ("authorization", "Bearer viewer")], EVENT),
    ("/v1/events", &[JSON, ("authorization", "Bearer admin")], EVENT),
    ("/v1/events", &[JSON, PUBLISHER], EVENT),
    ("/v1/events?limit=1", &[JSON, PUBLISHER], EVENT),
    ("/v1/events", &[("content-type", "text/plain"), PUBLISHER], EVENT),
    ("/v1/events", &[PUBLISHER], EVENT),
    ("/v1/events", &[PUBLISHER], ""),
    ("/v1/events", &[JSON, PUBLISHER, ("hookward-project", "shop")], EVENT),
    ("/v1/events", &[JSON, PUBLISHER, ("hookward-project", "no name")], EVENT),
    ("/v1/events/", &[JSON, PUBLISHER], EVENT),
    ("/v1/event%73", &[JSON, PUBLISHER], EVENT),
];

fn request((target, headers, body): &Asked) -> Request<Body> {
    let builder = Request::post(*target);
    headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body((*body).into()).unwrap()
}

async fn whole(response: Response) -> (http::StatusCode, http::HeaderMap, Bytes) {
    let (mut head, body) = response.into_parts();
    // The router says it by itself, hyper to every answer that has a length.
    head.headers.remove(http::header::CONTENT_LENGTH);
    (head.status, head.headers, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn it_answers_as_the_router_does() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(folder.path());
    let (router, door) = (super::super::router(state.clone()), door(state));
    let mut statuses = Vec::new();
    for asked in ASKED {
        // Together: a wrong token's answer waits.
        let (by_router, by_door) =
            tokio::join!(router.clone().oneshot(request(asked)), door.clone().oneshot(request(asked)));
        let (by_router, by_door) = (whole(by_router.unwrap()).await, whole(by_door.unwrap()).await);
        assert_eq!(by_door, by_router, "{asked:?}");
        statuses.push(by_door.0.as_u16());
    }
    // Without a sending side there is nothing that could be emitted.
    assert_eq!(statuses, [401, 401, 401, 401, 403, 404, 404, 400, 415, 415, 404, 404, 400, 404, 404]);
}

#[tokio::test]
async fn whatever_is_no_emission_is_asked_of_the_router_too() {
    let folder = tempfile::tempdir().unwrap();
    let door = door(state(folder.path()));
    for (method, path, status) in [("GET", "/livez", 200), ("GET", "/v1/events", 401), ("PUT", "/v1/events", 401)] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(door.clone().oneshot(request).await.unwrap().status(), status, "{method} {path}");
    }
}
