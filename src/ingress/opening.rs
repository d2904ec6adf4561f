//! What a connection says before HTTP begins: who it is passed on for, and TLS.
//!
//! All of it together has `header_timeout` from the accept on, as the first head has.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tower_service::Service;

use super::answer::{Ledger, serialise};
use super::body::RequestBody;
use super::connection::{LINGER, Setup, drive, linger};
use super::line::Asked;
use super::prefixed::Prefixed;
use super::proxy_protocol::{self, Header, Refusal, Version};
use super::service::{Arrival, Scheme, Shared};
use super::tls::{self, Encrypted, Failure, Tls};
use super::{Config, http2};
use crate::deadline::{Late, within};
use crate::domain::{Reason, Rejection};
use crate::telemetry::{IngressMetrics, Protocol};

/// Where a connection comes from, as far as it is known when HTTP begins.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The other end: the socket's, or what a trusted proxy's header says.
    pub(super) peer: SocketAddr,
    /// When the connection was accepted.
    pub(super) accepted: Instant,
    /// What the handshake has agreed on, where there was one.
    pub(super) secure: Option<Secure>,
}

/// An encrypted connection.
#[derive(Clone, Debug)]
pub(super) struct Secure {
    /// The certificates that there were to choose from.
    pub(super) tls: Arc<Tls>,
    /// The name that the client asked for (SNI).
    pub(super) server_name: Option<Box<str>>,
}

/// Bytes that are read at a time while a header is awaited.
const READ_BYTES: usize = 512;

/// Whether a connection says something before HTTP.
pub(super) fn is_needed(config: &Config) -> bool {
    config.proxy_protocol.is_some() || config.tls.is_some()
}

/// Serves a connection that says something before HTTP, to its end.
pub(super) async fn open<S, B>(stream: TcpStream, mut origin: Origin, setup: Setup<S>)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
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
    let Some(tls) = &config.tls else {
        return drive(stream, origin, setup).await;
    };
    match secured(stream, tls, deadline, &origin, (&setup.ledger, &setup.metrics)).await {
        Ok(stream) => encrypted(stream, tls, origin, setup).await,
        Err(failure) => {
            setup.metrics.tls_handshakes_failed.count(failure.code());
            tracing::debug!(peer = %origin.peer, reason = failure.code(), "no encrypted connection: {failure}");
        }
    }
}

/// Makes the handshake; HTTP without TLS is told so.
async fn secured(
    mut stream: Prefixed<TcpStream>,
    tls: &Tls,
    deadline: Instant,
    origin: &Origin,
    told: (&Ledger, &IngressMetrics),
) -> Result<Encrypted, Failure> {
    let first = within(deadline, stream.fill()).await;
    let is_plain = match first {
        Err(Late) => return Err(Failure::Late),
        Ok(Err(_) | Ok([])) => return Err(Failure::Closed),
        // A method; the first record of TLS begins with 22.
        Ok(Ok([byte, ..])) => byte.is_ascii_uppercase(),
    };
    if is_plain {
        refuse_plain(stream, origin, told).await;
        return Err(Failure::PlainHttp);
    }
    within(deadline, tls::accept(tls, stream)).await.unwrap_or(Err(Failure::Late))
}

/// Answers 400 to plain HTTP, as nginx does.
async fn refuse_plain(mut stream: Prefixed<TcpStream>, origin: &Origin, (ledger, metrics): (&Ledger, &IngressMetrics)) {
    let line = stream.rest().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let asked = Asked::of(line);
    let arrival = Arrival { peer: origin.peer, scheme: Scheme::Http, began: origin.accepted };
    let rejection = Rejection::new(Reason::MalformedRequest, "plain HTTP on a port that speaks TLS");
    metrics.responses.count(rejection.reason.status());
    let client = origin.peer.ip().to_canonical();
    let answer = serialise(ledger.refuse_head(rejection, asked, client, arrival));
    if matches!(timeout(LINGER, stream.write_all(&answer)).await, Ok(Ok(()))) {
        metrics.bytes_out.inc_by(answer.len() as u64);
        linger(stream, metrics).await;
    }
}

/// Serves what the handshake has agreed on.
async fn encrypted<S, B>(stream: Encrypted, tls: &Arc<Tls>, mut origin: Origin, setup: Setup<S>)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (_, session) = stream.get_ref();
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        _ => "1.2",
    };
    let server_name = session.server_name().map(Box::from);
    origin.secure = Some(Secure { tls: Arc::clone(tls), server_name });
    let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
    setup.metrics.protocols.count(protocol, Some(version));
    if is_http2 {
        let (service, shared) = Shared::new(origin, setup);
        http2::drive(stream, service, Arc::new(shared)).await;
    } else {
        drive(stream, origin, setup).await;
    }
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
    let read = within(deadline, read_header(&mut stream, version)).await;
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
