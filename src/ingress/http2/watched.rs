//! The socket as h2 sees it: the frames of both directions are followed, and floods end it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Follower, Frame, kind};
use super::limits::{COST_OF_RESET, CREDIT_BYTES_READ, CREDIT_BYTES_SENT, CREDIT_MAX, CREDIT_OF_REQUEST};
use super::session::Session;
use crate::ingress::preface::PREFACE;

/// A connection's stream with what is known of its frames.
#[derive(Debug)]
pub(super) struct Watched<T> {
    inner: T,
    session: Arc<Session>,
    read: Follower,
    written: Follower,
    credit: i64,
    sent_bytes: u64,
    /// The stream of the last 431 that h2 has given by itself.
    bare_431: Option<u32>,
}

// === impl Watched ===

impl<T> Watched<T> {
    /// Watches `inner`, from the preface on.
    pub(super) fn new(inner: T, session: Arc<Session>) -> Self {
        let (read, written) = (Follower::new(PREFACE.len()), Follower::new(0));
        Self { inner, session, read, written, credit: CREDIT_MAX, sent_bytes: 0, bare_431: None }
    }

    /// Follows what came in; an error where it is a flood.
    fn saw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.session.shared.metrics.bytes_in.inc_by(bytes.len() as u64);
        self.session.bytes_read();
        let credit = &mut self.credit;
        // Never above the most: a good hour must not pay for a flood.
        self.read.follow(bytes, |frame| *credit = (*credit + worth(&frame)).min(CREDIT_MAX));
        self.session.in_field_block(self.read.is_in_field_block());
        if self.credit < 0 {
            self.session.floods();
            return Err(io::Error::other("too many frames that bring no work"));
        }
        Ok(())
    }

    /// Notes what came of a write, and which frames it has completed.
    fn wrote<'a>(&mut self, written: &Poll<io::Result<usize>>, slices: impl Iterator<Item = &'a [u8]>) {
        self.session.write_blocked(written.is_pending());
        let Poll::Ready(Ok(count)) = written else { return };
        self.session.shared.metrics.bytes_out.inc_by(*count as u64);
        let mut left = *count;
        let (session, bare_431) = (&self.session, &mut self.bare_431);
        for slice in slices {
            let piece = slice.get(..left).unwrap_or(slice);
            left -= piece.len();
            self.written.follow(piece, |frame| {
                if frame.is_bare_431() {
                    *bare_431 = Some(frame.stream);
                    session.refused_header_list();
                }
                match frame.error_code() {
                    // Behind it, where the request had not ended.
                    Some(_) if frame.kind == kind::RST_STREAM && *bare_431 == Some(frame.stream) => {}
                    Some(code) => session.sent_error(code, frame.kind == kind::GOAWAY),
                    None => {}
                }
            });
        }
        let before = self.sent_bytes / CREDIT_BYTES_SENT;
        self.sent_bytes += *count as u64;
        let earned = i64::try_from(self.sent_bytes / CREDIT_BYTES_SENT - before).unwrap_or(CREDIT_MAX);
        self.credit = (self.credit + earned).min(CREDIT_MAX);
    }
}

impl<T: AsyncWrite + Unpin> Watched<T> {
    /// Writes the last words on a connection on which a frame had not the size of its kind: h2 calls that a
    /// PROTOCOL_ERROR.
    fn poll_write_amended(&mut self, cx: &mut Context<'_>, mut bytes: Vec<u8>) -> Poll<io::Result<usize>> {
        self.written.say_frame_size_error(&mut bytes);
        let written = Pin::new(&mut self.inner).poll_write(cx, &bytes);
        self.wrote(&written, std::iter::once(&*bytes));
        written
    }
}

/// What a frame adds to the credit of its connection, or takes.
fn worth(frame: &Frame) -> i64 {
    match frame.kind {
        kind::HEADERS => CREDIT_OF_REQUEST,
        kind::DATA if frame.is_idle_data() => -1,
        kind::DATA if frame.len == 0 => 0,
        kind::DATA => i64::try_from(frame.len / CREDIT_BYTES_READ).unwrap_or(CREDIT_MAX) - 1,
        kind::RST_STREAM => -COST_OF_RESET,
        _ => -1,
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        Poll::Ready(match buf.filled().get(before..) {
            Some(bytes @ [_, ..]) => self.saw(bytes),
            _ => Ok(()),
        })
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.read.has_wrong_size() {
            return self.poll_write_amended(cx, bytes.to_vec());
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(&written, std::iter::once(bytes));
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.read.has_wrong_size() {
            return self.poll_write_amended(cx, slices.iter().flat_map(|slice| slice.iter().copied()).collect());
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(&written, slices.iter().map(|slice| &**slice));
        written
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
