//! `ingress.proxy_protocol` with the proxy that invented it: haproxy (Debian) in front of a real gateway.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Gateway, Port, eventually};

/// A haproxy that passes connections on; killed when dropped.
struct Haproxy {
    port: Port,
    child: Child,
}

impl Haproxy {
    async fn start(gateway: &Gateway, send: &str) -> Self {
        let port = Port::take();
        let file = gateway.folder().join(format!("{send}.cfg"));
        std::fs::write(
            &file,
            format!(
                "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 30s\n  timeout server 30s\n\
                 frontend in\n  bind {}\n  default_backend gateway\n\
                 backend gateway\n  source 127.0.0.1\n  server one {} {send}\n",
                port.address(),
                gateway.ingress()
            ),
        )
        .unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is installed by tests/run");
        let haproxy = Self { port, child };
        eventually("haproxy", async || TcpStream::connect(haproxy.port.address()).await.ok()).await;
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Posts from this address of the machine, and gives the status line's code; empty where there is no answer.
async fn post_from(client: [u8; 4], to: SocketAddr, headers: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(client), 0).into()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    let request = format!("POST /in HTTP/1.1\r\nhost: a\r\n{headers}connection: close\r\ncontent-length: 1\r\n\r\nx");
    drop(stream.write_all(request.as_bytes()).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn haproxy_says_whose_connection_it_passes_on() {
    for (version, send) in [("v1", "send-proxy"), ("v2", "send-proxy-v2")] {
        let gateway = Gateway::start(&format!(
            "ingress: {{ listen: \"@INGRESS@\", proxy_protocol: {version}, trusted_proxies: [127.0.0.1] }}\n\
             sources: {{ a: {{ path: /in, dedup: off, allow_ips: [127.0.0.9], verify: {{ scheme: none }} }} }}\n"
        ))
        .await;
        let haproxy = Haproxy::start(&gateway, send).await;
        let to = haproxy.port.address();
        assert_eq!(post_from([127, 0, 0, 9], to, "").await, "200", "{send}: the client of the proxy");
        assert_eq!(post_from([127, 0, 0, 8], to, "").await, "403", "{send}: another client of the proxy");
        let lie = "x-forwarded-for: 127.0.0.9\r\n";
        assert_eq!(post_from([127, 0, 0, 8], to, lie).await, "403", "{send}: what a stranger says does not count");
        // The proxy itself is trusted, so what it says in HTTP counts.
        assert_eq!(post_from([127, 0, 0, 1], to, lie).await, "200", "{send}");
        // Past the proxy: not from a trusted address, or without a header.
        assert_eq!(post_from([127, 0, 0, 9], gateway.ingress(), "").await, "", "{send}");
        assert_eq!(post_from([127, 0, 0, 1], gateway.ingress(), "").await, "", "{send}");
        let metrics = gateway.metrics().await;
        let refused = |reason| metrics.sum("hookward_proxy_headers_refused_total", &[("reason", reason)]);
        assert_eq!((refused("untrusted_peer"), refused("no_header")), (1.0, 1.0), "{send}");
        let line = eventually("the line of the access log", async || {
            gateway.log().lines().find(|line| line.contains("\"status\":200")).map(str::to_owned)
        })
        .await;
        assert!(line.contains("\"peer\":\"127.0.0.9:"), "{line}");
        // haproxy's health checks of a connection that says nothing are no request.
        assert!(!gateway.log().contains("panicked"));
    }
}
