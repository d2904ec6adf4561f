//! A stream of which some bytes were read already: they come first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Bytes that are read ahead.
const FILL_BYTES: usize = 1 << 10;

/// A stream with the bytes in front that somebody read to see what it is.
#[derive(Debug)]
pub(super) struct Prefixed<T> {
    inner: T,
    prefix: Vec<u8>,
    /// Bytes of the prefix that were read again.
    done: usize,
}

// === impl Prefixed ===

impl<T> Prefixed<T> {
    /// `inner` behind `prefix`.
    pub(super) fn new(prefix: Vec<u8>, inner: T) -> Self {
        Self { inner, prefix, done: 0 }
    }

    /// What is in front and was not read again.
    pub(super) fn rest(&self) -> &[u8] {
        self.prefix.get(self.done..).unwrap_or_default()
    }
}

impl<T: AsyncRead + Unpin> Prefixed<T> {
    /// The first bytes, without taking them away; waits for some where there are none, and gives none at the end.
    pub(super) async fn fill(&mut self) -> io::Result<&[u8]> {
        if self.rest().is_empty() {
            let mut first = Vec::with_capacity(FILL_BYTES);
            self.inner.read_buf(&mut first).await?;
            (self.prefix, self.done) = (first, 0);
        }
        Ok(self.rest())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Prefixed<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = self.rest();
        if rest.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let count = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..count).unwrap_or_default());
        self.done += count;
        if self.rest().is_empty() {
            (self.prefix, self.done) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prefixed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn the_prefix_comes_first_in_whatever_pieces_it_is_read() {
        for size in [1, 2, 3, 5, 64] {
            let mut stream = Prefixed::new(b"first".to_vec(), &b"second"[..]);
            let mut read = Vec::new();
            let mut piece = vec![0; size];
            while let Ok(count @ 1..) = stream.read(&mut piece).await {
                read.extend_from_slice(&piece[..count]);
            }
            assert_eq!(read, b"firstsecond", "{size}");
        }
    }

    #[tokio::test]
    async fn writing_goes_to_the_stream() {
        let (mut here, mut there) = tokio::io::duplex(64);
        let mut stream = Prefixed::new(b"unread".to_vec(), &mut here);
        stream.write_all(b"written").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut read = Vec::new();
        drop(here);
        there.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"written");
    }
}
