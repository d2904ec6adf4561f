//! The OpenAPI document against the router and against real answers.

use hookward::domain::Reason;
use hookward::store::Store;
use http::Method;
use serde_json::{Value, json};

use super::fixture::{ADMIN, DEAD, Fixture, event, settled};
use super::shown::rejection;
use crate::support::Reply;

async fn ask(fixture: &Fixture, method: Method, path: &str) -> Reply {
    fixture.ask(method, path, &[("authorization", &format!("Bearer {ADMIN}"))]).await
}

/// What the document says of one answer; fails where it says nothing.
fn schema(document: &Value, method: &str, path: &str, status: u16) -> (String, Value) {
    let content = &document["paths"][path][method]["responses"][status.to_string()]["content"];
    let content = content.as_object().unwrap_or_else(|| panic!("{method} {path} {status} is not documented"));
    let (content_type, body) = content.iter().next().unwrap();
    let mut schema = body["schema"].clone();
    schema["components"] = document["components"].clone();
    (content_type.clone(), schema)
}

/// Objects have no other fields than those that are documented.
fn closed(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        object.values_mut().for_each(closed);
        if object.contains_key("properties") && !object.contains_key("additionalProperties") {
            object.insert("additionalProperties".to_owned(), json!(false));
        }
    } else if let Some(items) = value.as_array_mut() {
        items.iter_mut().for_each(closed);
    }
}

#[track_caller]
fn check(document: &Value, method: &str, path: &str, reply: &Reply) {
    let (content_type, schema) = schema(document, method, path, reply.status);
    let told = reply.header("content-type").split(';').next().unwrap();
    assert_eq!(told, content_type.split(';').next().unwrap(), "{method} {path} {}", reply.status);
    if !content_type.contains("json") {
        return;
    }
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let body = reply.json();
    let errors: Vec<String> =
        validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{method} {path} {}: {errors:?}\n{body:#}", reply.status);
}

#[tokio::test]
async fn real_answers_are_as_the_document_says() {
    let fixture = Fixture::new().await;
    let mut document = fixture.get("/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    closed(&mut document["components"]["schemas"]);
    let id = fixture.admit(event(&fixture.clock, "sender-1", "payment.failed"), &["crm", "log"]).await;
    let claim = fixture.claim("crm").await.remove(0);
    fixture.store.settle(&claim, settled(&claim, &fixture.clock, 500, b"broken \xff", DEAD));
    let delivery = claim.id.to_string();
    let rejected = fixture.store.reject(rejection(&fixture, Reason::SignatureMissing, Some("appmint")));
    let unknown = "evt_01kb9w3v1m000000000000000000";
    let cases = [
        ("get", "/livez", String::new()),
        ("get", "/readyz", String::new()),
        ("get", "/metrics", String::new()),
        ("get", "/v1/events", String::new()),
        ("get", "/v1/events/{id}", id.to_string()),
        ("get", "/v1/events/{id}", unknown.to_owned()),
        ("get", "/v1/events/{id}/body", id.to_string()),
        ("get", "/v1/deliveries", String::new()),
        ("get", "/v1/deliveries/{id}", delivery.clone()),
        ("post", "/v1/deliveries/{id}/redeliver", delivery.clone()),
        ("post", "/v1/deliveries/{id}/cancel", delivery.clone()),
        ("post", "/v1/deliveries/{id}/cancel", delivery.clone()),
        ("post", "/v1/events/{id}/replay", id.to_string()),
        ("get", "/v1/rejections", String::new()),
        ("get", "/v1/rejections/{id}", rejected.to_string()),
        ("get", "/v1/sources", String::new()),
        ("get", "/v1/destinations", String::new()),
        ("get", "/v1/stats", String::new()),
        ("get", "/v1/webhooks", String::new()),
        ("get", "/v1/openapi.json", String::new()),
    ];
    for (method, path, key) in cases {
        let reply = ask(&fixture, method.to_uppercase().parse().unwrap(), &path.replace("{id}", &key)).await;
        check(&document, method, path, &reply);
    }
    let wrong = ask(&fixture, Method::GET, "/v1/events?limit=0").await;
    check(&document, "get", "/v1/events", &wrong);
    assert_eq!(wrong.status, 400);
    let nobody = fixture.ask(Method::GET, "/v1/events", &[]).await;
    check(&document, "get", "/v1/events", &nobody);
}

#[tokio::test]
async fn every_operation_is_described_and_every_reference_leads_somewhere() {
    let fixture = Fixture::new().await;
    let document = fixture.get("/v1/openapi.json").await.json();
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path} never succeeds");
            let open = operation["security"] == json!([]);
            assert_ne!(open, answers.contains_key("401"), "{method} {path}");
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
    references(&document, &document);
}

fn references(document: &Value, at: &Value) {
    match at {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            }
            object.values().for_each(|value| references(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| references(document, value)),
        _ => {}
    }
}
