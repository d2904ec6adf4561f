//! The socket as hyper sees it: every byte passes the scanner, and a blocked write is noticed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::{reason_of_bare_answer, serialise};
use super::preface::Spoken;
use super::scanner::Scanner;
use super::service::{Arrival, Shared};
use crate::domain::Rejection;
use crate::telemetry::Protocol;

/// A connection's stream with what is known of its requests.
#[derive(Debug)]
pub(super) struct Stream<T> {
    inner: T,
    scanner: Scanner,
    shared: Arc<Shared>,
    /// First bytes that may turn out to be the preface of HTTP/2; `None` once it is clear what is spoken.
    held: Option<Vec<u8>>,
    /// Our answer instead of one of hyper's own, or interim answers, as far as they are not written.
    instead: Vec<u8>,
    /// hyper has a message that is not written, or in part.
    is_within: bool,
}

// === impl Stream ===

impl<T> Stream<T> {
    /// Watches `inner`.
    pub(super) fn new(inner: T, shared: Arc<Shared>) -> Self {
        // RFC 9113 section 3.2: over TLS it is ALPN that says so, and nothing else.
        let held = shared.secure.is_none().then(Vec::new);
        Self { inner, scanner: Scanner::new(), held, shared, instead: Vec::new(), is_within: false }
    }

    /// The stream itself, and its first bytes where they were the preface of HTTP/2.
    pub(super) fn into_parts(self) -> (T, Vec<u8>) {
        (self.inner, self.held.unwrap_or_default())
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.shared.metrics.bytes_in.inc_by(bytes.len() as u64);
        self.shared.progress.bytes_read();
        self.scanner.scan(bytes);
        if let Some(rejection) = self.scanner.take_bad() {
            self.shared.progress.bad_head(self.scanner.heads(), rejection);
        }
        self.shared.progress.scanned(self.scanner.heads(), self.scanner.bodies(), self.scanner.is_in_head());
    }

    /// Notes what came of a write of hyper's.
    fn wrote_of(&mut self, bytes: usize, written: &Poll<io::Result<usize>>) {
        self.is_within = !matches!(written, Poll::Ready(Ok(count)) if *count == bytes);
        self.wrote(written);
    }

    /// Notes what came of a write: its bytes, or that the sender does not read.
    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        self.shared.progress.write_blocked(written.is_pending());
        if let Poll::Ready(Ok(count)) = written {
            self.shared.metrics.bytes_out.inc_by(*count as u64);
        }
    }

    /// Takes an answer of hyper's own out of `bytes` and prepares ours.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        let Some(reason) = reason_of_bare_answer(bytes) else { return false };
        let ours = self.shared.progress.refusal_of(self.scanner.heads()).cloned();
        let rejection = ours.unwrap_or_else(|| Rejection::new(reason, "the head could not be read"));
        self.instead = self.refuse_head(rejection);
        true
    }

    /// The answer to a head that no service will see, as bytes for the socket; the refusal is kept.
    pub(super) fn refuse_head(&self, rejection: Rejection) -> Vec<u8> {
        let Shared { peer, progress, ledger, metrics, .. } = &*self.shared;
        metrics.responses.count(rejection.reason.status());
        let asked = self.scanner.asked(progress.requests());
        let arrival = Arrival { peer: *peer, scheme: self.shared.scheme(), began: progress.began() };
        serialise(ledger.refuse_head(rejection, asked, peer.ip().to_canonical(), arrival))
    }
}

impl<T: AsyncWrite + Unpin> Stream<T> {
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.interim.is_some() && !self.is_within {
            self.instead.append(&mut self.shared.interim.take());
        }
        while !self.instead.is_empty() {
            let written = Pin::new(&mut self.inner).poll_write(cx, &self.instead);
            self.wrote(&written);
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => drop(self.instead.drain(..count.min(self.instead.len()))),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Stream<T> {
    /// Writes interim answers before the next message of hyper's.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_within || (self.instead.is_empty() && !self.shared.interim.is_some()) {
            return Poll::Ready(Ok(()));
        }
        self.poll_instead(cx)
    }
}

impl<T: AsyncRead + Unpin> Stream<T> {
    /// Reads until it is clear what is spoken. Of HTTP/2 hyper's HTTP/1.1 sees nothing.
    fn poll_first(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            let held = self.held.take().unwrap_or_default();
            let held_bytes = held.len();
            if buf.remaining() <= held_bytes {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
            buf.put_slice(&held);
            match Pin::new(&mut self.inner).poll_read(cx, buf) {
                Poll::Ready(Ok(())) => {}
                other => {
                    buf.set_filled(before);
                    self.held = Some(held);
                    return other;
                }
            }
            let bytes = buf.filled().get(before..).unwrap_or_default();
            let is_end = bytes.len() == held_bytes;
            match Spoken::of(bytes) {
                Spoken::Unclear if !is_end => {
                    self.shared.progress.bytes_read();
                    self.held = Some(bytes.to_vec());
                    buf.set_filled(before);
                }
                Spoken::Http2 => {
                    self.held = Some(bytes.to_vec());
                    buf.set_filled(before);
                    self.shared.progress.speaks_http2();
                    // The driver looks at once, and polls nothing of this any more.
                    return Poll::Pending;
                }
                Spoken::Unclear | Spoken::Other => {
                    if !bytes.is_empty() {
                        self.shared.metrics.protocols.count(Protocol::Http1, None);
                        self.saw(bytes);
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.held.is_some() {
            return self.poll_first(cx, buf);
        }
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if let Some(bytes @ [_, ..]) = buf.filled().get(before..) {
            self.saw(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        if self.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote_of(bytes.len(), &written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        if let [only] = slices
            && self.replaces(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote_of(slices.iter().map(|slice| slice.len()).sum(), &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
