//! `ingress.*`, where `tests/it/gateway` does not show it.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Gateway, eventually};

fn config(ingress: &str) -> String {
    format!(
        "ingress: {{ listen: \"@INGRESS@\", {ingress} }}\n\
         sources: {{ a: {{ path: /in, dedup: off, verify: {{ scheme: none }} }} }}\n"
    )
}

/// Writes, and reads until the other side closes or has answered.
async fn answer(connection: &mut TcpStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = [0; 4096];
    let read = connection.read(&mut buffer).await.unwrap_or(0);
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

fn request(header_bytes: usize) -> String {
    format!("POST /in HTTP/1.1\r\nhost: a\r\nx-fill: {}\r\ncontent-length: 1\r\n\r\nx", "a".repeat(header_bytes))
}

#[tokio::test]
async fn connections_and_headers_are_bounded_as_configured() {
    let gateway = Gateway::start(&config("connections_max: 2, headers_bytes_max: 8KiB")).await;
    let mut first = TcpStream::connect(gateway.ingress()).await.unwrap();
    let mut second = TcpStream::connect(gateway.ingress()).await.unwrap();
    assert!(answer(&mut first, &request(1000)).await.starts_with("HTTP/1.1 200"));
    assert!(answer(&mut second, &request(4000)).await.starts_with("HTTP/1.1 200"));
    let mut third = TcpStream::connect(gateway.ingress()).await.unwrap();
    assert!(!answer(&mut third, &request(1)).await.starts_with("HTTP/1.1 200"), "one too many is not served");
    drop(second);
    eventually("room for another connection", async || {
        let mut fourth = TcpStream::connect(gateway.ingress()).await.ok()?;
        answer(&mut fourth, &request(1)).await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    assert!(answer(&mut first, &request(9000)).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_request_under_way_is_cut_after_drain_timeout() {
    let mut gateway = Gateway::start(&config("drain_timeout: 500ms, request_timeout: 60s")).await;
    let mut connection = TcpStream::connect(gateway.ingress()).await.unwrap();
    // The body never comes: without a bound the end would wait for request_timeout.
    connection.write_all(b"POST /in HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nx").await.unwrap();
    eventually("the request's arrival", async || {
        (gateway.metrics().await.sum("hookward_connections_open", &[]) >= 1.0).then_some(())
    })
    .await;
    let asked = Instant::now();
    gateway.terminate();
    let status = gateway.ended().await;
    let took = asked.elapsed();
    assert!(status.success(), "{status}");
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(20), "{took:?}");
}
