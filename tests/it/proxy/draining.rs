//! F50 in proxy mode: an answer that streams is finished while the gateway drains, over either protocol.

use super::{App, signed, start};
use crate::http2::frames::{DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, block, frame};
use crate::support::{SECRET, event, sign};

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";

#[tokio::test]
async fn f50_an_answer_that_streams_over_http_1_is_finished() {
    let (app, mut gateway, sender) = start().await;
    let mut peer = super::app::Talk::to(gateway.ingress()).await;
    peer.say(signed(&sender, "evt_1", "")).await;
    let mut talk = app.accept().await;
    talk.message().await;
    talk.say(HEAD).await;
    peer.until(b"first").await;
    gateway.terminate();
    // Nobody is listening any more once the draining has begun.
    while tokio::net::TcpStream::connect(gateway.ingress()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    talk.say("4\r\nlast\r\n0\r\n\r\n").await;
    let rest = peer.rest().await;
    assert!(rest.ends_with(b"last\r\n0\r\n\r\n"), "{}", rest.escape_ascii());
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn f50_an_answer_that_streams_over_http_2_is_finished() {
    let (app, mut gateway, _) = start().await;
    let mut frames = Frames::open(gateway.ingress()).await;
    let body = event("evt_1", "order.paid");
    let signature = sign(SECRET, &body);
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", "/in"),
        ("content-type", "application/json"),
        ("x-appmint-signature", &signature),
    ];
    let request = [frame(HEADERS, END_HEADERS, 1, &block(&fields)), frame(DATA, END_STREAM, 1, &body)];
    frames.write(&request.concat()).await;
    let mut talk = app.accept().await;
    talk.message().await;
    talk.say(HEAD).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    let first = data(&mut frames).await;
    assert_eq!((&*first.0, first.1), (&b"first"[..], false));
    gateway.terminate();
    // The goodbye, without an error and without an end to the stream.
    loop {
        let (kind, _, _, payload) = frames.next().await.expect("a goodbye");
        if kind == GOAWAY {
            assert_eq!(payload[4..8], [0; 4]);
            break;
        }
    }
    // What comes after it on this connection is not taken up, or served: never half.
    talk.say("4\r\nlast\r\n").await;
    let last = data(&mut frames).await;
    assert_eq!((&*last.0, last.1), (&b"last"[..], false));
    talk.say("0\r\n\r\n").await;
    let end = data(&mut frames).await;
    assert_eq!((&*end.0, end.1), (&b""[..], true));
    assert_eq!(frames.end().await.unwrap_or_default(), 0);
    assert!(gateway.ended().await.success());
    drop::<App>(app);
}

/// The next DATA, and whether it is the last.
async fn data(frames: &mut Frames) -> (Vec<u8>, bool) {
    loop {
        let (kind, flags, _, payload) = frames.next().await.expect("the rest of the answer");
        if kind == DATA {
            return (payload, flags & END_STREAM != 0);
        }
    }
}
