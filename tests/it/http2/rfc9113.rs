//! RFC 9113, section by section, and the limits that HTTP/1.1 has too: what is malformed never reaches a service.

use std::time::Duration;

use hookward::ingress::Config;
use hookward::telemetry::Protocol;

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, PREFACE, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, block, field_block, frame, post,
};
use crate::ingress::gate::{Gate, short};
use crate::support::eventually;

const PROTOCOL_ERROR: u32 = 1;

/// Sends a request on a connection of its own and gives what becomes of it, and what the ingress says about it.
async fn outcome(fields: &[(&str, &str)], body: Option<&[u8]>) -> (Outcome, Vec<&'static str>) {
    let gate = Gate::open(short()).await;
    let mut frames = Frames::open(gate.address).await;
    frames.request(1, fields, body).await;
    let outcome = frames.outcome(1).await;
    (outcome, gate.refusals())
}

async fn check(fields: &[(&str, &str)], body: Option<&[u8]>, expected: Outcome) {
    let (mut outcome, refusals) = outcome(fields, body).await;
    // RFC 9113 section 5.4.2: an error of a stream may be treated as one of the connection.
    if outcome == Outcome::GoAway(PROTOCOL_ERROR) {
        outcome = Outcome::Reset(PROTOCOL_ERROR);
    }
    assert_eq!(outcome, expected, "{fields:?}");
    let refused_by_us = matches!(outcome, Outcome::Status(200)) != matches!(&*refusals, [_, ..]);
    assert!(refused_by_us, "{fields:?}: each refusal is in the ledger, and nothing else: {refusals:?}");
}

/// As [`check`], for what a service behind the ingress refuses.
async fn answered(fields: &[(&str, &str)], body: Option<&[u8]>, status: u16) {
    assert_eq!(outcome(fields, body).await.0, Outcome::Status(status), "{fields:?}");
}

#[tokio::test]
async fn section_3_prior_knowledge_is_understood_however_the_preface_comes() {
    let gate = Gate::open(Config { header_timeout: Duration::from_secs(5), ..short() }).await;
    let bytes = [
        PREFACE,
        &frame(SETTINGS, 0, 0, b""),
        &frame(HEADERS, END_HEADERS, 1, &block(&post("/hook", &[]))),
        &frame(DATA, END_STREAM, 1, b"body"),
    ]
    .concat();
    for size in [1, 5, 23, 24, 25, bytes.len()] {
        let mut frames = Frames::open_silent(gate.address).await;
        frames.stream.set_nodelay(true).unwrap();
        for piece in bytes.chunks(size) {
            frames.write(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(frames.outcome(1).await, Outcome::Status(200), "{size}");
        let (kind, _, _, body) = frames.next().await.unwrap();
        assert_eq!((kind, &*body), (DATA, &b"127.0.0.1 4"[..]));
    }
    assert_eq!(gate.metrics.protocols.get(Protocol::Http2, None), 6);
    assert_eq!(gate.metrics.protocols.get(Protocol::Http1, None), 0);
}

#[tokio::test]
async fn what_only_begins_like_the_preface_is_http_1() {
    for bytes in ["PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "PRI * HTTP/2.0\r\nHost: test\r\n\r\n", "PRI * HTTP/1.1\r\n\r\n"]
    {
        let gate = Gate::open(short()).await;
        let answer = gate.send(bytes).await;
        assert_eq!((answer.status, answer.code()), (400, "malformed_request"), "{bytes}");
    }
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write("PRI * HT").await;
    assert_eq!(peer.answer().await.status, 408);
    let mut peer = gate.connect().await;
    peer.write("P").await;
    tokio::task::yield_now().await;
    peer.write("OST /hook HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(peer.answer().await.body, "127.0.0.1 1");
}

#[tokio::test]
async fn section_8_2_names_and_values_have_their_bytes() {
    for (name, value) in [
        ("X-Upper", "x"),
        ("x-Upper", "x"),
        ("x y", "x"),
        ("x\0", "x"),
        ("x\r\ny", "x"),
        ("x:y", "x"),
        ("", "x"),
        ("x", "a\r\nb: c"),
        ("x", "a\nb"),
        ("x", "a\0b"),
    ] {
        check(&post("/hook", &[(name, value)]), None, Outcome::Reset(PROTOCOL_ERROR)).await;
    }
    check(&post("/hook", &[("x-lower", "x y\tz")]), None, Outcome::Status(200)).await;
}

#[tokio::test]
async fn section_8_2_2_connection_specific_fields_are_malformed() {
    for (name, value) in [
        ("connection", "close"),
        ("connection", "x-mine"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        check(&post("/hook", &[(name, value)]), None, Outcome::Reset(PROTOCOL_ERROR)).await;
    }
    check(&post("/hook", &[("te", "trailers")]), None, Outcome::Status(200)).await;
}

#[tokio::test]
async fn section_8_3_pseudo_headers_are_those_of_a_request_each_once_and_first() {
    let (method, scheme, authority, path) =
        ((":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/hook"));
    for fields in [
        &[scheme, authority, path][..],
        &[method, authority, path],
        &[method, scheme, authority],
        &[method, scheme, authority, (":path", "")],
        &[method, method, scheme, authority, path],
        &[method, scheme, scheme, authority, path],
        &[method, scheme, authority, path, path],
        &[method, scheme, authority, authority, path],
        &[method, scheme, authority, path, (":status", "200")],
        &[method, scheme, authority, path, (":unknown", "x")],
        &[method, scheme, authority, ("x-first", "x"), path],
        &[("x-first", "x"), method, scheme, authority, path],
    ] {
        check(fields, None, Outcome::Reset(PROTOCOL_ERROR)).await;
    }
}

#[tokio::test]
async fn section_8_3_1_authority_and_host_say_one_thing() {
    let (method, scheme, path) = ((":method", "POST"), (":scheme", "http"), (":path", "/hook"));
    let authority = |name| (":authority", name);
    for (fields, status) in [
        (&[method, scheme, path, authority("test"), ("host", "test")][..], 200),
        (&[method, scheme, path, authority("test"), ("host", "TEST")], 200),
        (&[method, scheme, path, ("host", "test")], 200),
        (&[method, scheme, path, authority("test:80")], 200),
        (&[method, scheme, path, authority("test"), ("host", "other")], 400),
        (&[method, scheme, path, authority("test"), ("host", "test:81")], 400),
        (&[method, scheme, path, authority("test"), ("host", "test"), ("host", "test")], 400),
        (&[method, scheme, path, ("host", "test"), ("host", "other")], 400),
        (&[method, scheme, path, ("host", "a b")], 400),
        (&[method, scheme, path], 400),
        (&[method, (":scheme", "ftp"), path, authority("test")], 400),
        (&[method, scheme, (":path", "*"), authority("test")], 400),
    ] {
        check(fields, None, Outcome::Status(status)).await;
    }
    // User information: h2 or we, but nobody lets it through.
    let (outcome, _) = outcome(&[method, scheme, path, authority("user@test")], None).await;
    assert!(matches!(outcome, Outcome::Status(400) | Outcome::Reset(PROTOCOL_ERROR)), "{outcome:?}");
}

#[tokio::test]
async fn section_8_1_1_content_length_is_the_sum_of_the_data() {
    let body = Some(&b"four"[..]);
    for (length, body, expected) in [
        ("4", body, Outcome::Status(200)),
        ("5", body, Outcome::Reset(PROTOCOL_ERROR)),
        ("3", body, Outcome::Reset(PROTOCOL_ERROR)),
        ("0", body, Outcome::Reset(PROTOCOL_ERROR)),
        ("4", None, Outcome::Reset(PROTOCOL_ERROR)),
        ("4, 4", body, Outcome::Reset(PROTOCOL_ERROR)),
        ("x", body, Outcome::Reset(PROTOCOL_ERROR)),
    ] {
        check(&post("/hook", &[("content-length", length)]), body, expected).await;
    }
}

#[tokio::test]
async fn section_8_1_trailers_end_a_request_and_change_nothing_of_it() {
    // Pseudo-headers among them are dropped by h2 and reach nobody.
    for trailer in [("x-sum", "1"), (":path", "/nowhere"), ("x-forwarded-for", "203.0.113.7")] {
        let gate = Gate::open(short()).await;
        let mut frames = Frames::open(gate.address).await;
        let bytes = [
            frame(HEADERS, END_HEADERS, 1, &block(&post("/hook", &[]))),
            frame(DATA, 0, 1, b"four"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[trailer])),
        ];
        frames.write(&bytes.concat()).await;
        assert_eq!(frames.outcome(1).await, Outcome::Status(200));
        let (kind, _, _, body) = frames.next().await.unwrap();
        assert_eq!((kind, &*body), (DATA, &b"127.0.0.1 4"[..]));
    }
}

#[tokio::test]
async fn section_8_5_connect_makes_no_tunnel() {
    let (outcome, _) = outcome(&[(":method", "CONNECT"), (":authority", "test:443")], None).await;
    assert_eq!(outcome, Outcome::Status(405));
}

#[tokio::test]
async fn sections_4_to_6_broken_frames_end_the_connection_with_their_error() {
    for (bytes, code) in [
        // DATA, HEADERS, CONTINUATION, PRIORITY on stream 0; SETTINGS and PING on another.
        (frame(DATA, 0, 0, b"x"), 1),
        (frame(HEADERS, END_HEADERS, 0, &block(&post("/hook", &[]))), 1),
        (frame(CONTINUATION, END_HEADERS, 1, b""), 1),
        (frame(SETTINGS, 0, 1, b""), 1),
        (frame(6, 0, 1, &[0; 8]), 1),
        // Sizes that are none: SETTINGS, PING, RST_STREAM, WINDOW_UPDATE, and a frame above SETTINGS_MAX_FRAME_SIZE.
        (frame(SETTINGS, 0, 0, b"12345"), 6),
        (frame(SETTINGS, ACK, 0, b"123456"), 6),
        (frame(PRIORITY, 0, 1, &[0; 4]), 6),
        (frame(RST_STREAM, 0, 1, &[0; 5]), 6),
        (frame(GOAWAY, 0, 0, &[0; 7]), 6),
        (frame(6, 0, 0, &[0; 7]), 6),
        (frame(WINDOW_UPDATE, 0, 0, &[0; 3]), 6),
        (frame(DATA, 0, 1, &vec![0; (16 << 10) + 1]), 6),
        // Section 6.9: a window that grows by nothing, or beyond what there can be.
        (frame(WINDOW_UPDATE, 0, 0, &[0; 4]), 1),
        (frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()), 3),
        // Section 5.1.1: an even stream, and DATA on a stream that was never opened.
        (frame(HEADERS, END_HEADERS, 2, &block(&post("/hook", &[]))), 1),
        (frame(DATA, 0, 5, b"x"), 1),
        // RFC 7541: an index that is in no table. COMPRESSION_ERROR by section 4.3; that the block cannot be decoded
        // knows h2 alone, and it says PROTOCOL_ERROR.
        (frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0x03]), 1),
    ] {
        let gate = Gate::open(short()).await;
        let mut frames = Frames::open(gate.address).await;
        frames.write(&bytes).await;
        let told = frames.end().await;
        assert_eq!(told, Some(code), "{:02x?}", &bytes[..bytes.len().min(16)]);
        assert_eq!(gate.refusals(), ["malformed_request"], "{:02x?}", &bytes[..bytes.len().min(16)]);
        assert_eq!(gate.metrics.http2_violations.get("connection_error"), 1);
    }
}

#[tokio::test]
async fn section_10_5_1_a_header_list_above_the_limit_is_431() {
    // Within twice the limit the answer is ours, beyond it h2's own, and far beyond it the connection ends. The ledger has
    // all of them.
    let too_large = (Outcome::Status(431), "headers_too_large");
    for (bytes, (outcome, reason)) in
        [(70 << 10, too_large.clone()), (135 << 10, too_large), (200 << 10, (Outcome::GoAway(11), "malformed_request"))]
    {
        for flags in [0, END_STREAM] {
            let gate = Gate::open(short()).await;
            let mut frames = Frames::open(gate.address).await;
            let large = "x".repeat(bytes);
            let fields = post("/hook", &[("x-large", &large)]);
            frames.write(&field_block(1, flags, &block(&fields))).await;
            assert_eq!(frames.outcome(1).await, outcome, "{bytes} {flags}");
            frames.write(&field_block(3, flags, &block(&fields))).await;
            let expected = if reason == "headers_too_large" { 2 } else { 1 };
            let entries = async || (gate.refusals() == vec![reason; expected]).then_some(());
            eventually(&format!("{bytes} {flags}: entries"), entries).await;
        }
    }
}

#[tokio::test]
async fn s01_a_connection_that_asks_for_nothing_in_time_is_ended() {
    for bytes in [
        [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat(),
        // Fields that do not end, and a frame that does not.
        [PREFACE, &frame(SETTINGS, 0, 0, b""), &frame(HEADERS, 0, 1, &block(&post("/hook", &[])))].concat(),
        [PREFACE, &frame(SETTINGS, 0, 0, b""), &[0, 0, 99, HEADERS, END_HEADERS, 0, 0, 0, 1, 0]].concat(),
    ] {
        let gate = Gate::open(short()).await;
        let mut frames = Frames::open_silent(gate.address).await;
        frames.mute();
        frames.write(&bytes).await;
        assert_eq!(frames.end().await, Some(0), "a goodbye, and no complaint");
        assert_eq!(gate.metrics.responses.like(http::StatusCode::OK), 0);
    }
}

#[tokio::test]
async fn s01_a_body_that_stops_is_408_and_a_service_without_an_answer_503() {
    let gate = Gate::open(short()).await;
    let mut frames = Frames::open(gate.address).await;
    frames.write(&frame(HEADERS, END_HEADERS, 1, &block(&post("/hook", &[])))).await;
    frames.write(&frame(DATA, 0, 1, b"half")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(408));
    let mut frames = Frames::open(gate.address).await;
    frames.request(1, &post("/never", &[]), Some(b"x")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(503));
    assert_eq!(gate.refusals(), ["request_timeout"]);
    assert_eq!(gate.budget.used(), 0);
}

#[tokio::test]
async fn section_6_8_a_connection_that_drains_is_told_to_go_and_finishes_what_is_in_flight() {
    let mut gate = Gate::open(short()).await;
    let mut frames = Frames::open(gate.address).await;
    frames.request(1, &post("/slow", &[]), Some(b"x")).await;
    gate.slow_begun.notified().await;
    gate.shut_down();
    loop {
        let (kind, _, _, payload) = frames.next().await.expect("a goodbye");
        if kind == GOAWAY {
            assert_eq!(payload[4..8], [0; 4], "no error");
            break;
        }
    }
    gate.release.notify_one();
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    frames.end().await;
    gate.ended().await;
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go_after_its_time() {
    let gate = Gate::open(short()).await;
    let mut frames = Frames::open(gate.address).await;
    frames.request(1, &post("/hook", &[]), Some(b"x")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    assert_eq!(frames.end().await, Some(0));
    assert!(gate.refusals().is_empty());
}

#[tokio::test]
async fn the_answers_are_those_of_http_1() {
    answered(&post("/hook", &[]), Some(b"x"), 200).await;
    answered(&post("/nowhere", &[]), Some(b"x"), 404).await;
    answered(&post("/%00", &[]), Some(b"x"), 400).await;
    answered(&[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hook")], None, 405).await;
    let gate = Gate::open(short()).await;
    let mut frames = Frames::open(gate.address).await;
    let fields = post("/hook", &[("content-length", "100001")]);
    frames.write(&frame(HEADERS, END_HEADERS, 1, &block(&fields))).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(413));
    check(&post(&format!("/hook?{}", "q".repeat(9000)), &[]), None, Outcome::Status(414)).await;
}
