//! Interim answers (1xx, RFC 9110 section 15.2): to the sender as they come, before the final one and within no other.

use tokio::net::TcpSocket;

use super::app::Talk;
use super::{App, signed, start, to_app};
use crate::http2::frames::{Frames, Outcome, post};
use crate::support::{Gateway, Sender, event, sign};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

#[tokio::test]
async fn rfc9110_15_2_interim_answers_are_passed_on_before_the_final_one() {
    let (app, gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n").await;
    talk.until(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n").await;
    let hints = "Link: </a>\r\nLink: </b>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nHookward-Event-Id: evt_0\r\nContent-Length: 7\r\n";
    passed.say(format!("HTTP/1.1 103 Early Hints\r\n{hints}\r\n")).await;
    // Here before the app has said more: what was meant for us, or says how to read a message, is gone.
    let hints = String::from_utf8(talk.until(b"\r\n\r\n").await).unwrap();
    assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n");
    passed.say(["HTTP/1.1 103 Early Hints\r\n\r\n", OK].concat()).await;
    talk.until(b"HTTP/1.1 103 Early Hints\r\n\r\n").await;
    let answer = talk.message().await;
    assert_eq!((answer.head[0].as_str(), &*answer.body), ("HTTP/1.1 200 OK", b"OK".as_slice()));
    assert_eq!(answer.field("link"), None);
    // And the connection goes on.
    talk.say(signed(&sender, "evt_2", "")).await;
    passed.message().await;
    passed.say(OK).await;
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn rfc9110_15_2_nobody_who_cannot_read_them_gets_any() {
    let (app, gateway, sender) = start().await;
    // HTTP/1.0 has none.
    let mut old = Talk::to(gateway.ingress()).await;
    let request = String::from_utf8(signed(&sender, "evt_1", "")).unwrap();
    old.say(request.replace("HTTP/1.1", "HTTP/1.0")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say(["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK].concat()).await;
    let answer = String::from_utf8(old.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK") && !answer.contains(" 103 "), "{answer}");
    // To a sender over HTTP/2 hyper does not let us send any: the final one is whole.
    let mut frames = Frames::open(gateway.ingress()).await;
    let body = event("evt_2", "order.paid");
    let signature = sign(crate::support::SECRET, &body);
    let fields = [("x-appmint-signature", signature.as_str()), ("content-type", "application/json")];
    frames.request(1, &post("/in", &fields), Some(&body)).await;
    passed.message().await;
    passed.say(["HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK].concat()).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
}

#[tokio::test]
async fn interim_answers_without_an_end_are_no_answer() {
    let (app, gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say("HTTP/1.1 102 Processing\r\n\r\n".repeat(17)).await;
    for _ in 0..16 {
        talk.until(b"HTTP/1.1 102 Processing\r\n\r\n").await;
    }
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 502 Bad Gateway");
}

/// A sender that pipelines and has little room to read into: answers are written bit by bit, and whatever stands
/// between two of them is in its place.
#[tokio::test]
async fn interim_answers_stand_between_two_answers_and_never_within_one() {
    const REQUESTS: usize = 40;
    let app = App::listen().await;
    let gateway = Gateway::start(&to_app(&app.url())).await;
    let sender = Sender::new(&gateway);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut talk = Talk::over(socket.connect(gateway.ingress()).await.unwrap());
    let all: Vec<u8> = (0..REQUESTS).flat_map(|number| signed(&sender, &format!("evt_{number}"), "")).collect();
    let body = |number: usize| format!("{number:>6}").repeat(10_000);
    let app = async {
        let mut passed = app.accept().await;
        for number in 0..REQUESTS {
            passed.message().await;
            let head = format!("HTTP/1.1 103 Early Hints\r\nLink: </{number}>\r\n\r\nHTTP/1.1 200 OK\r\n");
            passed.say(format!("{head}Content-Length: 60000\r\n\r\n{}", body(number))).await;
        }
    };
    let reading = async {
        talk.say(all).await;
        for number in 0..REQUESTS {
            let hints = String::from_utf8(talk.until(b"\r\n\r\n").await).unwrap();
            assert_eq!(hints, format!("HTTP/1.1 103 Early Hints\r\nlink: </{number}>\r\n\r\n"));
            let answer = talk.message().await;
            assert!(answer.head[0] == "HTTP/1.1 200 OK" && answer.body == body(number).as_bytes(), "{number}");
        }
    };
    tokio::join!(app, reading);
}
