//! Rules of HTTP for whoever stands in the middle, a test a rule; docs/reliability.md lists them all.

use super::app::Talk;
use super::{signed, start};
use crate::http2::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, block, frame};
use crate::support::{Gateway, SECRET, Sender, Sink, event, raw, sign};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn rfc9110_7_6_2_and_9_3_6_trace_options_and_connect_end_here() {
    let (app, gateway, _) = start().await;
    for (line, hops) in [
        ("TRACE /in", "0"),
        ("TRACE /in", "5"),
        ("OPTIONS /in", "0"),
        ("OPTIONS /in", "5"),
        ("CONNECT shop.example:443", "5"),
    ] {
        let request =
            format!("{line} HTTP/1.1\r\nHost: shop.example:443\r\nMax-Forwards: {hops}\r\nConnection: close\r\n\r\n");
        let answer = raw(gateway.ingress(), request.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status == "405" || line.starts_with("CONNECT") && ["400", "404", "405"].contains(&status), "{answer}");
    }
    assert!(!app.is_called().await, "nothing of these reached the app");
}

#[tokio::test]
async fn rfc9110_10_1_1_an_expectation_of_http_1_0_is_ignored() {
    let (app, gateway, sender) = start().await;
    let mut peer = Talk::to(gateway.ingress()).await;
    let request = String::from_utf8(signed(&sender, "evt_1", "expect: 100-continue\r\n")).unwrap();
    peer.say(request.replace("HTTP/1.1", "HTTP/1.0")).await;
    let mut talk = app.accept().await;
    assert!(talk.message().await.fields("expect").is_empty());
    talk.say(OK).await;
    let answer = String::from_utf8(peer.rest().await).unwrap();
    assert!(answer.contains(" 200 OK\r\n") && !answer.contains(" 100 "), "{answer}");
}

#[tokio::test]
async fn rfc9110_6_6_1_each_answer_has_a_date() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&super::to_app(&sink.url(""))).await;
    let mut sender = Sender::new(&gateway);
    let unsigned = |path: &str| http::Request::post(path).header("content-type", "application/json");
    let passed_on = sender.send(&event("evt_1", "order.paid")).await;
    let refused = sender.send_as(unsigned("/in"), &event("evt_2", "order.paid")).await;
    let unknown = sender.send_as(unsigned("/nowhere"), &event("evt_3", "order.paid")).await;
    for (reply, status) in [(passed_on, 200), (refused, 401), (unknown, 404)] {
        let dates = reply.headers.get_all("date").iter().collect::<Vec<_>>();
        assert!(reply.status == status && dates.len() == 1, "{reply:?}");
        assert!(httpdate::parse_http_date(dates[0].to_str().unwrap()).is_ok(), "{reply:?}");
    }
}

#[tokio::test]
async fn rfc9110_8_6_a_length_of_the_apps_that_is_none_is_502_and_ends_its_connection() {
    let (app, gateway, sender) = start().await;
    for (number, length) in
        ["x", "-1", "1, 2", "1\r\nContent-Length: 2", "99999999999999999999"].into_iter().enumerate()
    {
        let mut peer = Talk::to(gateway.ingress()).await;
        peer.say(signed(&sender, &format!("evt_{number}"), "connection: close\r\n")).await;
        let mut talk = app.accept().await;
        talk.message().await;
        talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nab")).await;
        let answer = String::from_utf8(peer.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("app_broken"), "{length}: {answer}");
        assert_eq!(talk.rest().await, b"", "{length}: not used again");
    }
}

#[tokio::test]
async fn rfc9112_3_2_2_the_authority_of_an_absolute_target_wins_over_host() {
    let (app, gateway, sender) = start().await;
    let request = String::from_utf8(signed(&sender, "evt_1", "")).unwrap();
    let request = request.replacen("POST /in ", "POST http://shop.example:8443/in ", 1);
    let request = request.replacen("host: shop.example", "host: evil.example", 1);
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(request).await;
    let seen = app.accept().await.message().await;
    assert_eq!(seen.head[0], "POST /in HTTP/1.1");
    assert_eq!(seen.field("host"), Some(app.url().trim_start_matches("http://")));
    assert_eq!(seen.field("x-forwarded-host"), Some("shop.example:8443"));
    assert_eq!(seen.field("forwarded"), Some("for=127.0.0.1;host=\"shop.example:8443\";proto=http"));
}

#[tokio::test]
async fn rfc9113_8_2_3_the_crumbs_of_a_cookie_are_one_field_for_the_app() {
    let (app, gateway, _) = start().await;
    let body = event("evt_1", "order.paid");
    let signature = sign(SECRET, &body);
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", "/in"),
        ("cookie", "a=b"),
        ("content-type", "application/json"),
        ("cookie", "c=d"),
        ("x-appmint-signature", &signature),
    ];
    let mut frames = Frames::open(gateway.ingress()).await;
    let request = [frame(HEADERS, END_HEADERS, 1, &block(&fields)), frame(DATA, END_STREAM, 1, &body)];
    frames.write(&request.concat()).await;
    let mut talk = app.accept().await;
    let seen = talk.message().await;
    assert_eq!(seen.field("cookie"), Some("a=b; c=d"));
    assert_eq!((seen.field("x-forwarded-host"), &*seen.body), (Some("shop.example"), &*body));
    talk.say(OK).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
}
