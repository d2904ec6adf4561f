//! HTTP/2 as others have written it: nginx and apache2 in cleartext, Node over TLS, which may choose.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::super::desync::servers::APACHE;
use super::spoken_to;
use crate::settings::tls::Authority;
use crate::support::{Answer, Gateway, Port, Sender, Sink, event, event_of_bytes, eventually, sha256};

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // nginx has workers: they end with the one that we started when it is asked, not when it is killed.
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.0.wait().ok();
    }
}

/// Starts a server and waits until it listens.
async fn run(command: &mut Command, port: &Port) -> Running {
    let running = Running(command.stdin(Stdio::null()).spawn().expect("installed by tests/run"));
    eventually("a server that listens", async || tokio::net::TcpStream::connect(port.address()).await.ok()).await;
    running
}

const NGINX: &str = "daemon off;
worker_processes 1;
pid @DIR@/pid;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
    client_max_body_size 32m;
    keepalive_requests 50;
    server {
        listen @LISTEN@ http2;
        location / {
            proxy_pass http://@RECORDER@;
            proxy_http_version 1.1;
            proxy_set_header X-Seen '$server_protocol $connection';
        }
    }
}
";

/// A folder for one server, and its configuration in it: with these places filled in.
fn configured(text: &str, port: &Port, recorder: &Sink) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let text = text
        .replace("@DIR@", folder.path().to_str().unwrap())
        .replace("@LISTEN@", &port.address().to_string())
        .replace("@RECORDER@", &recorder.address().to_string());
    let file = folder.path().join("server.conf");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

/// Behind a server: says what came, and over what the server got it.
async fn recorder() -> Sink {
    Sink::answering(|hit| {
        let seen = hit.headers["x-seen"].to_str().unwrap().to_owned();
        Answer::status(200).header("x-seen", &seen).body(hex::encode(sha256(&hit.body)))
    })
    .await
}

async fn in_front_of(port: &Port) -> Gateway {
    let app = spoken_to(&format!("http://{}", port.address()), "2");
    Gateway::start(&format!("{app}    body_bytes_max: 25MiB\n")).await
}

/// What became of twenty events each of ten senders, one of them large.
#[derive(Default)]
struct Round {
    /// The connections that the server got them over.
    connections: BTreeSet<String>,
    /// The body's SHA-256 of those that came back as they went, and of those that a 502 `app_broken` answers.
    served: BTreeSet<[u8; 32]>,
    broken: BTreeSet<[u8; 32]>,
}

/// Sends them; nothing else may become of one.
async fn send_round(gateway: &Gateway, round: &str) -> Round {
    let mut senders = JoinSet::new();
    for number in 0..10 {
        let mut sender = Sender::new(gateway);
        let ids: Vec<String> = (0..20).map(|event| format!("evt_{round}_{number}_{event}")).collect();
        senders.spawn(async move {
            let mut part = Round::default();
            for (place, id) in ids.iter().enumerate() {
                let body = event_of_bytes(id, "order.paid", if place == 10 { 3 << 20 } else { 1000 });
                let (reply, sum) = (sender.send(&body).await, sha256(&body));
                if reply.status == 502 && reply.code() == "app_broken" {
                    part.broken.insert(sum);
                    continue;
                }
                assert_eq!((reply.status, reply.body), (200, Bytes::from(hex::encode(sum))));
                let seen = reply.headers["x-seen"].to_str().unwrap();
                part.connections.insert(seen.strip_prefix("HTTP/2.0 ").expect("HTTP/2 all the way").to_owned());
                part.served.insert(sum);
            }
            part
        });
    }
    let mut all = Round::default();
    for part in senders.join_all().await {
        all.connections.extend(part.connections);
        all.served.extend(part.served);
        all.broken.extend(part.broken);
    }
    all
}

/// The same where none may break; the connections.
async fn send_events(gateway: &Gateway, round: &str) -> BTreeSet<String> {
    let all = send_round(gateway, round).await;
    assert_eq!((all.served.len(), all.broken.len()), (200, 0));
    all.connections
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_gets_every_byte_and_few_connections_and_may_close_them() {
    let (port, recorder) = (Port::take(), recorder().await);
    let (folder, config) = configured(NGINX, &port, &recorder);
    let mut nginx = Command::new("nginx");
    let _nginx = run(nginx.arg("-p").arg(folder.path()).args(["-e", "stderr", "-c"]).arg(config), &port).await;
    let gateway = in_front_of(&port).await;
    // nginx says goodbye after fifty requests over one connection: nobody notices.
    let connections = send_events(&gateway, "only").await;
    assert!((4..20).contains(&connections.len()), "200 requests, 50 each: {connections:?}");
}

/// Besides what apache2 needs to pass on.
const APACHE_HTTP2: &str = "LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
Protocols h2c http/1.1
RequestHeader set X-Seen \"expr=%{SERVER_PROTOCOL} %{REMOTE_PORT}\"
";

/// apache2 in front of the recorder, and its folder.
async fn apache(port: &Port, recorder: &Sink) -> (Running, tempfile::TempDir) {
    let (folder, config) = configured(&[APACHE, APACHE_HTTP2].concat(), port, recorder);
    let mut apache = Command::new("apache2");
    let apache = run(apache.args(["-D", "FOREGROUND", "-d"]).arg(folder.path()).arg("-f").arg(config), port).await;
    (apache, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apache_gets_every_byte_and_few_connections() {
    let (port, recorder) = (Port::take(), recorder().await);
    let (_apache, _folder) = apache(&port, &recorder).await;
    let gateway = in_front_of(&port).await;
    let connections = send_events(&gateway, "only").await;
    assert!((1..10).contains(&connections.len()), "they share connections: {connections:?}");
}

/// apache2 ends requests that it has begun where another one crosses its first GOAWAY (docs/proxy.md): those are 502, for
/// nobody knows whether the app saw them. Whatever it does, the app gets nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_restart_of_apache_gives_nothing_twice_and_loses_nothing_silently() {
    let (port, recorder) = (Port::take(), recorder().await);
    let (apache, folder) = apache(&port, &recorder).await;
    let gateway = in_front_of(&port).await;
    send_events(&gateway, "before").await;
    let pid = rustix::process::Pid::from_child(&apache.0);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    let log = folder.path().join("error.log");
    eventually("a restart", async || {
        (std::fs::read_to_string(&log).unwrap().matches("resuming normal operations").count() == 2).then_some(())
    })
    .await;
    // Until the last of the old process is gone, which still takes connections.
    let mut all = Round::default();
    for number in 0.. {
        let round = send_round(&gateway, &format!("after_{number}")).await;
        let is_over = round.broken.is_empty();
        all.served.extend(round.served);
        all.broken.extend(round.broken);
        if is_over {
            break;
        }
        assert!(number < 10, "it does not get over it");
    }
    let mut times = BTreeMap::new();
    for hit in recorder.hits() {
        *times.entry(hit.sha256).or_insert(0) += 1;
    }
    assert!(times.values().all(|times| *times == 1), "the app gets nothing twice");
    assert!(all.served.iter().all(|sum| times.contains_key(sum)), "what was answered was there");
}

/// An app of Node's that says over what it was asked.
const NODE: &str = "
const { readFileSync } = require('node:fs');
const { createSecureServer } = require('node:http2');
const { createServer } = require('node:https');
const options = { key: readFileSync('app.key'), cert: readFileSync('app.pem'), allowHTTP1: true };
const create = process.argv[2] === '1.1' ? createServer : createSecureServer;
create(options, async (request, response) => {
  let body = '';
  for await (const piece of request) body += piece;
  response.end(`${request.method} ${request.url} ${request.httpVersion} ${body.length}`);
}).listen(Number(process.argv[1]), '127.0.0.1');
";

/// What comes of a request to a Node app that speaks both, or HTTP/1.1 only, over TLS.
async fn ask_node(its: &str, http: &str) -> (u16, String) {
    let port = Port::take();
    let url = format!("https://localhost:{}", port.address().port());
    let mut gateway = Gateway::prepare(&spoken_to(&url, http));
    let authority = Authority::new();
    authority.issue(gateway.folder(), "app", &["localhost"]);
    let ca = authority.publish(gateway.folder(), "ca.pem");
    gateway.env("SSL_CERT_FILE", ca.to_str().unwrap());
    let mut node = Command::new("node");
    node.args(["-e", NODE, &port.address().port().to_string(), its]).current_dir(gateway.folder());
    let _node = run(&mut node, &port).await;
    gateway.run().await;
    let mut sender = Sender::new(&gateway);
    let mut said = (0, String::new());
    // The second time over what is open.
    for id in ["evt_1", "evt_2"] {
        let reply = sender.send(&event(id, "order.paid")).await;
        said = (reply.status, String::from_utf8(reply.body.to_vec()).unwrap());
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_both_sides_agree_on_the_version() {
    let length = event("evt_1", "order.paid").len();
    let ok = |version| (200, format!("POST /in {version} {length}"));
    assert_eq!(ask_node("both", "auto").await, ok("2.0"));
    assert_eq!(ask_node("both", "2").await, ok("2.0"));
    assert_eq!(ask_node("both", "1.1").await, ok("1.1"));
    assert_eq!(ask_node("1.1", "auto").await, ok("1.1"));
    let (status, said) = ask_node("1.1", "2").await;
    assert!(status == 502 && said.contains("app_unreachable"), "{status} {said}");
}
