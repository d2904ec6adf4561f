//! An HTTP/1.1 client on one kept-alive connection, and a way to send bytes that no client would send.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer of the gateway may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A header's value, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON: {error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The `code` of a problem+json body.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "a refusal is a problem+json");
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether the gateway said that it holds this event already.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.header("hookward-duplicate") == "true"
    }
}

/// A client that keeps its connection and makes a new one when it was closed.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends one request; an error says that no whole answer came.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let answer = tokio::time::timeout(ANSWER_WAIT_MAX, self.exchange(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {ANSWER_WAIT_MAX:?}")));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> Result<Reply, String> {
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", self.address.to_string().parse().unwrap());
        }
        let mut connection = match self.connection.take() {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        if connection.ready().await.is_err() {
            connection = self.connect().await?;
        }
        let response = connection.send_request(request).await.map_err(|error| format!("{error:?}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        self.connection = Some(connection);
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Sends these bytes on a connection of their own and gives what comes back until the other side closes.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may refuse and close before it has read everything: what it said still counts.
    let _refused_early = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(ANSWER_WAIT_MAX, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection stayed open, after: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}
