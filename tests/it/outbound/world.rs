//! A whole gateway in the test's own process, on a clock that the test moves.

use std::time::Duration;

use hookward::app::{self, Inherited, Running};
use hookward::config::{self, Checked};
use hookward::domain::{Clock, Timestamp};
use hookward::telemetry::{AccessLog, Metrics};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{Client, Reply, Sink, eventually};

/// The gateway, its clock and its folder.
pub(crate) struct World {
    running: Option<Running>,
    pub(crate) clock: Clock,
    checked: Checked,
    pub(crate) folder: tempfile::TempDir,
}

/// A webhook as it was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// The key that secrets are sealed with.
pub(crate) const SECRETS_KEY: &str = "a key for tests that is long enough";

impl World {
    /// A gateway with the defaults of `outbound`.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// A gateway with more lines in `outbound`, each indented by two spaces.
    pub(crate) async fn with(outbound: &str) -> Self {
        Self::of("admin: { listen: \"127.0.0.1:0\" }\n", outbound).await
    }

    /// The same with another section `admin`.
    pub(crate) async fn of(admin: &str, outbound: &str) -> Self {
        Self::at("store: { path: \"@STORE@\", disk_free_min: 0MiB }\n", admin, outbound).await
    }

    /// The same with another section `store`.
    pub(crate) async fn at(store: &str, admin: &str, outbound: &str) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let text = format!(
            "ingress: {{ listen: \"127.0.0.1:0\" }}\n{admin}\
             {}\
             outbound:\n  enabled: true\n  secrets_key: \"{SECRETS_KEY}\"\n  allow_private: [127.0.0.0/8]\n{outbound}",
            store.replace("@STORE@", &folder.path().join("data").display().to_string())
        );
        let checked = checked(&folder, &text);
        // Now, so that receivers accept what is signed.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let clock = Clock::manual(Timestamp(u64::try_from(now.as_millis()).unwrap()));
        let mut world = Self { running: None, clock, checked, folder };
        world.run().await;
        world
    }

    async fn run(&mut self) {
        let started =
            app::start_at(self.clock.clone(), &self.checked, Inherited::none(), AccessLog::off(), Metrics::new());
        self.running = Some(started.await.unwrap());
    }

    /// Ends it and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    /// Ends it.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Goes over to other lines in `outbound` while it runs.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut config::Outbound)) {
        let mut checked = self.checked.clone();
        change(checked.outbound.as_mut().unwrap());
        self.running.as_ref().unwrap().reload(&checked).unwrap();
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_vec())).unwrap();
        Client::new(self.running.as_ref().unwrap().admin).send(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Method::POST, path, body).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        self.ask(method, path, &[("content-type", "application/json")], body.to_string().as_bytes()).await
    }

    /// The rows of a list.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
        reply.json()["data"].as_array().unwrap().clone()
    }

    /// Registers a webhook at a sink.
    pub(crate) async fn webhook(&self, sink: &Sink, events: &[&str]) -> Made {
        self.webhook_with(json!({ "url": sink.url("/hook"), "events": events })).await
    }

    pub(crate) async fn webhook_with(&self, body: Value) -> Made {
        let reply = self.post("/v1/webhooks", &body).await;
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        let made = reply.json();
        Made { id: made["id"].as_str().unwrap().to_owned(), secret: made["secret"].as_str().unwrap().to_owned() }
    }

    /// Emits an event and gives the answer.
    pub(crate) async fn emit(&self, id: &str, event_type: &str) -> Value {
        let event = json!({ "id": id, "type": event_type, "data": { "id": "user_1", "n": 1 } });
        let reply = self.post("/v1/events", &event).await;
        assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    /// Waits until a webhook's deliveries are in these states, newest first.
    pub(crate) async fn deliveries(&self, webhook: &str, states: &[&str]) -> Vec<Value> {
        let path = format!("/v1/webhooks/{webhook}/deliveries?limit=100");
        eventually(&format!("deliveries {states:?}"), async || {
            let rows = self.list(&path).await;
            let found: Vec<_> = rows.iter().map(|row| row["status"].as_str().unwrap()).collect();
            (found == states).then_some(rows)
        })
        .await
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

fn checked(folder: &tempfile::TempDir, text: &str) -> Checked {
    let file = folder.path().join("hookward.yaml");
    std::fs::write(&file, text).unwrap();
    config::load_with(&file, &|_| None).unwrap_or_else(|error| panic!("{error}")).checked
}
