//! What the sender hears where it does not hear the app, and what the operator sees of it.

use super::app::Talk;
use super::{App, signed, start, to_app, to_app_with};
use crate::support::{Answer, Gateway, Port, SECRET, Sender, Sink, event, eventually, sign};

#[tokio::test]
async fn an_app_that_fails_is_answered_for_and_noted() {
    let port = Port::take();
    let sink = Sink::answering(|hit| match &*hit.body {
        b if b.starts_with(b"{\"id\" : \"evt_close\"") => Answer::Close,
        b if b.starts_with(b"{\"id\" : \"evt_hang\"") => Answer::Hang,
        _ => Answer::status(200),
    })
    .await;
    let ingress = "ingress: { listen: \"@INGRESS@\", request_timeout: 1s, header_timeout: 1s }\n";
    let source = |name: &str, url: &str| {
        format!(
            "  {name}: {{ path: /{name}, mode: proxy, app: \"{url}\", if_app_fails: reject, \
             verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n"
        )
    };
    let gateway = Gateway::start(&format!(
        "{ingress}sources:\n{}{}{}",
        source("up", &sink.url("")),
        source("down", &format!("http://{}", port.address())),
        source("plain", &sink.url("").replace("http:", "https:")),
    ))
    .await;
    for (path, id, status, code) in [
        ("/up", "evt_1", 200, ""),
        ("/up", "evt_close", 502, "app_broken"),
        ("/up", "evt_hang", 504, "app_too_slow"),
        ("/down", "evt_1", 502, "app_unreachable"),
        ("/plain", "evt_1", 502, "app_unreachable"),
    ] {
        let body = event(id, "order.paid");
        let reply = Sender::to(gateway.ingress(), path, SECRET).send(&body).await;
        assert_eq!(reply.status, status, "{path} {id}: {reply:?}");
        if status == 200 {
            continue;
        }
        assert_eq!(reply.code(), code);
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(!text.contains("127.0.0.1") && !text.contains("TLS"), "the sender hears no more: {text}");
        let path_of_it = format!("/v1/rejections/{}", reply.header("hookward-rejection-id"));
        let rejection = eventually("the ledger's entry", async || {
            gateway.try_get(&path_of_it).await.filter(|entry| entry.status == 200)
        })
        .await;
        assert_eq!(rejection.json()["reason"].as_str(), Some(code), "{rejection:?}");
        let counted = gateway
            .metrics()
            .await
            .sum("hookward_requests_rejected_total", &[("source", &path[1..]), ("reason", code)]);
        assert_eq!(counted, 1.0, "{path} {code}");
    }
}

#[tokio::test]
async fn answers_that_are_no_http_are_502() {
    let (app, gateway, sender) = start().await;
    for (number, answer) in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let mut talk = Talk::to(gateway.ingress()).await;
        talk.say(signed(&sender, &format!("evt_{number}"), "")).await;
        let mut passed = app.accept().await;
        passed.message().await;
        passed.say(answer).await;
        let refused = talk.message().await;
        assert_eq!(refused.head[0], "HTTP/1.1 502 Bad Gateway", "{answer:?}");
        assert_eq!(passed.rest().await, b"", "its connection is not used again: {answer:?}");
    }
}

#[tokio::test]
async fn all_guards_stand_before_the_app() {
    let app = App::listen().await;
    let gateway = Gateway::start(&to_app_with(&app.url(), "    rate_limit: { requests: 4, per: 1h }\n")).await;
    let mut sender = Sender::new(&gateway);
    let body = event("evt_1", "order.paid");
    let unsigned = http::Request::post("/in").header("content-type", "application/json");
    assert_eq!(sender.send_as(unsigned, &body).await.status, 401);
    let forged = sender.request(&event("evt_2", "order.paid"));
    assert_eq!(sender.send_as(forged, &body).await.status, 401);
    let typed = http::Request::post("/in")
        .header("content-type", "text/plain")
        .header("x-appmint-signature", sign(SECRET, &body));
    assert_eq!(sender.send_as(typed, &body).await.status, 415);
    let other = sender.request(&body).method("PUT");
    assert_eq!(sender.send_as(other, &body).await.status, 405);
    let not_json = bytes::Bytes::from("{");
    let request = sender.request(&not_json);
    assert_eq!(sender.send_as(request, &not_json).await.status, 400);
    assert_eq!(sender.send(&body).await.status, 429);
    assert!(!app.is_called().await, "nothing of it was passed on");
}

#[tokio::test]
async fn a_body_is_asked_for_only_behind_the_guards_that_need_none() {
    let (app, gateway, sender) = start().await;
    let whole = signed(&sender, "evt_1", "Expect: 100-continue\r\n");
    let end = memchr::memmem::find(&whole, b"\r\n\r\n").unwrap() + 4;
    let mut talk = Talk::to(gateway.ingress()).await;
    let unsigned = String::from_utf8(whole[..end].to_vec()).unwrap().replace("x-appmint-signature", "x-other");
    talk.say(unsigned).await;
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 401 Unauthorized");

    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(&whole[..end]).await;
    talk.until(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    talk.say(&whole[end..]).await;
    let mut passed = app.accept().await;
    assert_eq!(passed.message().await.field("expect"), None);
    passed.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(talk.message().await.head[0], "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_circle_ends() {
    let mut gateway = Gateway::prepare("");
    // Its own front door is the app; without dedup nothing else would stop it.
    gateway.configure(&to_app_with(&format!("http://{}", gateway.ingress()), "    dedup: off\n"));
    gateway.run().await;
    let reply = Sender::new(&gateway).send(&event("evt_1", "order.paid")).await;
    assert_eq!((reply.status, reply.code().as_str()), (508, "loop_detected"));
}

#[tokio::test]
async fn the_source_says_where_it_passes_on_to() {
    let sink = Sink::start().await;
    let gateway = Gateway::start(&to_app(&sink.url("/base"))).await;
    Sender::new(&gateway).send(&event("evt_1", "order.paid")).await;
    let source = gateway.list("/v1/sources").await.remove(0);
    assert_eq!((source["mode"].as_str(), source["app"].as_str()), (Some("proxy"), Some(sink.url("/base").as_str())));
    assert_eq!((&source["passed_on"], &source["since_start"]["received"]), (&1.into(), &1.into()));
    let stats = gateway.get("/v1/stats").await.json();
    let counts = |stats: &serde_json::Value| ["passed_on", "received"].map(|key| stats["sources"][0][key].as_u64());
    assert_eq!(counts(&stats), [Some(1); 2], "{stats}");
    let line = eventually("a line of the access log", async || {
        gateway.log().lines().find(|line| line.contains("\"path\":\"/in\"")).map(str::to_owned)
    })
    .await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["source"], "appmint");
    assert!(line["event_id"].as_str().unwrap().starts_with("evt_"), "{line}");
    let file = gateway.config_file();
    let meaning = crate::support::hookward(&["check", "-c", file.to_str().unwrap()], &[]);
    let meaning = String::from_utf8(meaning.stdout).unwrap();
    assert!(meaning.contains("then passed on to http://") && meaning.contains(" as /base/in"), "{meaning}");
}

#[tokio::test]
async fn what_was_passed_on_is_counted_for_good_whatever_the_app_said() {
    let sink = Sink::answering(|hit| Answer::status(if hit.body.ends_with(b"\n\n") { 500 } else { 200 })).await;
    let mut gateway = Gateway::start(&to_app(&sink.url(""))).await;
    let mut sender = Sender::new(&gateway);
    let refused = [event("evt_2", "order.paid").as_ref(), b"\n"].concat();
    for (body, status) in
        [(event("evt_1", "order.paid"), 200), (event("evt_1", "order.paid"), 200), (refused.into(), 500)]
    {
        assert_eq!(sender.send(&body).await.status, status);
    }
    let forged = Sender::to(gateway.ingress(), "/in", "another").send(&event("evt_3", "order.paid")).await;
    assert_eq!(forged.status, 401);
    // Two were answered by the app, one was a copy, one forged.
    for passed_on in [2, 3] {
        let stats = gateway.get("/v1/stats").await.json();
        let source = &stats["sources"][0];
        let counts = ["received", "passed_on", "duplicates", "rejected", "accepted"].map(|key| source[key].as_u64());
        assert_eq!(counts, [passed_on + 2, passed_on, 1, 1, 0].map(Some), "{stats}");
        if passed_on == 2 {
            // One that nobody asks for any more before the end, and over a restart.
            assert_eq!(sender.send(&event("evt_4", "order.paid")).await.status, 200);
            gateway.terminate();
            assert!(gateway.ended().await.success());
            gateway.run().await;
        }
    }
}
