//! GOAWAY while several requests are under way (RFC 9113 section 6.8): which of them come again, over another connection, and
//! which do not.

use super::super::app::Talk;
use super::super::{App as RawApp, signed};
use super::safety::{NO_CONTENT, goaway};
use super::spoken_to;
use crate::http2::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, WINDOW_UPDATE, frame};
use crate::support::{Gateway, Sender, event_of_bytes};

/// More streams than anybody opens: what is under way will be served, and more shall not come.
const NOTICE: u32 = 0x7fff_ffff;

/// An app with one connection of the gateway's to it, and the senders of the requests on its streams 1, 3, …
struct Scene {
    app: RawApp,
    gateway: Gateway,
    talks: Vec<Talk>,
    first: Frames,
}

impl Scene {
    async fn with(requests: usize) -> Self {
        let app = RawApp::listen().await;
        let gateway = Gateway::start(&spoken_to(&app.url(), "2")).await;
        let mut talks = vec![ask(&gateway, 1).await];
        let mut first = Frames::accepted(app.accept().await.into_stream()).await;
        assert_eq!(first.until(DATA).await.2, 1);
        for stream in (3..).step_by(2).take(requests - 1) {
            talks.push(ask(&gateway, stream).await);
            // All of it: nothing lies unread where the connection is closed.
            assert_eq!(first.until(DATA).await.2, stream);
        }
        Self { app, gateway, talks, first }
    }

    /// The next connection.
    async fn next(&self) -> Frames {
        Frames::accepted(self.app.accept().await.into_stream()).await
    }

    /// What the senders hear of, first to last.
    async fn statuses(&mut self) -> Vec<String> {
        let mut statuses = Vec::new();
        for talk in &mut self.talks {
            let answer = talk.message().await;
            let code = String::from_utf8(answer.body).unwrap();
            let code = code.split_once("\"code\":\"").and_then(|(_, code)| code.split_once('"'));
            let status = answer.head[0].split(' ').nth(1).unwrap();
            statuses.push(code.map_or_else(|| status.to_owned(), |(code, _)| format!("{status} {code}")));
        }
        statuses
    }
}

async fn ask(gateway: &Gateway, number: u32) -> Talk {
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&Sender::new(gateway), &format!("evt_{number}"), "")).await;
    talk
}

/// Answers the next requests of a connection, so many.
async fn serve(connection: &mut Frames, requests: usize) {
    for _ in 0..requests {
        let (_, _, stream, _) = connection.until(HEADERS).await;
        answer(connection, stream).await;
    }
}

async fn answer(connection: &mut Frames, stream: u32) {
    connection.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, NO_CONTENT)).await;
}

#[tokio::test]
async fn a_notice_stops_new_requests_and_the_goaway_behind_it_says_which_come_again() {
    let mut scene = Scene::with(3).await;
    scene.first.write(&[goaway(NOTICE, 0), goaway(1, 0)].concat()).await;
    // Those behind the first come over another connection, and what is new with them.
    let mut second = scene.next().await;
    serve(&mut second, 2).await;
    scene.talks.push(ask(&scene.gateway, 9).await);
    serve(&mut second, 1).await;
    answer(&mut scene.first, 1).await;
    assert_eq!(scene.statuses().await, ["204"; 4]);
    // The first gets nothing more, and ends.
    while let Some((kind, ..)) = scene.first.next().await {
        assert_ne!(kind, HEADERS);
    }
    assert!(!scene.app.is_called().await);
}

#[tokio::test]
async fn behind_a_notice_what_is_under_way_is_served_where_it_is() {
    let mut scene = Scene::with(2).await;
    scene.first.write(&goaway(NOTICE, 0)).await;
    answer(&mut scene.first, 3).await;
    // The answer is read behind the notice: who hears of it knows that the notice has come.
    assert_eq!(scene.talks[1].message().await.head[0], "HTTP/1.1 204 No Content");
    scene.talks[1] = ask(&scene.gateway, 5).await;
    let mut second = scene.next().await;
    serve(&mut second, 1).await;
    answer(&mut scene.first, 1).await;
    assert_eq!(scene.statuses().await, ["204"; 2]);
    assert!(!scene.app.is_called().await);
}

#[tokio::test]
async fn a_server_that_gives_up_takes_with_it_what_it_has_begun_and_no_more() {
    let mut scene = Scene::with(3).await;
    // What apache2 does where a request crosses its notice.
    scene.first.write(&[goaway(NOTICE, 0), goaway(1, 0xffff_fc7a)].concat()).await;
    drop(scene.first.stream);
    let mut second = Frames::accepted(scene.app.accept().await.into_stream()).await;
    serve(&mut second, 2).await;
    let mut scene = Scene { first: second, ..scene };
    assert_eq!(scene.statuses().await, ["502 app_broken", "204", "204"]);
    // Nobody asks the app again but the sender, whose retry gets through.
    scene.talks = vec![ask(&scene.gateway, 1).await];
    serve(&mut scene.first, 1).await;
    assert_eq!(scene.statuses().await, ["204"]);
    assert!(!scene.app.is_called().await);
}

#[tokio::test]
async fn a_connection_that_is_reset_without_a_goaway_takes_all_requests_with_it() {
    let mut scene = Scene::with(3).await;
    socket2::SockRef::from(&scene.first.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(scene.first.stream);
    let mut statuses = Vec::new();
    for talk in &mut scene.talks {
        statuses.push(talk.message().await.head[0].clone());
    }
    assert_eq!(statuses, ["HTTP/1.1 502 Bad Gateway"; 3]);
    assert!(!scene.app.is_called().await);
}

#[tokio::test]
async fn a_body_of_which_a_part_was_sent_comes_again_as_a_whole() {
    let app = RawApp::listen().await;
    let gateway = Gateway::start(&format!("{}    body_bytes_max: 25MiB\n", spoken_to(&app.url(), "2"))).await;
    let mut sender = Sender::new(&gateway);
    // By way of a file.
    let body = event_of_bytes("evt_1", "order.paid", 3 << 20);
    let sent = async { sender.send(&body).await.status };
    let served = async {
        let mut first = Frames::accepted(app.accept().await.into_stream()).await;
        first.until(DATA).await;
        first.write(&goaway(0, 0)).await;
        let mut second = Frames::accepted(app.accept().await.into_stream()).await;
        let (_, _, stream, _) = second.until(HEADERS).await;
        for of in [0, stream] {
            second.write(&frame(WINDOW_UPDATE, 0, of, &(4_u32 << 20).to_be_bytes())).await;
        }
        let mut came = Vec::new();
        loop {
            let (_, flags, _, part) = second.until(DATA).await;
            came.extend(part);
            if flags & END_STREAM != 0 {
                break;
            }
        }
        answer(&mut second, stream).await;
        came
    };
    let (status, came) = tokio::join!(sent, served);
    assert_eq!((status, came == body), (204, true));
}
