//! `admin`: tokens and what they may do.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;

use crate::support::{Client, Gateway};

const ADMIN: &str = "the-token-of-an-admin";
const VIEWER: &str = "the-token-of-a-viewer";
const PUBLISHER: &str = "the-token-of-a-publisher";

#[tokio::test]
async fn a_token_of_a_project_sees_nothing_else() {
    let gateway = Gateway::start(&format!(
        "admin:\n  listen: \"@ADMIN@\"\n  tokens:\n    - {{ name: own, token: {ADMIN}, role: admin, project: default }}\n    \
         - {{ name: other, token: {VIEWER}, role: admin, project: shop }}\n\
         sources: {{ a: {{ path: /in, verify: {{ scheme: none }} }} }}\n"
    ))
    .await;
    let sent = Request::post("/in").header("content-type", "application/json").body(Full::new("{}".into())).unwrap();
    let sent = Client::new(gateway.ingress()).send(sent).await.unwrap();
    assert_eq!(sent.status, 200);
    let id = sent.header("hookward-event-id");
    let ask = async |path: &str, token: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        Client::new(gateway.admin()).send(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap()
    };
    for (token, rows, status) in [(ADMIN, 1, 200), (VIEWER, 0, 404)] {
        assert_eq!(ask("/v1/events", token).await.json()["data"].as_array().unwrap().len(), rows, "{token}");
        assert_eq!(ask(&format!("/v1/events/{id}"), token).await.status, status, "{token}");
        assert_eq!(ask("/v1/sources", token).await.status, 403, "{token}");
    }
}

#[tokio::test]
async fn a_token_may_do_what_its_role_says() {
    let gateway = Gateway::start(&format!(
        "admin:\n  listen: \"@ADMIN@\"\n  tokens:\n    - {{ name: ann, token: {ADMIN}, role: admin }}\n    \
         - {{ name: vera, token: {VIEWER}, role: viewer }}\n    - {{ name: paul, token: {PUBLISHER}, role: publisher }}\n\
         sources: {{ a: {{ path: /in, verify: {{ scheme: none }} }} }}\n"
    ))
    .await;
    let ask = async |method: Method, path: &str, token: &str| {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::new())).unwrap();
        Client::new(gateway.admin()).send(request).await.unwrap().status
    };
    let redeliver = "/v1/deliveries/delivery_0/redeliver";
    for (token, reads, acts) in [
        (ADMIN, 200, 404),
        (VIEWER, 200, 403),
        (PUBLISHER, 403, 403),
        ("another-token-of-nobody", 401, 401),
        ("", 401, 401),
    ] {
        assert_eq!(ask(Method::GET, "/v1/events", token).await, reads, "{token} reads");
        let acted = ask(Method::POST, redeliver, token).await;
        // What is not there cannot be delivered again; who may ask learns that.
        assert!(acted == acts || (acts == 404 && acted == 400), "{token} acts: {acted}");
    }
    assert_eq!(ask(Method::GET, "/readyz", "").await, 200, "health is open");
    assert_eq!(ask(Method::GET, "/metrics", "").await, 200, "metrics are open");
}
