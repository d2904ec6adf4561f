//! `/v1/stream` and the two verbs that read it: what happens, as it happens, for whom it concerns.

use std::process::Stdio;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::SECRETS_KEY;
use crate::support::{Gateway, PATIENCE, SECRET, Sender, Sink, event, sign};

const ADMIN: &str = "the-token-of-an-admin";
const SHOP: &str = "the-token-of-a-shop-viewer";

fn config(crm: &Sink) -> String {
    format!(
        "admin:\n  listen: \"@ADMIN@\"\n  tokens:\n    - {{ name: a, token: {ADMIN}, role: admin }}\n    \
         - {{ name: s, token: {SHOP}, role: viewer, project: shop }}\n\
         outbound: {{ enabled: true, allow_private: [127.0.0.0/8], secrets_key: \"{SECRETS_KEY}\" }}\n\
         sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes: [{{ from: appmint, to: crm }}]\ndestinations:\n  crm: {{ url: \"{}\", retry: {{ schedule: [1ms] }} }}\n",
        crm.url("/hook")
    )
}

/// A stream that is read.
struct Stream {
    body: Incoming,
    unread: String,
}

impl Stream {
    /// Opens it and waits for the comment that says that it is open.
    async fn open(gateway: &Gateway, token: &str, query: &str) -> Self {
        let tcp = tokio::net::TcpStream::connect(gateway.admin()).await.unwrap();
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("/v1/stream{query}"))
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"));
        let answer = client.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut stream = Self { body: answer.into_body(), unread: String::new() };
        assert!(stream.block().await.unwrap().starts_with(": "));
        stream
    }

    /// What stands before the next empty line.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                return Some(block);
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("something is told")?;
            self.unread.push_str(std::str::from_utf8(frame.ok()?.data_ref().unwrap()).unwrap());
        }
    }

    /// The next thing that is told: its name and what.
    async fn next(&mut self) -> (String, Value) {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let Some(rest) = block.strip_prefix("event: ") else { continue };
            let (kind, data) = rest.split_once("\ndata: ").unwrap();
            return (kind.to_owned(), serde_json::from_str(data).unwrap());
        }
    }
}

async fn emit(gateway: &Gateway, project: &str, id: &str) {
    let body = json!({ "id": id, "type": "user.created", "data": {} }).to_string();
    let request = Request::post("/v1/events")
        .header("authorization", format!("Bearer {ADMIN}"))
        .header("hookward-project", project)
        .header("content-type", "application/json");
    let request = request.body(http_body_util::Full::from(body)).unwrap();
    assert_eq!(crate::support::Client::new(gateway.admin()).send(request).await.unwrap().status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_told_as_it_happens_to_whom_it_concerns() {
    let crm = Sink::start().await;
    let gateway = Gateway::start(&config(&crm)).await;
    let mut all = Stream::open(&gateway, ADMIN, "").await;
    let mut shop = Stream::open(&gateway, SHOP, "").await;
    let mut rejections = Stream::open(&gateway, ADMIN, "?kind=rejection&source=appmint").await;

    let body = event("evt_1", "payment.succeeded");
    let mut sender = Sender::new(&gateway);
    let reply = sender.send(&body).await;
    // A delivery may be under way before the sender has its answer.
    let mut both = [all.next().await, all.next().await];
    both.sort_by_key(|(kind, _)| kind != "event");
    let [(kind, told), (second, attempt)] = both;
    assert_eq!((kind.as_str(), told["id"].as_str()), ("event", Some(reply.header("hookward-event-id"))));
    assert_eq!(
        (&told["source"], &told["source_event_id"], &told["type"], &told["duplicate"]),
        (&json!("appmint"), &json!("evt_1"), &json!("payment.succeeded"), &json!(false))
    );
    assert_eq!((second.as_str(), &attempt["event"], &attempt["response_code"]), ("attempt", &told["id"], &json!(200)));
    assert_eq!((&attempt["destination"], &attempt["number"]), (&json!("crm"), &json!(1)));
    sender.send(&body).await;
    let (kind, copy) = all.next().await;
    assert_eq!((kind.as_str(), &copy["id"], &copy["duplicate"]), ("event", &told["id"], &json!(true)));

    let mut forger = Sender::to(gateway.ingress(), "/in", "another-secret-than-ours");
    let refused = forger.send(&body).await;
    let (_, rejection) = rejections.next().await;
    assert_eq!(rejection["id"].as_str(), Some(refused.header("hookward-rejection-id")));
    assert_eq!((&rejection["reason"], &rejection["status"]), (&json!("signature_mismatch"), &json!(401)));
    assert_eq!(all.next().await.0, "rejection");

    // A token of a project hears what is its own, and of nothing else that there was anything.
    emit(&gateway, "default", "evt_of_default").await;
    emit(&gateway, "shop", "evt_of_shop").await;
    let (kind, own) = shop.next().await;
    assert_eq!((kind.as_str(), &own["source_event_id"]), ("event", &json!("evt_of_shop")));

    // It ends with the gateway, which does not wait for those who look on.
    gateway.terminate();
    while shop.block().await.is_some() {}
    let mut gateway = gateway;
    assert!(gateway.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_outlives_the_time_of_a_request_and_their_number_is_bounded() {
    let crm = Sink::start().await;
    let gateway = Gateway::start(&config(&crm)).await;
    let mut first = Stream::open(&gateway, ADMIN, "").await;
    let mut others = Vec::new();
    for _ in 1..32 {
        others.push(Stream::open(&gateway, ADMIN, "").await);
    }
    let request = Request::get("/v1/stream").header("authorization", format!("Bearer {ADMIN}"));
    let request = request.body(http_body_util::Full::from("")).unwrap();
    let reply = crate::support::Client::new(gateway.admin()).send(request).await.unwrap();
    assert_eq!((reply.status, reply.code().as_str()), (429, "too_many_streams"));
    drop(others);
    // The comment of a stream on which nothing happens comes after 10 s; a request has 8.
    assert_eq!(first.block().await.as_deref(), Some(":"));
    Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await;
    // Its delivery may be told before it.
    while first.next().await.0 != "event" {}
}

/// A verb of the command line that runs until it is killed.
struct Verb {
    _child: Child,
    out: Lines<BufReader<ChildStdout>>,
}

impl Verb {
    /// Starts it and waits until it looks on, which it is asked by what happens.
    async fn start(gateway: &Gateway, words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookward"))
            .args(words)
            .env_clear()
            .env("HOOKWARD_ADMIN", format!("http://{}", gateway.admin()))
            .env("HOOKWARD_ADMIN_TOKEN", ADMIN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, out }
    }

    async fn line(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.out.next_line()).await.expect("a line").unwrap().expect("it runs")
    }
}

/// Sends events until the verb has printed something, so that it is known to look on; gives that line.
async fn first_line(verb: &mut Verb, gateway: &Gateway) -> String {
    let mut sender = Sender::new(gateway);
    let sending = async {
        for number in 0.. {
            sender.send(&event(&format!("evt_before_{number}"), "warm.up")).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        line = verb.line() => line,
        () = sending => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_prints_a_line_for_each_thing_that_happens() {
    let crm = Sink::start().await;
    let gateway = Gateway::start(&config(&crm)).await;
    let mut tail = Verb::start(&gateway, &["tail", "--kind", "event"]).await;
    let line = first_line(&mut tail, &gateway).await;
    assert!(line.starts_with("event     evt_") && line.ends_with(" appmint warm.up"), "{line}");
    let reply = Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await;
    let id = reply.header("hookward-event-id").to_owned();
    while !tail.line().await.contains(&format!("{id} appmint payment.succeeded")) {}
    let mut json = Verb::start(&gateway, &["tail", "--json", "--kind", "event", "--type", "warm.up"]).await;
    let line: Value = serde_json::from_str(&first_line(&mut json, &gateway).await).unwrap();
    assert_eq!((&line["object"], &line["type"]), (&json!("event"), &json!("warm.up")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listen_sends_events_on_byte_for_byte_and_the_gateway_delivers_as_ever() {
    let (crm, laptop) = (Sink::start().await, Sink::start().await);
    let gateway = Gateway::start(&config(&crm)).await;
    let to = laptop.url("/from-gateway?own=1");
    let words = ["listen", "--forward-to", &to, "--source", "appmint"];
    let mut listen = Verb::start(&gateway, &words).await;
    let line = first_line(&mut listen, &gateway).await;
    assert!(line.contains("warm.up: 200 in "), "{line}");
    let body = event("evt_1", "payment.succeeded");
    let mut sender = Sender::new(&gateway);
    let request =
        sender.request(&body).uri("/in?theirs=2").header("authorization", "Bearer canary").header("x-own", "a b");
    assert_eq!(sender.send_as(request, &body).await.status, 200);
    while !listen.line().await.contains(" payment.succeeded: 200 in ") {}
    let hit = laptop.hits().into_iter().find(|hit| hit.header("hookward-source-event-id") == "evt_1").unwrap();
    assert_eq!((&hit.body, hit.header("x-appmint-signature")), (&body, &*sign(SECRET, &body)));
    assert_eq!((hit.header("x-own"), hit.header("authorization")), ("a b", ""), "credentials stay at the gateway");
    assert_eq!((hit.header("hookward-event-type"), hit.header("hookward-source")), ("payment.succeeded", "appmint"));
    assert!(hit.uri.to_string().ends_with("/from-gateway?own=1&theirs=2"), "{}", hit.uri);
    // Whoever listens changes nothing: it was delivered too.
    crate::support::eventually("the delivery", async || {
        crm.hits().iter().any(|hit| hit.header("hookward-source-event-id") == "evt_1").then_some(())
    })
    .await;
}
