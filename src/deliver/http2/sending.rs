//! Where the requests of a connection begin: in its own task, while nothing of the app's lies unread in the socket.
//!
//! Behind a GOAWAY no stream may be opened (RFC 9113 section 6.8), and one that is opened all the same is not harmless:
//! apache2 ends every other request of the connection then (docs/proxy.md). What is on its way to us nobody can know of;
//! but what has come is read before a request goes out, also where the runtime has not heard of it yet.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::sync::{mpsc, oneshot};

use super::limits::{STREAMS_MAX, WAITS_MAX};
use crate::deliver::stream::Arrivals;

/// For those who ask the connection's task to send something.
#[derive(Clone)]
pub(super) struct Asks(mpsc::Sender<Ask>);

/// A request that waits to be sent.
struct Ask {
    head: Request<()>,
    /// The body where it is in memory as a whole: it goes out with the head.
    body: Option<Bytes>,
    /// Dropped where nothing was sent.
    sent: oneshot::Sender<Sent>,
}

/// A request of which the head, at least, is on its way.
pub(super) struct Sent {
    pub(super) response: ResponseFuture,
    /// For the rest of the body.
    pub(super) stream: SendStream<Bytes>,
}

/// Sends what is asked for.
pub(super) struct Sender {
    /// None when nobody is left who could ask: the connection ends with the last request on it.
    requests: Option<SendRequest<Bytes>>,
    asked: mpsc::Receiver<Ask>,
    /// The next one, where something has to be read first.
    held: Option<Ask>,
    arrivals: Arrivals,
    /// It has been held so often.
    waits: u32,
}

// === impl Asks ===

impl Asks {
    /// Sends the head of a request, and its body where that is here as a whole. None: nothing of it was sent, for the
    /// connection takes no request any more.
    pub(super) async fn send(&self, head: Request<()>, body: Option<Bytes>) -> Option<Sent> {
        let (tell, sent) = oneshot::channel();
        // There is room for as many as have a place on the connection.
        self.0.try_send(Ask { head, body, sent: tell }).ok()?;
        sent.await.ok()
    }
}

// === impl Sender ===

impl Sender {
    /// Of these requests, over the connection in which this arrives.
    pub(super) fn new(requests: SendRequest<Bytes>, arrivals: Arrivals) -> (Asks, Self) {
        let (asks, asked) = mpsc::channel(STREAMS_MAX);
        (Asks(asks), Self { requests: Some(requests), asked, held: None, arrivals, waits: 0 })
    }

    /// Begins the requests that wait, when the connection has read what it knew of; whether it has something to do now.
    pub(super) fn send_asked(&mut self, context: &mut Context<'_>) -> bool {
        let mut is_more = false;
        while self.requests.is_some() {
            let next = match self.held.take() {
                Some(ask) => Poll::Ready(Some(ask)),
                None => self.asked.poll_recv(context),
            };
            match next {
                Poll::Pending => break,
                Poll::Ready(None) => self.requests = None,
                // The runtime will hear of it, and the connection reads it then.
                Poll::Ready(Some(ask)) if !is_more && self.has_to_wait() => {
                    self.held = Some(ask);
                    break;
                }
                Poll::Ready(Some(ask)) => self.send(ask),
            }
            is_more = true;
        }
        is_more
    }

    /// Whether something is to be read first. Who is never silent does not hold a request up for ever.
    fn has_to_wait(&mut self) -> bool {
        let waits = self.waits < WAITS_MAX && self.arrivals.are_here();
        self.waits = if waits { self.waits.saturating_add(1) } else { 0 };
        waits
    }

    fn send(&mut self, Ask { head, body, sent }: Ask) {
        // Whoever asked and is gone meanwhile sends nothing.
        let Some(requests) = self.requests.as_mut().filter(|_| !sent.is_closed()) else { return };
        let is_all = body.as_ref().is_some_and(Bytes::is_empty);
        let Ok((response, mut stream)) = requests.send_request(head, is_all) else { return };
        if let Some(body) = body.filter(|body| !body.is_empty()) {
            // Without a copy, however long it waits for a window; where it fails the answer says why.
            drop(stream.send_data(body, true));
        }
        // Who is gone resets the stream.
        drop(sent.send(Sent { response, stream }));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::time::Instant;

    use super::super::session::Session;
    use super::*;
    use crate::deliver::connector::Opened;
    use crate::deliver::stream::Stream;

    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PREFACE_BYTES: usize = 24;
    const HEADERS: u8 = 1;

    /// A GOAWAY without an error behind which every stream so far is served.
    const NOTICE: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

    /// A session over an open connection, and the app's end of it.
    async fn open() -> (Session, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut app = theirs.unwrap().0.into_std().unwrap();
        app.write_all(SETTINGS).unwrap();
        let opened = Opened { stream: Stream::Plain { tcp: ours.unwrap() }, address: address.ip() };
        let deadline = Instant::now() + Duration::from_secs(30);
        (Session::open(opened, Arc::new(Notify::new()), deadline).await.unwrap(), app)
    }

    fn head() -> Request<()> {
        Request::post("http://app.example/in").body(()).unwrap()
    }

    /// The kinds of the frames that came, to the end of the connection.
    fn kinds(mut app: std::net::TcpStream) -> Vec<u8> {
        app.set_nonblocking(false).unwrap();
        let mut came = Vec::new();
        app.read_to_end(&mut came).unwrap();
        let mut rest = came.split_off(PREFACE_BYTES);
        let mut kinds = Vec::new();
        while let [a, b, c, kind, ..] = rest[..] {
            kinds.push(kind);
            rest.drain(..9 + u32::from_be_bytes([0, a, b, c]) as usize);
        }
        kinds
    }

    #[tokio::test]
    async fn rfc9113_6_8_no_stream_is_opened_behind_a_goaway_that_has_come() {
        let (mut session, mut app) = open().await;
        // Nothing is waited for in between: the runtime has not looked at the socket when the request is asked for.
        app.write_all(NOTICE).unwrap();
        let slot = session.take().expect("nobody has read it yet");
        let (_place, sent) = slot.send(head(), Some(Bytes::new())).await;
        assert!(sent.is_none());
        assert!(session.take().is_none(), "and nothing more");
        drop(session);
        let kinds = tokio::task::spawn_blocking(move || kinds(app)).await.unwrap();
        assert!(!kinds.contains(&HEADERS), "{kinds:?}");
    }

    #[tokio::test]
    async fn what_else_has_come_holds_no_request_up() {
        let (mut session, mut app) = open().await;
        for _ in 0..3 {
            app.write_all(SETTINGS).unwrap();
            let slot = session.take().unwrap();
            let (_place, sent) = slot.send(head(), Some(Bytes::new())).await;
            assert!(sent.is_some());
        }
        drop(session);
        app.write_all(NOTICE).unwrap();
        let kinds = tokio::task::spawn_blocking(move || kinds(app)).await.unwrap();
        assert_eq!(kinds.iter().filter(|kind| **kind == HEADERS).count(), 3);
    }
}
