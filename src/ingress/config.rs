//! The limits of the ingress, checked: what `ingress:` in the configuration becomes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::{Tls, proxy_protocol};

/// What the ingress listens on and what it puts up with. Everything but `listen` can change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address of the socket; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Peers whose `Forwarded`, `X-Forwarded-For` or PROXY header counts; nobody's by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Each connection begins with a header of the PROXY protocol, and comes from one of `trusted_proxies`; `None`: neither.
    pub proxy_protocol: Option<proxy_protocol::Version>,
    /// The certificates of an encrypted port; `None`: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Connections that are open at a time; one more is closed at once and counted.
    pub connections_max: usize,
    /// Bytes of a request line with its headers; over it 431 (or 414).
    pub headers_bytes_max: usize,
    /// Bytes of a body, where the source does not say otherwise; over it 413.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are held in memory together; over it 503 with `Retry-After`.
    pub body_memory_max: usize,
    /// Bytes of all bodies that lie in files together until an app has them; over it 503 with `Retry-After`.
    pub body_spool_max: usize,
    /// From the accepted connection, or the first byte of a later request, to the end of the headers; then 408.
    pub header_timeout: Duration,
    /// From the first byte of a request to its answer (408 while the body is incomplete, 503 after), and again
    /// for the sender to read the answer.
    pub request_timeout: Duration,
    /// From the answer to the first byte of the next request on the same connection; then it is closed.
    pub idle_timeout: Duration,
    /// What requests in flight get to finish at shutdown; then they are cut.
    pub drain_timeout: Duration,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            trusted_proxies: Vec::new(),
            proxy_protocol: None,
            tls: None,
            connections_max: 10_000,
            headers_bytes_max: 64 << 10,
            body_bytes_max: 1 << 20,
            body_memory_max: 256 << 20,
            body_spool_max: 1 << 30,
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(8),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(30),
        }
    }
}
