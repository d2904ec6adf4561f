//! Answers good and bad, handed over whole and cut at every place.

use proptest::prelude::*;

use super::{Answer, Fault, Reader, Step};

/// What a connection would make of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    answer: Answer,
    keeps_alive: bool,
    /// What is left behind it.
    left: Vec<u8>,
}

/// Hands the pieces over as a connection does, and then its end.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, body_bytes_max: usize) -> Result<Read, Fault> {
    let mut reader = Reader::new(false, body_bytes_max);
    let mut waiting = Vec::new();
    let mut done = false;
    for piece in pieces {
        waiting.extend_from_slice(piece);
        if !done && !piece.is_empty() {
            let mut rest = &waiting[..];
            done = reader.take(&mut rest)? != Step::More;
            waiting = rest.to_vec();
        }
    }
    if !done {
        reader.end()?;
        waiting.clear();
    }
    Ok(Read { keeps_alive: reader.keeps_alive(), answer: reader.into_answer(), left: waiting })
}

/// Reads the answer whole and cut in two at every place: always the same.
#[track_caller]
fn read_at_every_cut(input: &[u8]) -> Result<Read, Fault> {
    let whole = read([input], 1024);
    for cut in 0..=input.len() {
        let (first, second) = input.split_at(cut);
        assert_eq!(read([first, second], 1024), whole, "cut at {cut} of {:?}", String::from_utf8_lossy(input));
    }
    assert_eq!(read(input.chunks(1), 1024), whole, "byte by byte");
    whole
}

#[track_caller]
fn check(input: &str, status: u16, headers: &str, body: &str, keeps_alive: bool, left: &str) {
    let read = read_at_every_cut(input.as_bytes()).unwrap();
    assert_eq!((read.answer.status, read.keeps_alive), (status, keeps_alive), "{input:?}");
    assert_eq!(read.answer.headers.as_bytes(), headers.as_bytes(), "{input:?}");
    assert_eq!((&*read.answer.body, &*read.left), (body.as_bytes(), left.as_bytes()), "{input:?}");
}

#[test]
fn answers_are_read_however_their_bytes_come() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", 200, "content-length: 2\r\n", "OK", true, "");
    check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", "", true, "");
    check("HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, "content-length: 0\r\n", "", true, "");
    check("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "", "until the end", false, "");
    check(
        "HTTP/1.1 503 \r\nRetry-After:  7 \r\nX: \r\nX:\r\nContent-Length: 0, 0\r\ncontent-length: 0\r\n\r\n",
        503,
        "retry-after: 7\r\nx: \r\nx: \r\ncontent-length: 0, 0\r\ncontent-length: 0\r\n",
        "",
        true,
        "",
    );
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nOK\r\n0\r\nx: y\r\n\r\n",
        200,
        "transfer-encoding: Chunked\r\n",
        "OK",
        true,
        "",
    );
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip,, chunked\r\n\r\n0\r\n\r\n",
        200,
        "transfer-encoding: gzip,, chunked\r\n",
        "",
        true,
        "",
    );
    check("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nab", 200, "transfer-encoding: gzip\r\n", "ab", false, "");
}

#[test]
fn what_follows_an_answer_is_not_a_part_of_it() {
    check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOKHTTP", 200, "content-length: 2\r\n", "OK", true, "HTTP");
    check("HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nOK", 204, "content-length: 2\r\n", "", true, "OK");
    check("HTTP/1.1 304 Not Modified\r\n\r\nOK", 304, "", "", true, "OK");
}

#[test]
fn the_connection_persists_as_version_and_field_say() {
    let length = "content-length: 0\r\n";
    for (version, field, keeps_alive) in [
        ("1.1", "", true),
        ("1.1", "connection: close\r\n", false),
        ("1.1", "connection: x, CLOSE\r\n", false),
        ("1.1", "connection: keep-alive\r\n", true),
        ("1.1", "connection: keep-alive\r\nconnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "connection: Keep-Alive\r\n", true),
    ] {
        let headers = format!("{length}{field}");
        check(&format!("HTTP/{version} 200 OK\r\n{headers}\r\n"), 200, &headers.clone(), "", keeps_alive, "");
    }
}

#[test]
fn interim_answers_are_skipped() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\ncontent-length: 5\r\n\r\n";
    check(&format!("{interim}HTTP/1.1 204 No Content\r\n\r\n"), 204, "", "", true, "");
    assert_eq!(read_at_every_cut(interim.as_bytes()), Err(Fault::Short));
    assert_eq!(read_at_every_cut("HTTP/1.1 100 \r\n\r\n".repeat(17).as_bytes()), Err(Fault::Interim));
}

#[test]
fn what_is_no_answer_is_refused() {
    let fields = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n0\r\n\r\n");
    for (input, fault) in [
        (String::new(), Fault::NoAnswer),
        ("HTTP/1.1 2".into(), Fault::Short),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab".into(), Fault::Short),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab".into(), Fault::Short),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".into(), Fault::Chunk),
        ("SSH-2.0-OpenSSH_9.2\r\n".into(), Fault::Head(httparse::Error::Version)),
        ("\0\0\0".into(), Fault::Head(httparse::Error::Version)),
        ("HTTP/2.0 200 OK\r\n\r\n".into(), Fault::Head(httparse::Error::Version)),
        ("HTTP/1.1 099 Odd\r\n\r\n".into(), Fault::Status(99)),
        ("HTTP/1.1 20 OK\r\n\r\n".into(), Fault::Head(httparse::Error::Status)),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".into(), Fault::Upgrade),
        (fields("x: folded\r\n value"), Fault::Head(httparse::Error::HeaderName)),
        (fields("x : y"), Fault::Head(httparse::Error::HeaderName)),
        (fields("x: a\0b"), Fault::Head(httparse::Error::HeaderValue)),
        (fields("content-length: 1\r\ncontent-length: 2"), Fault::Length),
        (fields("content-length: 1, 2"), Fault::Length),
        (fields("content-length: -1"), Fault::Length),
        (fields("content-length: +1"), Fault::Length),
        (fields("content-length: 0x1"), Fault::Length),
        (fields("content-length: 1 1"), Fault::Length),
        (fields("content-length:"), Fault::Length),
        (fields("content-length: 1,"), Fault::Length),
        (fields("content-length: 18446744073709551616"), Fault::Length),
        (fields("content-length: 5\r\ntransfer-encoding: chunked"), Fault::TransferEncoding),
        (fields("transfer-encoding: identity\r\ncontent-length: 5"), Fault::TransferEncoding),
        (fields("transfer-encoding: chunked, gzip"), Fault::TransferEncoding),
        (fields("transfer-encoding: chunked\r\ntransfer-encoding: chunked"), Fault::TransferEncoding),
        (fields("transfer-encoding:"), Fault::TransferEncoding),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(), Fault::TransferEncoding),
        (fields(&"x: y\r\n".repeat(101)), Fault::Head(httparse::Error::TooManyHeaders)),
    ] {
        assert_eq!(read_at_every_cut(input.as_bytes()), Err(fault), "{input:?}");
    }
}

#[test]
fn the_answer_to_head_has_no_body() {
    let mut reader = Reader::new(true, 1024);
    let mut rest = &b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"[..];
    assert_eq!(reader.take(&mut rest), Ok(Step::Whole));
    assert!(reader.keeps_alive() && rest.is_empty());
}

#[test]
fn heads_are_bounded_and_a_dripping_one_is_not_read_over_and_over() {
    let long = [&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'x'; 70_000]].concat();
    for step in [1, 1000, 70_000] {
        assert_eq!(read(long.chunks(step), 0), Err(Fault::HeadBytes), "in steps of {step}");
    }
    let large = [&b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nx: "[..], &[b'x'; 60_000], b"\r\n\r\nab"].concat();
    for step in [1, 1000, 70_000] {
        let read = read(large.chunks(step), 10).unwrap();
        assert_eq!((&*read.answer.body, &*read.left), (&b"a"[..], &b"b"[..]), "in steps of {step}");
        assert_eq!(read.answer.headers.as_bytes(), b"content-length: 1\r\n", "what goes over the bound is left out");
    }
}

#[test]
fn only_so_much_of_a_body_is_kept_and_read() {
    let mut reader = Reader::new(false, 3);
    let mut rest = &b"HTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz"[..];
    assert_eq!(reader.take(&mut rest), Ok(Step::Whole));
    assert_eq!(&*reader.into_answer().body, b"abc");
    let mut reader = Reader::new(false, 3);
    let mut rest = &b"HTTP/1.1 200 OK\r\ncontent-length: 65540\r\n\r\nab"[..];
    assert_eq!(reader.take(&mut rest), Ok(Step::More), "more than is worth reading, but not all that is kept is here");
    let mut rest = &b"c"[..];
    assert_eq!(reader.take(&mut rest), Ok(Step::Enough));
    assert!(!reader.keeps_alive());
}

proptest! {
    /// Whatever comes, in whatever pieces: no panic, no endless loop, and the pieces do not matter.
    #[test]
    fn pieces_do_not_matter(
        head in "(HTTP/1\\.[01] [1-5][0-9]{2} ?[a-z]{0,3}\r?\n){0,2}",
        fields in "((content-length|transfer-encoding|connection|x): ?(chunked|close|[0-9]{1,2}|[ -~]{0,5})\r\n){0,3}(\r\n)?",
        body in "([0-9a-f]{1,2}\r\n)?[ -~]{0,20}(\r\n){0,2}(0\r\n\r\n)?",
        cuts in proptest::collection::vec(1_usize..30, 1..8),
    ) {
        let input = [head, fields, body].concat().into_bytes();
        let whole = read([&input[..]], 1024);
        let mut pieces = Vec::new();
        let mut rest = &input[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(read(pieces, 1024), whole);
    }

    #[test]
    fn any_bytes_are_an_answer_or_a_fault(input: Vec<u8>) {
        drop(read([&input[..]], 16));
        drop(read([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &input], 16));
        drop(read([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".as_slice(), &input], 16));
    }
}
