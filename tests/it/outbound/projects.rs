//! Projects do not meet: whatever is done in one, another's webhooks hear nothing of it, and its ids are not there.

use std::collections::HashMap;

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::world::World;
use crate::support::Sink;

const PROJECTS: [&str; 3] = ["one", "two", "three"];
const TYPES: [&str; 3] = ["user.created", "payment.failed", "file.deleted"];
const GLOBS: [&str; 4] = ["*", "user.*", "payment", "file.deleted"];

/// What is done, by the token of one of the projects.
#[derive(Clone, Debug)]
enum Act {
    Register { project: usize, glob: usize },
    Emit { project: usize, event_type: usize },
    Test { project: usize, webhook: usize },
    Touch { project: usize, webhook: usize, how: usize },
    Replay { project: usize },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..3_usize, 0..4_usize).prop_map(|(project, glob)| Act::Register { project, glob }),
        4 => (0..3_usize, 0..3_usize).prop_map(|(project, event_type)| Act::Emit { project, event_type }),
        2 => (0..3_usize, 0..20_usize).prop_map(|(project, webhook)| Act::Test { project, webhook }),
        4 => (0..3_usize, 0..20_usize, 0..10_usize).prop_map(|(project, webhook, how)| Act::Touch { project, webhook, how }),
        1 => (0..3_usize).prop_map(|project| Act::Replay { project }),
    ]
}

fn token(project: usize) -> String {
    format!("the-token-of-{}-with-some-length", PROJECTS[project])
}

struct Tenants {
    world: World,
    sink: Sink,
    /// Each with its project.
    webhooks: Vec<(String, usize)>,
    events: Vec<(String, usize)>,
    expected: usize,
}

impl Tenants {
    async fn start() -> Self {
        let tokens = (0..3).map(|project| {
            let (name, token) = (PROJECTS[project], token(project));
            format!("    - {{ name: {name}, token: {token}, role: admin, project: {name} }}\n")
        });
        let admin = format!("admin:\n  listen: \"127.0.0.1:0\"\n  tokens:\n{}", tokens.collect::<String>());
        let world = World::of(&admin, "").await;
        Self { world, sink: Sink::start().await, webhooks: Vec::new(), events: Vec::new(), expected: 0 }
    }

    async fn ask(&self, project: usize, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let authorization = format!("Bearer {}", token(project));
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let reply = self.world.ask(method, path, &headers, &body).await;
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    async fn act(&mut self, act: &Act) {
        match *act {
            Act::Register { project, glob } => {
                let url = self.sink.url(&format!("/{}", PROJECTS[project]));
                let body = json!({ "url": url, "events": [GLOBS[glob]] });
                let (status, made) = self.ask(project, Method::POST, "/v1/webhooks", &body).await;
                assert_eq!(status, 201);
                self.webhooks.push((made["id"].as_str().unwrap().to_owned(), project));
            }
            Act::Emit { project, event_type } => {
                // The same ids in every project: they are not copies of each other.
                let id = format!("evt_{}", self.events.iter().filter(|(_, owner)| *owner == project).count());
                let data = json!({ "project": PROJECTS[project] });
                let event = json!({ "id": id, "type": TYPES[event_type], "data": data });
                let (status, emitted) = self.ask(project, Method::POST, "/v1/events", &event).await;
                assert_eq!((status, &emitted["duplicate"]), (202, &json!(false)));
                self.expected += usize::try_from(emitted["deliveries"].as_u64().unwrap()).unwrap();
                self.events.push((emitted["event"].as_str().unwrap().to_owned(), project));
            }
            Act::Test { project, webhook } => {
                let Some((id, owner)) = self.webhooks.get(webhook % self.webhooks.len().max(1)).cloned() else {
                    return;
                };
                let body = json!({ "type": "user.created", "webhook": id, "data": { "project": PROJECTS[project] } });
                let (status, _) = self.ask(project, Method::POST, "/v1/test-events", &body).await;
                assert_eq!(status, if owner == project { 202 } else { 404 });
                self.expected += usize::from(owner == project);
            }
            Act::Touch { project, webhook, how } => self.touch(project, webhook, how).await,
            Act::Replay { project } => {
                let body = json!({ "filter": { "status": "succeeded" }, "dry_run": true });
                let (status, replay) = self.ask(project, Method::POST, "/v1/replays", &body).await;
                assert_eq!((status, &replay["status"]), (200, &json!("done")));
                let (_, deliveries) = self.ask(project, Method::GET, "/v1/deliveries?limit=100", &Value::Null).await;
                let rows = deliveries["data"].as_array().unwrap().len();
                assert!(replay["matched"].as_u64().unwrap() <= rows as u64, "no more than its own");
                let id = replay["id"].as_str().unwrap();
                let (status, _) =
                    self.ask((project + 1) % 3, Method::GET, &format!("/v1/replays/{id}"), &Value::Null).await;
                assert_eq!(status, 404);
            }
        }
    }

    /// Another project's ids are not there, whatever is asked of them; one's own are.
    async fn touch(&mut self, project: usize, webhook: usize, how: usize) {
        let Some((id, owner)) = self.webhooks.get(webhook % self.webhooks.len().max(1)).cloned() else { return };
        let of = |act: &str| format!("/v1/webhooks/{id}{act}");
        let (method, path, body) = match how {
            0 => (Method::GET, of(""), Value::Null),
            1 => (Method::PATCH, of(""), json!({ "description": PROJECTS[project] })),
            2 => (Method::POST, of("/rotate-secret"), json!({})),
            3 => (Method::GET, of("/deliveries"), Value::Null),
            4 => (Method::GET, of("/stats"), Value::Null),
            5 if owner != project => (Method::DELETE, of(""), Value::Null),
            6 if owner != project => (Method::POST, of("/pause"), json!({})),
            _ => {
                let Some((event, owner)) = self.events.get(webhook % self.events.len().max(1)).cloned() else { return };
                let (path, method) = match how % 3 {
                    0 => (format!("/v1/events/{event}"), Method::GET),
                    1 => (format!("/v1/events/{event}/body"), Method::GET),
                    _ if owner == project => return,
                    _ => (format!("/v1/events/{event}/replay"), Method::POST),
                };
                let (status, _) = self.ask(project, method, &path, &Value::Null).await;
                assert_eq!(status, if owner == project { 200 } else { 404 }, "{path}");
                return;
            }
        };
        let (status, answer) = self.ask(project, method, &path, &body).await;
        assert_eq!(status, if owner == project { 200 } else { 404 }, "{path}: {answer}");
    }

    async fn check(&self) {
        for hit in self.sink.wait_for(self.expected).await {
            let sent: Value = serde_json::from_slice(&hit.body).unwrap();
            assert_eq!(hit.uri.path(), format!("/{}", sent["data"]["project"].as_str().unwrap()));
        }
        let mut count = HashMap::new();
        for (_, project) in &self.webhooks {
            *count.entry(*project).or_insert(0) += 1;
        }
        for (project, name) in PROJECTS.into_iter().enumerate() {
            let (_, list) = self.ask(project, Method::GET, "/v1/webhooks?limit=100", &Value::Null).await;
            let rows = list["data"].as_array().unwrap();
            assert_eq!(rows.len(), count.get(&project).copied().unwrap_or_default());
            assert!(rows.iter().all(|row| row["project"] == name));
            let (_, events) = self.ask(project, Method::GET, "/v1/events?limit=100", &Value::Null).await;
            let ids: Vec<_> = events["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
            for (id, owner) in &self.events {
                assert_eq!(ids.contains(&json!(id)), *owner == project);
            }
        }
    }
}

#[test]
fn an_event_of_a_project_never_reaches_anothers_webhook() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases: 16, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&prop::collection::vec(act(), 10..40), |acts| {
            runtime.block_on(async {
                let mut tenants = Tenants::start().await;
                for act in &acts {
                    tenants.act(act).await;
                }
                tenants.check().await;
                tenants.world.stop().await;
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_no_project_names_the_project_that_it_means() {
    let (world, sink) = (World::start().await, Sink::start().await);
    let shop = [("content-type", "application/json"), ("hookward-project", "shop")];
    let body = json!({ "url": sink.url("/shop"), "events": ["*"] }).to_string();
    assert_eq!(world.ask(Method::POST, "/v1/webhooks", &shop, body.as_bytes()).await.json()["project"], "shop");
    world.webhook(&sink, &["*"]).await;
    let event = json!({ "id": "evt_1", "type": "user.created", "data": {} }).to_string();
    assert_eq!(world.ask(Method::POST, "/v1/events", &shop, event.as_bytes()).await.json()["deliveries"], 1);
    assert_eq!(sink.wait_for(1).await[0].uri.path(), "/shop");
    let wrong = [("content-type", "application/json"), ("hookward-project", "a b")];
    assert_eq!(world.ask(Method::POST, "/v1/events", &wrong, event.as_bytes()).await.code(), "project_invalid");
}
