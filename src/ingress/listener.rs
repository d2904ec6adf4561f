//! The listening socket, and an accept that outlives a shortage of file descriptors.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::telemetry::IngressMetrics;

/// Connections that the kernel holds for us until they are accepted.
const BACKLOG: i32 = 4096;

/// The pause after an accept that failed for want of resources: long enough not to spin, short enough to be
/// back within a second.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: {source}; is the address this machine's, and is nothing else listening there?")]
pub struct ListenError {
    listen: SocketAddr,
    source: io::Error,
}

// === impl ListenError ===

impl ListenError {
    /// Whether something else listens there.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrInUse
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    local: SocketAddr,
}

// === impl Listener ===

impl Listener {
    /// Binds and listens; must be called within a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, not this machine's, or needs a privilege.
    pub fn bind(listen: SocketAddr) -> Result<Self, ListenError> {
        let open = || {
            let socket = Socket::new(Domain::for_address(listen), Type::STREAM, Some(Protocol::TCP))?;
            // A restart must not wait for the connections of the process before it to be forgotten.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            // Inherited by accepted sockets, which saves a system call for each.
            socket.set_tcp_nodelay(true)?;
            socket.bind(&listen.into())?;
            socket.listen(BACKLOG)?;
            let inner = TcpListener::from_std(socket.into())?;
            let local = inner.local_addr()?;
            Ok(Self { inner, local })
        };
        open().map_err(|source| ListenError { listen, source })
    }

    /// Takes over a socket that listens already; must be called within a tokio runtime.
    ///
    /// # Errors
    /// It is not one that can be used.
    pub fn inherit(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // As in `bind`: accepted sockets inherit it.
        socket2::SockRef::from(&socket).set_tcp_nodelay(true)?;
        let local = socket.local_addr()?;
        Ok(Self { inner: TcpListener::from_std(socket)?, local })
    }

    /// The address with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next connection; waits through shortages, whose failures it counts.
    pub(super) async fn accept(&self, metrics: &IngressMetrics) -> (TcpStream, SocketAddr) {
        let mut short_of_resources = false;
        loop {
            match self.inner.accept().await {
                Ok(accepted) => {
                    if short_of_resources {
                        tracing::info!("connections are accepted again");
                    }
                    return accepted;
                }
                Err(error) if belongs_to_connection(&error) => {}
                Err(error) => {
                    metrics.accepts_failed.inc();
                    if !std::mem::replace(&mut short_of_resources, true) {
                        tracing::warn!(%error, "cannot accept connections; trying again until it works");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether only the connection that was about to be accepted is broken.
fn belongs_to_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | WouldBlock)
}
