//! The receivers that the platform's documentation teaches its customers to write, real ones: Express and Flask; and the
//! libraries of Standard Webhooks, which verify what we sign.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::world::World;
use crate::interop::{node, packages, python};
use crate::support::{Client, Reply, Sink, eventually};

/// A receiver in a process of its own; ended when dropped.
struct Receiver {
    child: Child,
    address: SocketAddr,
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

// === impl Receiver ===

impl Receiver {
    fn express() -> Self {
        let mut command = Command::new("node");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/outbound/receivers/express.js");
        command.arg(script).env("NODE_PATH", packages().join("node_modules"));
        Self::start(command)
    }

    fn flask() -> Self {
        let mut command = Command::new("python3");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/outbound/receivers/flask_app.py");
        command.arg(script).env("PYTHONPATH", packages().join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.env("WEBHOOK_SECRET", SECRET).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("no port but {line:?}"));
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    fn url(&self) -> String {
        format!("http://{}/webhooks/appmint", self.address)
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Reply {
        Client::new(self.address).send(request).await.unwrap()
    }

    async fn state(&self) -> Value {
        self.ask(Request::get("/state").body(Full::default()).unwrap()).await.json()
    }

    /// Waits until these events were handled, each once.
    async fn handled(&self, ids: &[&str]) -> Value {
        eventually(&format!("handled {ids:?}"), async || {
            let state = self.state().await;
            (state["handled"] == json!(ids)).then_some(state)
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn accepts_refuses_and_gets_retries(receiver: Receiver) {
    let world = World::start().await;
    let body = json!({ "url": receiver.url(), "events": ["payment.*"], "secret": SECRET });
    let webhook = world.webhook_with(body).await;
    world.emit("evt_1", "payment.succeeded").await;
    let state = receiver.handled(&["evt_1"]).await;

    // What was tampered with is refused, and so is what nobody signed.
    let last = &state["last"];
    let genuine = STANDARD.decode(last["body"].as_str().unwrap()).unwrap();
    let signature = last["headers"]["x-appmint-signature"].as_str().unwrap();
    let mut tampered = genuine.clone();
    let amount = tampered.iter().position(|byte| *byte == b'1').unwrap();
    tampered[amount] = b'9';
    for (body, signature, status) in
        [(&genuine, signature, 200), (&tampered, signature, 401), (&genuine, "sha256=00", 401), (&genuine, "", 401)]
    {
        let request = Request::post("/webhooks/appmint")
            .header("content-type", "application/json")
            .header("x-appmint-signature", signature)
            .body(Full::from(body.clone()))
            .unwrap();
        assert_eq!(receiver.ask(request).await.status, status, "{signature}");
    }

    // Two failures: at once, and a minute later, as the schedule says.
    let event = json!({ "id": "evt_2", "type": "payment.failed", "data": { "failures": 2 } });
    assert_eq!(world.post("/v1/events", &event).await.status, 202);
    eventually("two failures", async || (receiver.state().await["failures"] == json!([2])).then_some(())).await;
    waits(&world, &webhook.id, 2).await;
    world.advance(Duration::from_secs(53));
    assert_eq!(receiver.state().await["handled"], json!(["evt_1"]), "not before its time");
    world.advance(Duration::from_secs(14));
    receiver.handled(&["evt_1", "evt_2"]).await;

    // The same event once more is the same event.
    let rows = world.deliveries(&webhook.id, &["succeeded", "succeeded"]).await;
    let again = format!("/v1/deliveries/{}/redeliver", rows[0]["id"].as_str().unwrap());
    assert_eq!(world.post(&again, &json!({})).await.status, 202);
    eventually("a second success", async || {
        (world.list(&format!("/v1/webhooks/{}/deliveries", webhook.id)).await[0]["attempt_count"] == 4).then_some(())
    })
    .await;
    receiver.handled(&["evt_1", "evt_2"]).await;
}

async fn waits(world: &World, webhook: &str, attempts: u64) {
    eventually("a planned retry", async || {
        let rows = world.list(&format!("/v1/webhooks/{webhook}/deliveries")).await;
        (rows[0]["status"] == "pending" && rows[0]["attempt_count"] == attempts).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_express_app_accepts_refuses_and_gets_retries() {
    accepts_refuses_and_gets_retries(Receiver::express()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flask_app_accepts_refuses_and_gets_retries() {
    accepts_refuses_and_gets_retries(Receiver::flask()).await;
}

const VERIFY_NODE: &str = r"
const libraries = [require('standardwebhooks'), require('svix')];
const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
let count = 0;
for (const { Webhook } of libraries) {
  for (const secret of input.secrets) {
    const body = Buffer.from(input.body, 'base64').toString();
    new Webhook(secret).verify(body, input.headers);
    try { new Webhook(secret).verify(body.replace('user_1', 'user_2'), input.headers); } catch { count += 1; }
  }
}
console.log(count);
";

const VERIFY_PYTHON: &str = r"
import base64, json, sys
import standardwebhooks, svix.webhooks
input = json.load(sys.stdin)
count = 0
for library in (standardwebhooks, svix.webhooks):
    for secret in input['secrets']:
        body = base64.b64decode(input['body'])
        library.Webhook(secret).verify(body, input['headers'])
        try:
            library.Webhook(secret).verify(body.replace(b'user_1', b'user_2'), input['headers'])
        except library.WebhookVerificationError:
            count += 1
print(count)
";

/// With the current secret and with the one that is being replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_libraries_of_standard_webhooks_and_of_svix_verify_what_is_signed() {
    let (sink, world) = (Sink::start().await, World::start().await);
    let webhook = world.webhook(&sink, &["*"]).await;
    let rotated = world.post(&format!("/v1/webhooks/{}/rotate-secret", webhook.id), &json!({})).await.json();
    world.emit("evt_1", "user.created").await;
    let hit = sink.wait_for(1).await.remove(0);
    let headers: serde_json::Map<String, Value> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name.to_owned(), hit.header(name).into()))
        .collect();
    let input = json!({
        "secrets": [rotated["secret"], webhook.secret], "headers": headers, "body": STANDARD.encode(&hit.body),
    });
    // Each library verifies with each secret, and refuses what was changed.
    assert_eq!(node(VERIFY_NODE, &input.to_string()).trim(), "4");
    assert_eq!(python(VERIFY_PYTHON, &input.to_string()).trim(), "4");
}
