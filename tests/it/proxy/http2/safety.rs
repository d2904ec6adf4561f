//! No request is given to an app twice that may have seen it, and one that the app did not look at is not lost.

use h2::Reason;

use super::super::app::Talk;
use super::super::{App as RawApp, signed};
use super::{spoken_to, start};
use crate::http2::frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, frame};
use crate::support::{Gateway, Sender, event};

/// `:status: 204`, from the static table.
pub(super) const NO_CONTENT: &[u8] = &[0x89];

#[tokio::test]
async fn a_refused_stream_is_asked_again() {
    let (mut app, _gateway, mut sender) = start(100).await;
    let body = event("evt_1", "order.paid");
    let sent = async { sender.send(&body).await.status };
    let served = async {
        app.asked().await.reset(Reason::REFUSED_STREAM);
        app.asked().await.reset(Reason::REFUSED_STREAM);
        let mut third = app.asked().await;
        assert_eq!(third.body().await, body);
        third.answer("OK");
    };
    assert_eq!(tokio::join!(sent, served).0, 200);
    assert!(!app.is_asked());
}

#[tokio::test]
async fn an_app_that_refuses_again_and_again_is_told_from_one_that_broke() {
    let (mut app, gateway, mut sender) = start(100).await;
    let body = event("evt_1", "order.paid");
    let sent = async {
        let reply = sender.send(&body).await;
        (reply.status, reply.code())
    };
    let served = async {
        for _ in 0..3 {
            app.asked().await.reset(Reason::REFUSED_STREAM);
        }
    };
    assert_eq!(tokio::join!(sent, served).0, (502, "app_unreachable".to_owned()));
    assert!(!app.is_asked(), "three times are enough");
    // The mark is free: the sender's retry gets through.
    let mut again = Sender::new(&gateway);
    let served = async { app.asked().await.answer("OK") };
    assert_eq!(tokio::join!(async { again.send(&body).await.status }, served).0, 200);
}

#[tokio::test]
async fn a_stream_that_breaks_is_not_asked_again() {
    let (mut app, _gateway, mut sender) = start(100).await;
    for reason in
        [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::NO_ERROR, Reason::HTTP_1_1_REQUIRED, Reason::ENHANCE_YOUR_CALM]
    {
        let body = event(&format!("evt_{}", u32::from(reason)), "order.paid");
        let sent = async {
            let reply = sender.send(&body).await;
            (reply.status, reply.code())
        };
        let served = async { app.asked().await.reset(reason) };
        assert_eq!(tokio::join!(sent, served).0, (502, "app_broken".to_owned()), "{reason:?}");
        assert!(!app.is_asked(), "{reason:?}");
    }
}

/// What the app says to the first request, on its stream; whether the request comes again over another connection.
async fn check(said: impl FnOnce(u32) -> Vec<u8>, comes_again: bool) {
    let app = RawApp::listen().await;
    let gateway = Gateway::start(&spoken_to(&app.url(), "2")).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&Sender::new(&gateway), "evt_1", "")).await;
    let mut first = Frames::accepted(app.accept().await.into_stream()).await;
    let (_, _, stream, block) = first.until(HEADERS).await;
    first.write(&said(stream)).await;
    drop(first);
    if comes_again {
        let mut second = Frames::accepted(app.accept().await.into_stream()).await;
        let (_, _, stream, again) = second.until(HEADERS).await;
        assert_eq!(again, block, "the same fields, the event's id with them");
        second.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, NO_CONTENT)).await;
        assert_eq!(talk.message().await.head[0], "HTTP/1.1 204 No Content");
    } else {
        assert_eq!(talk.message().await.head[0], "HTTP/1.1 502 Bad Gateway");
    }
    assert!(!app.is_called().await);
}

/// A GOAWAY that names the last stream that was looked at.
pub(super) fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

#[tokio::test]
async fn a_goaway_says_which_requests_the_app_has_looked_at() {
    check(|_| goaway(0, 0), true).await;
    // Whatever the reason: what comes after the last stream was not looked at (RFC 9113 section 6.8).
    check(|_| goaway(0, 2), true).await;
    check(|stream| goaway(stream, 0), false).await;
    check(|stream| goaway(stream, 2), false).await;
    check(|stream| goaway(0x7fff_ffff & (stream + 2), 0), false).await;
    check(|stream| frame(RST_STREAM, 0, stream, &7_u32.to_be_bytes()), true).await;
}

#[tokio::test]
async fn a_connection_that_breaks_takes_its_requests_with_it() {
    check(|_| Vec::new(), false).await;
    // Not HTTP/2 any more.
    check(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), false).await;
    // A head without a status.
    check(|stream| frame(HEADERS, END_HEADERS, stream, &[0x00, 0x01, b'x', 0x01, b'y']), false).await;
}
