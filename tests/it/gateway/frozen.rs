//! A gateway that stands still for longer than its time limits (SIGSTOP, then SIGCONT): what came meanwhile is read
//! before a limit counts. Who drips is cut all the same.
//!
//! The limits are seconds, so that what a test does before the stop is done in time on any machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::http2::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, PREFACE, SETTINGS, block, frame, post,
};
use crate::ingress::gate::{Peer, drip_until_answered, request};
use crate::settings::tls::Authority;
use crate::support::{Answer, Gateway, Sender, Sink, appmint_to, event, eventually};

/// Longer than the limits of [`config`].
const STOP: Duration = Duration::from_secs(6);

/// The answer of a sink that is meant to come while the gateway stands still.
const ANSWERED_AFTER: Duration = Duration::from_millis(1500);

fn config(more: &str) -> String {
    format!(
        "ingress: {{ listen: \"@INGRESS@\", header_timeout: 4s, request_timeout: 5s{more} }}\n\
         sources: {{ a: {{ path: /in, dedup: off, verify: {{ scheme: none }} }} }}\n"
    )
}

/// Stops the gateway for [`STOP`]; `meanwhile` is done once it stands still.
async fn stop(gateway: &Gateway, meanwhile: impl AsyncFnOnce()) {
    gateway.freeze();
    gateway.frozen().await;
    meanwhile().await;
    tokio::time::sleep(STOP).await;
    gateway.thaw();
}

/// Waits until so many connections were taken in and so many bytes read from them.
async fn arrived(gateway: &Gateway, connections: usize, bytes: usize) {
    eventually("connections and what they sent", async || {
        let metrics = gateway.metrics().await;
        let accepted = metrics.sum("hookward_connections_accepted_total", &[]) as usize;
        let received = metrics.sum("hookward_received_bytes_total", &[]) as usize;
        (accepted >= connections && received >= bytes).then_some(())
    })
    .await;
}

async fn connect(gateway: &Gateway) -> Peer {
    Peer::over(tokio::net::TcpStream::connect(gateway.ingress()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_requests_that_came_meanwhile_are_answered_and_who_drips_is_cut() {
    let gateway = Gateway::start(&config("")).await;
    let whole = request("/in", "{\"type\":\"x\"}");
    let chunked = "POST /in HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{\"type\r\n6\r\n\":\"x\"}\r\n0\r\n\r\n";
    // What comes before the stop, and what comes while the gateway stands still.
    let cases = [
        ("", &*whole),
        whole.split_at(1),
        whole.split_at(30),
        whole.split_at(whole.len() - 5),
        chunked.split_at(chunked.len() - 12),
    ];
    let mut peers = Vec::new();
    for (before, _) in cases {
        let mut peer = connect(&gateway).await;
        peer.write(before).await;
        peers.push(peer);
    }
    // A single P may begin the preface of HTTP/2: it is not counted yet.
    let seen = cases.iter().map(|(before, _)| before.len()).filter(|bytes| *bytes > 1).sum();
    arrived(&gateway, cases.len(), seen).await;
    let dripping = |begin: &'static str, drip: &'static str| {
        let address = gateway.ingress();
        tokio::spawn(async move {
            let mut peer = Peer::over(tokio::net::TcpStream::connect(address).await.unwrap());
            peer.write(begin).await;
            drip_until_answered(&mut peer, drip).await
        })
    };
    let drips = [
        dripping("POST /in HTTP/1.1\r\nX-Drip: ", "x"),
        dripping("POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: 5000\r\n\r\n", "x"),
    ];
    stop(&gateway, async || {
        for (peer, (_, rest)) in peers.iter_mut().zip(cases) {
            peer.write(rest).await;
        }
    })
    .await;
    for (mut peer, case) in peers.into_iter().zip(cases) {
        let answer = peer.answer().await;
        assert_eq!(answer.status, 200, "{case:?}: {answer:?}");
    }
    for drip in drips {
        assert_eq!(drip.await.unwrap().status, 408);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_requests_of_http2_that_came_meanwhile_are_answered() {
    let gateway = Gateway::start(&config("")).await;
    let body = b"{\"type\":\"x\"}";
    let start = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    let head = frame(HEADERS, END_HEADERS, 1, &block(&post("/in", &[])));
    let whole = [&*start, &head, &frame(DATA, END_STREAM, 1, body)].concat();
    let cuts = [0, 10, start.len(), start.len() + 20, start.len() + head.len(), whole.len() - 5];
    let mut connections = Vec::new();
    for cut in cuts {
        let mut frames = Frames::open_silent(gateway.ingress()).await;
        frames.write(&whole[..cut]).await;
        connections.push(frames);
    }
    // Of half a preface nothing is counted yet.
    arrived(&gateway, cuts.len(), cuts.iter().filter(|cut| **cut >= PREFACE.len()).sum()).await;
    stop(&gateway, async || {
        for (frames, cut) in connections.iter_mut().zip(cuts) {
            frames.write(&whole[cut..]).await;
        }
    })
    .await;
    for (mut frames, cut) in connections.into_iter().zip(cuts) {
        assert_eq!(frames.outcome(1).await, Outcome::Status(200), "{cut} of {}", whole.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_a_header_of_the_proxy_protocol_that_came_meanwhile_is_taken() {
    let gateway = Gateway::start(&config(", trusted_proxies: [127.0.0.1], proxy_protocol: v1")).await;
    let whole = format!("PROXY TCP4 198.51.100.1 192.0.2.80 56324 443\r\n{}", request("/in", "{\"type\":\"x\"}"));
    let cuts = [0, 10];
    let mut peers = Vec::new();
    for cut in cuts {
        let mut peer = connect(&gateway).await;
        peer.write(&whole[..cut]).await;
        peers.push(peer);
    }
    arrived(&gateway, cuts.len(), 0).await;
    stop(&gateway, async || {
        for (peer, cut) in peers.iter_mut().zip(cuts) {
            peer.write(&whole[cut..]).await;
        }
    })
    .await;
    for (mut peer, cut) in peers.into_iter().zip(cuts) {
        assert_eq!(peer.answer().await.status, 200, "{cut}");
    }
}

/// A client of TLS whose flights are sent by the test.
struct Client {
    tls: ClientConnection,
    tcp: TcpStream,
}

// === impl Client ===

impl Client {
    fn connect(gateway: &Gateway, ca: &std::path::Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("one.example").unwrap()).unwrap();
        let tcp = TcpStream::connect(gateway.ingress()).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { tls, tcp }
    }

    /// Sends what there is to send.
    fn send(&mut self) {
        let mut flight = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut flight).unwrap();
        }
        self.tcp.write_all(&flight).unwrap();
    }

    /// Reads until the handshake is done but for what this side has to send.
    fn read_handshake(&mut self) {
        while !self.tls.wants_write() {
            assert!(self.tls.read_tls(&mut self.tcp).unwrap() > 0, "the gateway goes on with the handshake");
            self.tls.process_new_packets().unwrap();
        }
    }

    /// The first line of the answer.
    fn answer(&mut self) -> String {
        let mut text = Vec::new();
        while !text.windows(2).any(|window| window == b"\r\n") {
            assert!(
                self.tls.read_tls(&mut self.tcp).unwrap() > 0,
                "an answer, after {:?}",
                String::from_utf8_lossy(&text)
            );
            self.tls.process_new_packets().unwrap();
            let mut piece = [0; 4096];
            if let Ok(count) = self.tls.reader().read(&mut piece) {
                text.extend_from_slice(&piece[..count]);
            }
        }
        String::from_utf8_lossy(&text).lines().next().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_the_rest_of_a_tls_handshake_that_came_meanwhile_is_taken() {
    let mut gateway = Gateway::prepare(&config(", tls: { cert: one.pem, key: one.key }"));
    let authority = Authority::new();
    authority.issue(gateway.folder(), "one", &["one.example"]);
    let ca = authority.publish(gateway.folder(), "ca.pem");
    gateway.run().await;
    let mut client = tokio::task::block_in_place(|| {
        let mut client = Client::connect(&gateway, &ca);
        client.send();
        client.read_handshake();
        client
    });
    client.tls.writer().write_all(request("/in", "{\"type\":\"x\"}").as_bytes()).unwrap();
    stop(&gateway, async || client.send()).await;
    assert_eq!(tokio::task::block_in_place(|| client.answer()), "HTTP/1.1 200 OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_an_answer_of_a_destination_that_came_meanwhile_is_read() {
    let sink = Sink::answering(|_| Answer::status(200).after(ANSWERED_AFTER)).await;
    let config = appmint_to(&[("crm", &sink)]).replace("    retry:", "    timeout: 4s\n    retry:");
    let gateway = Gateway::start(&config).await;
    let mut sender = Sender::new(&gateway);
    for number in 0..8 {
        assert_eq!(sender.send(&event(&format!("evt_{number}"), "user.created")).await.status, 200);
    }
    sink.wait_for(8).await;
    stop(&gateway, async || {}).await;
    gateway.drained(crate::support::PATIENCE).await;
    assert_eq!(sink.count(), 8, "no attempt is made again whose answer lay there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_an_answer_of_an_app_that_came_meanwhile_is_passed_on() {
    let app = Sink::answering(|_| Answer::status(201).after(ANSWERED_AFTER)).await;
    let gateway = Gateway::start(&format!(
        "ingress: {{ listen: \"@INGRESS@\", header_timeout: 3s, request_timeout: 4s }}\n\
         sources: {{ a: {{ path: /in, mode: proxy, app: \"{}\", dedup: off, verify: {{ scheme: none }} }} }}\n",
        app.url("")
    ))
    .await;
    let mut peer = connect(&gateway).await;
    peer.write(request("/in", "{\"type\":\"x\"}")).await;
    app.wait_for(1).await;
    stop(&gateway, async || {}).await;
    assert_eq!(peer.answer().await.status, 201);
}
