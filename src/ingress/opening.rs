//! What a connection says before HTTP begins: who it is passed on for.
//!
//! All of it together has `header_timeout` from the accept on, as the first head has.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use super::Config;
use super::connection::{Setup, drive};
use super::prefixed::Prefixed;
use super::proxy_protocol::{self, Header, Refusal, Version};

/// Where a connection comes from, as far as it is known when HTTP begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// The other end: the socket's, or what a trusted proxy's header says.
    pub(super) peer: SocketAddr,
    /// When the connection was accepted.
    pub(super) accepted: Instant,
}

/// Bytes that are read at a time while a header is awaited.
const READ_BYTES: usize = 512;

/// Whether a connection says something before HTTP.
pub(super) fn is_needed(config: &Config) -> bool {
    config.proxy_protocol.is_some()
}

/// Serves a connection that says something before HTTP, to its end.
pub(super) async fn open<S, B>(stream: TcpStream, mut origin: Origin, setup: Setup<S>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let config = setup.limits.load_full();
    let deadline = origin.accepted + config.header_timeout;
    let stream = match config.proxy_protocol {
        None => Prefixed::new(Vec::new(), stream),
        Some(version) => match proxied(stream, &mut origin, version, &config, deadline).await {
            Ok(stream) => stream,
            Err(refusal) => {
                setup.metrics.proxy_headers_refused.count(refusal.code());
                tracing::debug!(peer = %origin.peer, reason = refusal.code(), "connection refused: {refusal}");
                return;
            }
        },
    };
    drive(stream, origin, setup).await;
}

/// Reads the header of the PROXY protocol, and says whose connection it is.
async fn proxied(
    mut stream: TcpStream,
    origin: &mut Origin,
    version: Version,
    config: &Config,
    deadline: Instant,
) -> Result<Prefixed<TcpStream>, Refusal> {
    let peer = origin.peer.ip().to_canonical();
    if !config.trusted_proxies.iter().any(|network| network.contains(&peer)) {
        return Err(Refusal::UntrustedPeer);
    }
    let read = timeout_at(deadline, read_header(&mut stream, version)).await;
    let (header, rest) = read.unwrap_or(Err(Refusal::Late))?;
    origin.peer = header.source.unwrap_or(origin.peer);
    Ok(Prefixed::new(rest, stream))
}

/// Reads until the header is whole; gives it with the bytes that came behind it.
async fn read_header(stream: &mut (impl AsyncRead + Unpin), version: Version) -> Result<(Header, Vec<u8>), Refusal> {
    let mut bytes = Vec::new();
    loop {
        if let Some(header) = proxy_protocol::parse(version, &bytes)? {
            return Ok((header, bytes.split_off(header.len.min(bytes.len()))));
        }
        bytes.reserve(READ_BYTES);
        match stream.read_buf(&mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(Refusal::Closed),
        }
    }
}
