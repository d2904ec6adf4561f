//! S05 and RFC 9112: what two parsers could read in two ways is 400 and the end of the connection. Behind each
//! ambiguous request stands another one, which must never be answered.

use super::gate::short;
use super::{Gate, request};

const SMUGGLED: &str = "POST /hook HTTP/1.1\r\nHost: smuggled\r\nContent-Length: 0\r\n\r\n";

/// The head of the request under test, its lines joined with CRLF, and its body.
#[track_caller]
fn post(fields: &[&str], body: &str) -> String {
    format!("POST /hook HTTP/1.1\r\nHost: test\r\n{}\r\n\r\n{body}{SMUGGLED}", fields.join("\r\n"))
}

async fn check(gate: &Gate, bytes: impl AsRef<[u8]>) {
    refused(gate, bytes, (400, "malformed_request")).await;
}

async fn refused(gate: &Gate, bytes: impl AsRef<[u8]>, (status, code): (u16, &str)) {
    let bytes = bytes.as_ref();
    let shown = String::from_utf8_lossy(bytes);
    // In one piece, and in pieces that cut every line.
    for piece in [bytes.len(), 7] {
        let mut peer = gate.connect().await;
        for piece in bytes.chunks(piece) {
            // The answer may come before the last piece is written.
            drop(peer.stream.try_write(piece));
            tokio::task::yield_now().await;
        }
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.code(), answer.closes()), (status, code, true), "{shown}");
        peer.closed().await;
    }
}

#[tokio::test]
async fn rfc9112_6_3_a_body_with_two_lengths_is_refused() {
    let gate = Gate::open(short()).await;
    let chunked = "3\r\nabc\r\n0\r\n\r\n";
    for (fields, body) in [
        // CL.TE and TE.CL
        (&["Content-Length: 3", "Transfer-Encoding: chunked"][..], chunked),
        (&["Transfer-Encoding: chunked", "Content-Length: 3"], chunked),
        (&["Transfer-Encoding: chunked", "X: y", "content-LENGTH: 13"], chunked),
        (&["Content-Length: 0", "Transfer-Encoding: chunked"], chunked),
        // CL.CL
        (&["Content-Length: 3", "Content-Length: 4"], "abcd"),
        (&["Content-Length: 3", "Content-Length: 3"], "abc"),
        (&["Content-Length: 0", "Content-Length: 44"], ""),
        (&["Content-Length: 3, 3"], "abc"),
        (&["Content-Length: 3,4"], "abc"),
    ] {
        check(&gate, post(fields, body)).await;
    }
}

#[tokio::test]
async fn rfc9112_6_1_a_transfer_coding_that_we_do_not_know_is_501() {
    let gate = Gate::open(short()).await;
    for coding in [
        "Transfer-Encoding: gzip",
        "transfer-encoding:deflate\t",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
    ] {
        refused(&gate, post(&[coding], "0\r\n\r\n"), (501, "transfer_coding_unknown")).await;
    }
}

#[tokio::test]
async fn rfc9112_6_3_chunked_that_is_not_the_last_coding_or_cannot_be_read_is_refused() {
    let gate = Gate::open(short()).await;
    for coding in [
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: gzip chunked",
        "Transfer-Encoding:",
    ] {
        check(&gate, post(&[coding], "0\r\n\r\n")).await;
    }
    check(&gate, format!("POST /hook HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}")).await;
}

#[tokio::test]
async fn rfc9112_6_3_a_content_length_that_is_no_number_is_refused() {
    let gate = Gate::open(short()).await;
    for length in ["", "x", "-1", "+3", "3 3", "0x3", "3.0", "3;", "1e1", "\"3\"", "٣"] {
        check(&gate, post(&[&format!("Content-Length: {length}")], "abc")).await;
    }
}

#[tokio::test]
async fn rfc9112_5_fields_that_can_be_read_in_two_ways_are_refused() {
    let gate = Gate::open(short()).await;
    for field in [
        "Content_Length: 3",
        "contentlength: 3",
        "Transfer_Encoding: chunked",
        "Transfer--_Encoding: chunked",
        "Content-Length : 3",
        "Content-Length\t: 3",
        "Content-Length: 3\r\nX: a\r\n folded",
        "Content-Length: 3\r\nX: a\r\n\tfolded",
        "Content-Length: 3\r\nTransfer-Encoding:\r\n chunked",
        " X: leading space",
        "Content-Length: 3\r\nno colon",
        "Content-Length: 3\r\n: no name",
        "Content-Length: 3\r\nX: nul \0 inside",
        "Content-Length: 3\r\nX: bare \r cr",
        "Content-Length: 3\r\nX\0: y",
        "Content-Length: 3\r\nX y: z",
        "Content-Length: 3\r\nX: y\nTransfer-Encoding: chunked",
        "Content-Length: 3\nX: y",
    ] {
        check(&gate, post(&[field], "abc")).await;
    }
}

#[tokio::test]
async fn rfc9112_2_and_3_request_lines_that_can_be_read_in_two_ways_are_refused() {
    let gate = Gate::open(short()).await;
    for line in [
        "POST /hook HTTP/1.1\n",
        "POST  /hook HTTP/1.1\r\n",
        "POST /hook  HTTP/1.1\r\n",
        "POST\t/hook HTTP/1.1\r\n",
        " POST /hook HTTP/1.1\r\n",
        "POST /hook\r\n",
        "POST /hook HTTP/1.1 \r\n",
        "POST /hook HTTP/2.0\r\n",
        "POST /hook HTTP/1.2\r\n",
        "POST /hook http/1.1\r\n",
        "POST /ho ok HTTP/1.1\r\n",
        "POST /hook\0 HTTP/1.1\r\n",
        "PO(ST /hook HTTP/1.1\r\n",
    ] {
        check(&gate, format!("{line}Host: test\r\nContent-Length: 0\r\n\r\n{SMUGGLED}")).await;
    }
}

#[tokio::test]
async fn rfc9112_7_1_broken_chunks_are_refused() {
    let gate = Gate::open(short()).await;
    for body in [
        "x\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3;ext\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3 \rabc\r\n0\r\n\r\n",
    ] {
        let mut peer = gate.connect().await;
        peer.write(post(&["Transfer-Encoding: chunked"], body)).await;
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.closes()), (400, true), "{body:?} {}", answer.body);
        peer.closed().await;
    }
}

#[tokio::test]
async fn rfc9112_7_1_a_bare_lf_after_the_last_chunk_ends_the_connection_at_the_latest() {
    let gate = Gate::open(short()).await;
    for body in ["0\n\r\n", "0\r\n\n", "0\r\nX: y\n\r\n"] {
        let mut peer = gate.connect().await;
        peer.write(post(&["Transfer-Encoding: chunked"], body)).await;
        let mut statuses = Vec::new();
        while let Some(answer) = peer.try_answer().await {
            statuses.push(answer.status);
        }
        assert!(!matches!(statuses[..], [200, 200, ..]), "{body:?} {statuses:?}");
    }
}

#[tokio::test]
async fn s05_a_body_that_looks_like_a_request_is_a_body() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write(request("/hook", SMUGGLED)).await;
    assert_eq!(peer.answer().await.body, format!("127.0.0.1 {}", SMUGGLED.len()));
    peer.write(request("/nowhere", SMUGGLED)).await;
    assert_eq!(peer.answer().await.status, 404);
    peer.write(request("/hook", "x")).await;
    assert_eq!(peer.answer().await.body, "127.0.0.1 1");
}

#[tokio::test]
async fn rfc9110_7_8_an_upgrade_that_nobody_asked_for_is_ignored() {
    let gate = Gate::open(short()).await;
    let mut peer = gate.connect().await;
    peer.write(
        "POST /hook HTTP/1.1\r\nHost: test\r\nConnection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: 1\r\n\r\nx",
    )
    .await;
    assert_eq!(peer.answer().await.body, "127.0.0.1 1");
    peer.write(request("/hook", "xx")).await;
    assert_eq!(peer.answer().await.body, "127.0.0.1 2");
}
