//! A connection's bytes, plain or encrypted.

use std::io::{self, IoSlice};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pin_project! {
    /// What a request is written to and its answer read from.
    #[project = Projected]
    pub(super) enum Stream {
        Plain { #[pin] tcp: TcpStream },
        // Boxed: the state of TLS is much larger than a socket.
        Encrypted { #[pin] tls: Box<TlsStream<TcpStream>> },
    }
}

/// Tells, of a connection that somebody else reads from, whether something is there to be read.
pub(super) struct Arrivals(std::net::TcpStream);

// === impl Stream ===

impl Stream {
    /// Whether what it takes goes out as it is.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain { .. })
    }

    /// Whether the TLS handshake has agreed on HTTP/2 (RFC 7301).
    pub(super) fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain { .. } => false,
            Self::Encrypted { tls } => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// What arrives in it, for somebody who gives it away.
    ///
    /// # Errors
    /// The process has no more descriptors.
    pub(super) fn arrivals(&self) -> io::Result<Arrivals> {
        let tcp = match self {
            Self::Plain { tcp } => tcp,
            Self::Encrypted { tls } => tls.get_ref().0,
        };
        tcp.as_fd().try_clone_to_owned().map(|descriptor| Arrivals(descriptor.into()))
    }

    /// The same where a plain one is heard of by the runtime that asks, whichever opened it; nobody must read or write it.
    ///
    /// # Errors
    /// The other side has closed it or said something, or the system does not let it.
    pub(super) fn moved_here(self) -> io::Result<Self> {
        let Self::Plain { tcp } = self else { return Ok(self) };
        let socket = tcp.into_std()?;
        match socket.peek(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(Self::Plain { tcp: TcpStream::from_std(socket)? })
            }
            Err(error) => Err(error),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

// === impl Arrivals ===

impl Arrivals {
    /// Whether there is something, be it the end, whatever the runtime has heard of it.
    pub(super) fn are_here(&self) -> bool {
        !matches!(self.0.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            Projected::Plain { tcp } => tcp.poll_read(context, buffer),
            Projected::Encrypted { tls } => tls.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.project() {
            Projected::Plain { tcp } => tcp.poll_write(context, buffer),
            Projected::Encrypted { tls } => tls.poll_write(context, buffer),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.project() {
            Projected::Plain { tcp } => tcp.poll_write_vectored(context, buffers),
            Projected::Encrypted { tls } => tls.poll_write_vectored(context, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain { tcp } => tcp.is_write_vectored(),
            Self::Encrypted { tls } => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            Projected::Plain { tcp } => tcp.poll_flush(context),
            Projected::Encrypted { tls } => tls.poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.project() {
            Projected::Plain { tcp } => tcp.poll_shutdown(context),
            Projected::Encrypted { tls } => tls.poll_shutdown(context),
        }
    }
}
