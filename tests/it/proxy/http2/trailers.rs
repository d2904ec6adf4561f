//! Trailers of requests (RFC 9113 section 8.1, RFC 9110 section 6.5): from senders of either version to an app of HTTP/2, and
//! not to one of HTTP/1.1, which gets a length instead.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::super::app::Talk;
use super::super::{App as RawApp, signed, to_app};
use super::app::{App, Asked};
use super::{spoken_to, start};
use crate::support::{Gateway, SECRET, Sender, event, event_of_bytes, sha256, sign};

/// A body that is not held in memory.
const LARGE_BYTES: usize = 3 << 20;

/// What a sender says behind its body: only the first two are trailers for everybody.
const SAID: [(&str, &str); 9] = [
    ("x-sum", "42"),
    ("x-sum", "43"),
    ("x-appmint-signature", "sha256=00"),
    ("authorization", "Bearer x"),
    ("content-type", "text/plain"),
    ("forwarded", "for=203.0.113.9"),
    ("hookward-event-id", "evt_forged"),
    ("if-match", "x"),
    ("x-hop", "1"),
];

fn said() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for (name, value) in SAID {
        trailers.append(name, HeaderValue::from_static(value));
    }
    trailers
}

/// A sender of HTTP/2, and the task that moves its frames.
async fn sender_of_http2(gateway: &Gateway) -> (SendRequest<Bytes>, JoinSet<()>) {
    let stream = TcpStream::connect(gateway.ingress()).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    (requests, tasks)
}

/// Sends a signed request over HTTP/2 with trailers, as fast as the gateway takes it; the status.
async fn send(requests: &mut SendRequest<Bytes>, body: Bytes) -> u16 {
    let request = Request::post("http://shop.example/in")
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .header("x-appmint-signature", sign(SECRET, &body))
        .body(())
        .unwrap();
    let (response, mut stream) = requests.send_request(request, false).unwrap();
    let mut left = body;
    while !left.is_empty() {
        stream.reserve_capacity(left.len());
        let capacity = std::future::poll_fn(|context| stream.poll_capacity(context)).await.unwrap().unwrap();
        stream.send_data(left.split_to(capacity.min(left.len())), false).unwrap();
    }
    stream.send_trailers(said()).unwrap();
    response.await.unwrap().status().as_u16()
}

/// Looks at what has come: fields, body, and behind it the trailers that may go on.
#[track_caller]
fn check(length: &HeaderValue, body: &[u8], expected: &[u8], trailers: Option<&HeaderMap>, may: &[&str]) {
    assert_eq!(length, &expected.len().to_string());
    assert_eq!(sha256(body), sha256(expected));
    let mut came: Vec<String> = trailers
        .map(|trailers| trailers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect())
        .unwrap_or_default();
    came.sort_unstable();
    assert_eq!(came, may);
}

const GOES_ON: [&str; 3] = ["x-hop: 1", "x-sum: 42", "x-sum: 43"];

/// Reads a request to its end and checks it; then the app can answer.
async fn read(asked: &mut Asked, expected: &[u8], may: &[&str]) {
    assert!(asked.headers().get("x-sum").is_none(), "a trailer is no field");
    let length = asked.headers()["content-length"].clone();
    let body = asked.body().await;
    let trailers = asked.request.body_mut().trailers().await.unwrap();
    check(&length, &body, expected, trailers.as_ref(), may);
}

#[tokio::test]
async fn rfc9110_6_5_trailers_of_a_chunked_request_go_on() {
    let mut app = App::listen(100).await;
    let gateway = Gateway::start(&format!("{}    body_bytes_max: 25MiB\n", spoken_to(&app.url(), "2"))).await;
    let sender = Sender::new(&gateway);
    for body in [event("evt_small", "order.paid"), event_of_bytes("evt_large", "order.paid", LARGE_BYTES)] {
        let request: Request<()> = sender.request(&body).body(()).unwrap();
        let mut head = "POST /in HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: x-hop\r\n".to_owned();
        for (name, value) in request.headers() {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        let mut talk = Talk::to(gateway.ingress()).await;
        talk.say(format!("{head}\r\n{:x}\r\n", body.len())).await;
        talk.say(&body).await;
        let trailers: String = SAID.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        talk.say(format!("\r\n0\r\n{trailers}\r\n")).await;
        let mut asked = app.asked().await;
        // What the sender calls a field of its connection goes no further.
        read(&mut asked, &body, &GOES_ON[1..]).await;
        asked.answer("OK");
        assert_eq!(talk.message().await.body, b"OK");
    }
}

/// A request over HTTP/2 goes on with these trailers.
async fn goes_on(app: &mut App, requests: &mut SendRequest<Bytes>, body: &Bytes, may: &[&str]) {
    let (status, ()) = tokio::join!(send(requests, body.clone()), taken(app, body, may));
    assert_eq!(status, 200);
}

/// The app takes the next request.
async fn taken(app: &mut App, body: &[u8], may: &[&str]) {
    let mut asked = app.asked().await;
    read(&mut asked, body, may).await;
    asked.answer("OK");
}

#[tokio::test]
async fn rfc9113_8_1_trailers_of_a_request_over_http_2_go_on() {
    let mut app = App::listen(100).await;
    let config = format!("{}    body_bytes_max: 25MiB\n", spoken_to(&app.url(), "2"));
    let gateway = Gateway::start(&config).await;
    let (mut requests, _tasks) = sender_of_http2(&gateway).await;
    // In memory, and by way of a file.
    for body in [event("evt_small", "order.paid"), event_of_bytes("evt_large", "order.paid", LARGE_BYTES)] {
        goes_on(&mut app, &mut requests, &body, &GOES_ON).await;
    }
}

#[tokio::test]
async fn trailers_go_on_behind_a_body_that_is_handed_on_as_it_comes() {
    let mut app = App::listen(100).await;
    let config = format!(
        "sources: {{ open: {{ path: /in, mode: proxy, app: {{ url: \"{}\", http: 2 }}, dedup: off, \
         body_bytes_max: 25MiB, verify: {{ scheme: none }} }} }}\n",
        app.url()
    );
    let gateway = Gateway::start(&config).await;
    let (mut requests, _tasks) = sender_of_http2(&gateway).await;
    let body = event_of_bytes("evt_1", "order.paid", LARGE_BYTES);
    // Nobody signs here: it is a field like any other.
    let may = [&["x-appmint-signature: sha256=00"][..], &GOES_ON].concat();
    goes_on(&mut app, &mut requests, &body, &may).await;
}

#[tokio::test]
async fn trailers_go_out_again_with_a_request_that_the_app_did_not_take() {
    let (mut app, gateway, _) = start(100).await;
    let (mut requests, _tasks) = sender_of_http2(&gateway).await;
    let body = event("evt_1", "order.paid");
    let second = async {
        app.asked().await.reset(h2::Reason::REFUSED_STREAM);
        taken(&mut app, &body, &GOES_ON).await;
    };
    let (status, ()) = tokio::join!(send(&mut requests, body.clone()), second);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn rfc9112_7_1_2_an_app_of_http_1_gets_a_length_and_no_trailers() {
    let app = RawApp::listen().await;
    let gateway = Gateway::start(&to_app(&app.url())).await;
    let (mut requests, _tasks) = sender_of_http2(&gateway).await;
    let body = event("evt_1", "order.paid");
    let answered = async {
        let mut passed = app.accept().await;
        let seen = passed.message().await;
        passed.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK").await;
        (passed, seen)
    };
    let (status, (mut passed, seen)) = tokio::join!(send(&mut requests, body.clone()), answered);
    assert_eq!(status, 200);
    // What stands behind the body is the next request and nothing else.
    let mut talk = Talk::to(gateway.ingress()).await;
    talk.say(signed(&Sender::new(&gateway), "evt_2", "")).await;
    assert_eq!(passed.message().await.head[0], "POST /in HTTP/1.1");
    let length = HeaderValue::from_str(seen.field("content-length").unwrap()).unwrap();
    check(&length, &seen.body, &body, None, &[]);
    let absent = ["x-sum", "trailer", "transfer-encoding"];
    assert_eq!(absent.map(|name| seen.field(name)), [None; 3]);
}
