//! Connections: shared by many requests, as many as the app takes, looked at, and left when the app says goodbye.

use tokio::task::JoinSet;

use super::super::app::Talk;
use super::super::{App as RawApp, signed};
use super::app::{App, Asked};
use super::{hasty, spoken_to, start};
use crate::http2::frames::{END_HEADERS, Frames, HEADERS, SETTINGS, frame};
use crate::support::{Gateway, Sender, event, eventually};

/// Requests under way from connections of their own, each with the id of its event.
fn send_all(gateway: &Gateway, ids: std::ops::Range<usize>) -> JoinSet<u16> {
    let mut senders = JoinSet::new();
    for id in ids {
        let mut sender = Sender::new(gateway);
        senders.spawn(async move { sender.send(&event(&format!("evt_{id}"), "order.paid")).await.status });
    }
    senders
}

#[tokio::test]
async fn many_requests_are_under_way_over_one_connection() {
    let (mut app, gateway, mut sender) = start(200).await;
    // The connection is there.
    let first = async {
        let asked = app.asked().await;
        asked.answer("OK");
    };
    let (reply, ()) = tokio::join!(async { sender.send(&event("evt_first", "order.paid")).await.status }, first);
    assert_eq!(reply, 200);
    let senders = send_all(&gateway, 0..100);
    let mut under_way = Vec::new();
    // All have come before one is answered.
    while under_way.len() < 100 {
        under_way.push(app.asked().await);
    }
    assert!(under_way.iter().all(|asked| asked.connection == 0), "one connection has room for all of them");
    under_way.into_iter().for_each(|asked| asked.answer("OK"));
    assert_eq!(senders.join_all().await, [200; 100]);
}

#[tokio::test]
async fn an_app_that_takes_few_at_a_time_gets_more_connections() {
    let (mut app, gateway, _) = start(2).await;
    let senders = send_all(&gateway, 0..6);
    let mut under_way: Vec<Asked> = Vec::new();
    while under_way.len() < 6 {
        under_way.push(app.asked().await);
    }
    let mut connections = [0; 3];
    under_way.iter().for_each(|asked| connections[asked.connection] += 1);
    assert_eq!(connections, [2; 3]);
    under_way.into_iter().for_each(|asked| asked.answer("OK"));
    assert_eq!(senders.join_all().await, [200; 6]);
    // And those that are there are used again.
    let senders = send_all(&gateway, 6..12);
    for _ in 0..6 {
        let asked = app.asked().await;
        assert!(asked.connection < 3);
        asked.answer("OK");
    }
    assert_eq!(senders.join_all().await, [200; 6]);
}

#[tokio::test]
async fn a_connection_that_says_goodbye_finishes_what_is_on_it_and_gets_nothing_more() {
    let (mut app, gateway, _) = start(100).await;
    let senders = send_all(&gateway, 0..1);
    let first = app.asked().await;
    first.say_goodbye().await;
    // The GOAWAY is on its way: requests come over the old connection until it is there, and are served.
    let mut fresh = None;
    for id in 1..100 {
        let sent = send_all(&gateway, id..id + 1);
        let asked = app.asked().await;
        let connection = asked.connection;
        asked.answer("OK");
        assert_eq!(sent.join_all().await, [200]);
        if connection == 1 {
            fresh = Some(connection);
            break;
        }
    }
    assert_eq!(fresh, Some(1));
    first.answer("late");
    assert_eq!(senders.join_all().await, [200], "what was under way is answered over the old one");
}

#[tokio::test]
async fn a_reload_keeps_the_connections_of_an_app_that_is_spoken_to_as_before() {
    let (mut app, gateway, _) = start(100).await;
    let unchanged = spoken_to(&app.url(), "2");
    for (id, settings) in [(1, None), (2, Some("    rate_limit: { requests: 1000, per: 1s }\n")), (3, Some(""))] {
        if let Some(settings) = settings {
            gateway.reload(&format!("{unchanged}{settings}")).await;
        }
        let sent = send_all(&gateway, id..id + 1);
        let asked = app.asked().await;
        assert_eq!(asked.connection, 0);
        asked.answer("OK");
        assert_eq!(sent.join_all().await, [200]);
    }
}

#[tokio::test]
async fn f50_what_is_under_way_is_answered_while_the_gateway_drains() {
    let (mut app, mut gateway, _) = start(100).await;
    let senders = send_all(&gateway, 0..5);
    let mut under_way = Vec::new();
    while under_way.len() < 5 {
        under_way.push(app.asked().await);
    }
    gateway.terminate();
    while tokio::net::TcpStream::connect(gateway.ingress()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    under_way.into_iter().for_each(|asked| asked.answer("OK"));
    assert_eq!(senders.join_all().await, [200; 5]);
    assert!(gateway.ended().await.success());
}

#[tokio::test]
async fn a_connection_whose_other_end_is_gone_gets_no_second_request() {
    let listener = RawApp::listen().await;
    let ingress = "ingress: { listen: \"@INGRESS@\", request_timeout: 1s, header_timeout: 1s }\n";
    let gateway = Gateway::start(&format!("{ingress}{}", spoken_to(&listener.url(), "2"))).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&Sender::new(&gateway), "evt_1", "")).await;
    let mut first = Frames::accepted(listener.accept().await.into_stream()).await;
    first.until(HEADERS).await;
    // Reads no more, and answers no ping.
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 504 Gateway Timeout");
    talk.say(signed(&Sender::new(&gateway), "evt_2", "")).await;
    let mut second = Frames::accepted(listener.accept().await.into_stream()).await;
    let (_, _, stream, _) = second.until(HEADERS).await;
    second.write(&frame(HEADERS, END_HEADERS | 1, stream, &[0x89])).await;
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 204 No Content");
}

#[tokio::test]
async fn a_request_that_takes_too_long_leaves_the_others_alone() {
    let mut app = App::listen(100).await;
    let gateway = Gateway::start(&hasty(&app)).await;
    let senders = send_all(&gateway, 0..1);
    let slow = app.asked().await;
    assert_eq!(senders.join_all().await, [504]);
    // Only its stream is reset; the app answers pings, so the connection is used on.
    let mut respond = slow.respond;
    let reason = std::future::poll_fn(|context| respond.poll_reset(context)).await.unwrap();
    assert_eq!(reason, h2::Reason::CANCEL);
    let next = eventually("the connection is trusted again", async || {
        let id = fastrand::usize(1000..1_000_000);
        let sent = send_all(&gateway, id..id + 1);
        let asked = app.asked().await;
        let connection = asked.connection;
        asked.answer("OK");
        assert_eq!(sent.join_all().await, [200]);
        (connection == 0).then_some(connection)
    });
    assert_eq!(next.await, 0);
}

#[tokio::test]
async fn an_app_that_speaks_http_1_only_sees_no_request() {
    let app = RawApp::listen().await;
    let gateway = Gateway::start(&spoken_to(&app.url(), "2")).await;
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&Sender::new(&gateway), "evt_1", "")).await;
    let mut passed = app.accept().await;
    passed.until(b"SM\r\n\r\n").await;
    passed.say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
    let answer = talk.message().await;
    assert_eq!(answer.head[0], "HTTP/1.1 502 Bad Gateway");
    assert!(String::from_utf8_lossy(&answer.body).contains("app_unreachable"));
    let sent = passed.rest().await;
    assert!(
        !sent.windows(7).any(|part| part == b"evt_1\" "),
        "no event goes out before the app has said what it speaks"
    );
    // The frame that was sent first.
    assert_eq!(sent.get(3), Some(&SETTINGS));
}
