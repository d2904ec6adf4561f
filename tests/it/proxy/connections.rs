//! Connections to the app: used again, looked at before they are, and a request never given twice.

use super::app::Talk;
use super::{signed, start, to_app};
use crate::support::{Gateway, PATIENCE, Port, Sender, Sink, event, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

#[tokio::test]
async fn a_connection_is_used_again_after_a_whole_answer() {
    let (app, gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_0", "")).await;
    let mut passed = app.accept().await;
    for round in 0..5 {
        passed.message().await;
        passed.say(OK).await;
        assert_eq!(talk.message().await.head[0], "HTTP/1.1 200 OK");
        talk.say(signed(&sender, &format!("evt_{}", round + 1), "")).await;
    }
    passed.message().await;
    // Whoever closes is not used again.
    passed.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    talk.message().await;
    assert_eq!(passed.rest().await, b"");
    talk.say(signed(&sender, "evt_new", "")).await;
    app.accept().await.message().await;
}

#[tokio::test]
async fn a_reload_that_does_not_change_the_app_keeps_its_connections() {
    let (app, gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say(OK).await;
    talk.message().await;
    gateway.reload(&super::to_app_with(&app.url(), "    rate_limit: { requests: 1000, per: 1s }\n")).await;
    talk.say(signed(&sender, "evt_2", "")).await;
    passed.message().await;
}

#[tokio::test]
async fn an_idle_connection_that_the_app_has_closed_is_not_written_to() {
    let (app, gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    for round in 0..20 {
        talk.say(signed(&sender, &format!("evt_{round}"), "")).await;
        let mut passed = app.accept().await;
        passed.message().await;
        passed.say(OK).await;
        assert_eq!(talk.message().await.head[0], "HTTP/1.1 200 OK");
        // Closed without a word, as apps do after some seconds: the next request finds it so.
        drop(passed);
    }
}

#[tokio::test]
async fn what_an_app_says_unasked_is_nobodys_answer() {
    let (app, gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say([OK, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"].concat()).await;
    assert_eq!(talk.message().await.body, b"OK");
    talk.say(signed(&sender, "evt_2", "")).await;
    let mut fresh = app.accept().await;
    fresh.message().await;
    fresh.say(OK).await;
    assert_eq!(talk.message().await.body, b"OK");
}

#[tokio::test]
async fn a_request_that_the_app_may_have_seen_is_not_given_again() {
    let (app, gateway, sender) = start().await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_0", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say(OK).await;
    talk.message().await;
    // Over the warm connection the app reads the request and closes.
    talk.say(signed(&sender, "evt_1", "")).await;
    passed.message().await;
    drop(passed);
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 502 Bad Gateway");
    assert!(!app.is_called().await, "no second POST behind the sender's back");
    // The sender decides to try again.
    talk.say(signed(&sender, "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.message().await;
    passed.say(OK).await;
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn connections_that_the_app_closes_are_let_go_without_traffic() {
    let mut sink = Sink::start().await;
    let gateway = Gateway::start(&to_app(&sink.url(""))).await;
    Sender::new(&gateway).send(&event("evt_1", "order.paid")).await;
    let port = format!(":{:04X} ", sink.address().port());
    let halves = || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        // Whose remote end is the app's port: ESTABLISHED, CLOSE_WAIT.
        let states = ["01", "08"].map(|state| format!("{port}{state} "));
        sockets.lines().filter(|line| states.iter().any(|state| line.contains(state))).count()
    };
    assert_eq!(halves(), 1, "the connection is kept");
    sink.down().await;
    eventually("the end of the gateway's half of the connection", async || (halves() == 0).then_some(())).await;
}

#[tokio::test]
async fn an_app_that_comes_back_is_found_again() {
    let port = Port::take();
    let gateway = Gateway::start(&to_app(&format!("http://{}", port.address()))).await;
    let mut sender = Sender::new(&gateway);
    let body = event("evt_1", "order.paid");
    let refused = sender.send(&body).await;
    assert_eq!((refused.status, refused.code().as_str()), (502, "app_unreachable"));
    let listener = tokio::net::TcpListener::bind(port.address()).await.unwrap();
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&sender, "evt_1", "")).await;
    let (stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    drop(stream);
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 502 Bad Gateway");
}
