//! Proxy mode with both ends encrypted: HTTP/2 over TLS in front, a working app over TLS behind.

use std::process::{Child, Command, Stdio};

use crate::settings::tls::Authority;
use crate::support::{Gateway, Port, SECRET, event, eventually, sign};

/// An app of Node's own https server: says what it was asked, over which version of TLS, and the body.
const APP: &str = "
const { readFileSync } = require('node:fs');
const options = { key: readFileSync('app.key'), cert: readFileSync('app.pem') };
require('node:https').createServer(options, async (request, response) => {
  let body = '';
  for await (const piece of request) body += piece;
  response.end(`${request.method} ${request.url} ${request.socket.getProtocol()} ${request.headers['x-forwarded-proto']} ${body}`);
}).listen(Number(process.argv[1]), '127.0.0.1');
";

struct App(Child);

impl Drop for App {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_over_tls_is_passed_on_to_an_app_over_tls_and_both_certificates_are_looked_at() {
    let port = Port::take();
    let config = |host: &str| {
        format!(
            "ingress: {{ listen: \"@INGRESS@\", tls: {{ cert: gate.pem, key: gate.key }} }}\n\
             sources: {{ a: {{ path: /in, mode: proxy, app: \"https://{host}:{}/base\", dedup: off, \
             verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }} }}\n",
            port.address().port()
        )
    };
    let mut gateway = Gateway::prepare(&config("localhost"));
    let authority = Authority::new();
    authority.issue(gateway.folder(), "gate", &["shop.example"]);
    authority.issue(gateway.folder(), "app", &["localhost"]);
    let ca = authority.publish(gateway.folder(), "ca.pem");
    // Where the machine's certificates are.
    gateway.env("SSL_CERT_FILE", ca.to_str().unwrap());
    let mut node = Command::new("node");
    node.args(["-e", APP, &port.address().port().to_string()]).current_dir(gateway.folder()).stdin(Stdio::null());
    let _app = App(node.spawn().expect("node is installed by tests/install"));
    eventually("an app that listens", async || tokio::net::TcpStream::connect(port.address()).await.ok()).await;
    gateway.run().await;
    let body = event("evt_1", "order.paid");
    std::fs::write(gateway.folder().join("body"), &body).unwrap();
    let signature = format!("x-appmint-signature: {}", sign(SECRET, &body));
    let at = gateway.ingress();
    let ask = async |version: &'static str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", " %{http_code} %{http_version}", "--max-time", "20", version, "-H", &signature]);
        curl.args(["-H", "content-type: application/json", "--data-binary", "@body", "--cacert", "ca.pem"]);
        curl.args(["--resolve", &format!("shop.example:{}:127.0.0.1", at.port())]);
        curl.arg(format!("https://shop.example:{}/in?a=b", at.port())).current_dir(gateway.folder());
        let output = tokio::task::spawn_blocking(move || curl.output()).await.unwrap().expect("curl");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = format!("POST /base/in?a=b TLSv1.3 https {}", std::str::from_utf8(&body).unwrap());
    assert_eq!(ask("--http2").await, format!("{said} 200 2"));
    assert_eq!(ask("--http1.1").await, format!("{said} 200 1.1"));
    // The app's certificate is not for this name: the app sees nothing, and the sender is told that it is not there.
    gateway.reload(&config("127.0.0.1")).await;
    let refused = ask("--http2").await;
    assert!(refused.ends_with(" 502 2") && refused.contains("app_unreachable"), "{refused}");
}
