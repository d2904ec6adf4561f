//! S06: the known floods. Each leaves genuine senders served and the memory flat, and ends its own connection.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, post,
};
use crate::support::{Client, Gateway};

/// What memory may grow by while a flood of 64 MiB goes on.
const GROWTH_BYTES_MAX: u64 = 24 << 20;

/// What an attacker sends at the most.
const FLOOD_BYTES_MAX: usize = 64 << 20;

const CONFIG: &str = "ingress: { listen: \"@INGRESS@\", header_timeout: 2s, request_timeout: 2s }\n\
                      sources: { a: { path: /in, dedup: off, verify: { scheme: none } } }\n";

async fn genuine(gateway: &Gateway) {
    let request = http::Request::post("/in").body(Full::new(Bytes::from("{}"))).unwrap();
    let reply = Client::new(gateway.ingress()).send(request).await.expect("a genuine sender is served");
    assert_eq!(reply.status, 200);
}

/// Sends `flood` (told how often it was asked) until the other side closes; whether it did.
async fn until_closed(
    address: SocketAddr,
    first: Vec<u8>,
    mut flood: impl FnMut(u32) -> Vec<u8> + Send + 'static,
) -> bool {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    // Read, or our own pongs and acknowledgements would be what ends it.
    let reading = tokio::spawn(async move {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(1..) = reader.read(&mut bytes).await {}
    });
    let mut sent = 0;
    let mut closed = writer.write_all(&first).await.is_err();
    for round in 0.. {
        if closed || sent > FLOOD_BYTES_MAX || reading.is_finished() {
            break;
        }
        let bytes = flood(round);
        sent += bytes.len();
        closed = writer.write_all(&bytes).await.is_err();
    }
    closed |= reading.is_finished();
    reading.abort();
    closed
}

fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()
}

/// Many of one thing at a time, so that the attacker is no slower than the gateway.
fn many(one: impl Fn(u32) -> Vec<u8>, round: u32) -> Vec<u8> {
    (0..500).flat_map(|number| one(round * 500 + number)).collect()
}

/// Told how often it was asked, what to send.
type Flood = Box<dyn FnMut(u32) -> Vec<u8> + Send>;

/// The same for each stream of a client, one after the other.
fn each_stream(one: impl Fn(u32) -> [Vec<u8>; 2] + Send + 'static) -> Flood {
    Box::new(move |round| many(|number| one((number * 2 + 1) & 0x7fff_ffff).concat(), round))
}

/// A name, what comes first, and what then comes again and again.
fn floods() -> Vec<(&'static str, Vec<u8>, Flood)> {
    let fields = block(&post("/in", &[]));
    let wrong_length = block(&post("/in", &[("content-length", "1")]));
    let open = [hello(), frame(HEADERS, END_HEADERS, 1, &fields)].concat();
    let unfinished = [hello(), frame(HEADERS, 0, 1, &fields)].concat();
    let begin = move |stream, flags| frame(HEADERS, END_HEADERS | flags, stream, &fields);
    let begin_and_reset = begin.clone();
    vec![
        (
            "rapid reset",
            hello(),
            each_stream(move |stream| {
                [begin_and_reset(stream, END_STREAM), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
            }),
        ),
        // CVE-2025-8671: what makes us reset the stream. A length that is wrong, a window that overflows.
        (
            "MadeYouReset by data",
            hello(),
            each_stream(move |stream| {
                [frame(HEADERS, END_HEADERS, stream, &wrong_length), frame(DATA, END_STREAM, stream, b"four")]
            }),
        ),
        (
            "MadeYouReset by windows",
            hello(),
            each_stream(move |stream| {
                [begin(stream, 0), frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes())]
            }),
        ),
        (
            "CONTINUATION",
            unfinished.clone(),
            Box::new(|round| {
                many(|_| frame(CONTINUATION, 0, 1, &block(&[("x", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")])), round)
            }),
        ),
        ("empty CONTINUATION", unfinished, Box::new(|round| many(|_| frame(CONTINUATION, 0, 1, b""), round))),
        ("SETTINGS", hello(), Box::new(|round| many(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]), round))),
        ("PING", hello(), Box::new(|round| many(|_| frame(PING, 0, 0, &[7; 8]), round))),
        ("PRIORITY", hello(), Box::new(|round| many(|number| frame(2, 0, number * 2 + 1, &[0, 0, 0, 0, 9]), round))),
        ("empty DATA", open, Box::new(|round| many(|_| frame(DATA, 0, 1, b""), round))),
        ("unknown frames", hello(), Box::new(|round| many(|_| frame(0xbe, 0, 0, b"x"), round))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_floods_end_their_connection_and_keep_the_memory_flat() {
    let gateway = Gateway::start(CONFIG).await;
    genuine(&gateway).await;
    for (name, first, flood) in floods() {
        let before = gateway.rss_bytes();
        // Others are served while it goes on, and when it is over.
        let mut flooding = std::pin::pin!(until_closed(gateway.ingress(), first, flood));
        let closed = loop {
            tokio::select! {
                closed = &mut flooding => break closed,
                () = genuine(&gateway) => {}
            }
        };
        assert!(closed, "{name}: the connection is closed");
        genuine(&gateway).await;
        let growth = gateway.rss_bytes().saturating_sub(before);
        assert!(growth < GROWTH_BYTES_MAX, "{name}: memory grew by {growth} bytes");
    }
    let violations = gateway.metrics().await.sum("hookward_http2_violations_total", &[("reason", "flood")]);
    assert!(violations >= 6.0, "{violations} floods counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_a_header_bomb_is_refused_and_keeps_the_memory_flat() {
    let gateway = Gateway::start(CONFIG).await;
    genuine(&gateway).await;
    let before = gateway.rss_bytes();
    // RFC 7541 section 6.2.1: a field of 4000 bytes that is remembered, and 16,000 references to it: 64 MB decoded.
    let value = "b".repeat(3900);
    let mut bomb = block(&post("/in", &[]));
    let mut literal = block(&[("bomb", &value)]);
    literal[0] = 0x40;
    bomb.extend(literal);
    bomb.extend(vec![0x80 | 62; (16 << 10) - bomb.len()]);
    for _ in 0..20 {
        let mut frames = Frames::open(gateway.ingress()).await;
        frames.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await;
        let outcome = frames.outcome(1).await;
        assert!(!matches!(outcome, Outcome::Status(200)), "{outcome:?}");
    }
    genuine(&gateway).await;
    let growth = gateway.rss_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "memory grew by {growth} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_a_sender_that_never_opens_the_window_loses_its_streams_and_keeps_the_memory_flat() {
    let gateway = Gateway::start(CONFIG).await;
    genuine(&gateway).await;
    let before = gateway.rss_bytes();
    let mut all = Vec::new();
    for _ in 0..10 {
        let mut frames = Frames::open_silent(gateway.ingress()).await;
        // SETTINGS_INITIAL_WINDOW_SIZE 0: no byte of an answer's body can be sent.
        frames.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()).await;
        for stream in 0..100 {
            frames.request(stream * 2 + 1, &post("/in", &[]), Some(b"{}")).await;
        }
        all.push(frames);
    }
    genuine(&gateway).await;
    for mut frames in all {
        let mut resets = 0;
        while resets < 100 {
            let (kind, ..) = frames.next().await.expect("a reset of each stream");
            resets += u32::from(kind == RST_STREAM);
        }
    }
    genuine(&gateway).await;
    let growth = gateway.rss_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "memory grew by {growth} bytes");
}
