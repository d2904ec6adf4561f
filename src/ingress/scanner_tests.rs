//! The scanner finds the same requests and the same faults however the bytes are cut.

use proptest::prelude::*;

use super::*;

/// What is left of a scan: complete heads, complete requests, inside a head, the refusal.
fn scan(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> (u64, u64, bool, Option<Reason>) {
    let mut scanner = Scanner::new();
    for piece in pieces {
        scanner.scan(piece.as_ref());
    }
    let refused = scanner.take_bad().map(|rejection| rejection.reason);
    (scanner.heads(), scanner.bodies(), scanner.is_in_head(), refused)
}

#[track_caller]
fn check(bytes: &str, expected: (u64, u64, bool, Option<Reason>)) {
    assert_eq!(scan([bytes]), expected, "{bytes:?}");
    assert_eq!(scan(bytes.as_bytes().chunks(1)), expected, "{bytes:?} byte by byte");
}

#[test]
fn heads_and_bodies_are_counted() {
    const BAD: Option<Reason> = Some(Reason::MalformedRequest);
    check("", (0, 0, false, None));
    check("\r\n\r\n", (0, 0, false, None));
    check("P", (0, 0, true, None));
    check("P / HTTP/1.1\r\n", (0, 0, true, None));
    check("P / HTTP/1.1\r\n\r\n", (1, 1, false, None));
    check("\r\nP / HTTP/1.1\r\n\r\n\r\nP", (1, 1, true, None));
    check("P / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", (1, 1, false, None));
    check("P / HTTP/1.1\r\ncontent-length:3\r\n\r\nab", (1, 0, false, None));
    check("P / HTTP/1.1\r\ncontent-length: \t 3 \r\n\r\nabc", (1, 1, false, None));
    check("P / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcP / HTTP/1.1\r\n\r\n", (2, 2, false, None));
    check("P / HTTP/1.1\r\nContent-Length-X: 3\r\n\r\nP", (1, 1, true, None));
    check("P / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n", (1, 0, false, None));
    check(
        "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0\r\nT: r\r\n\r\nP",
        (1, 1, true, None),
    );
    check("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n00a\r\n0123456789\r\n000\r\n\r\n", (1, 1, false, None));
    check("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", (1, 0, false, None));
    check("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n", (1, 0, false, BAD));
    for (coding, refused) in [
        ("gzip", Reason::TransferCodingUnknown),
        ("gzip , chunked", Reason::TransferCodingUnknown),
        ("identity", Reason::TransferCodingUnknown),
        ("chunked, gzip", Reason::MalformedRequest),
        ("chunked, chunked", Reason::MalformedRequest),
        ("gzip;q=1", Reason::MalformedRequest),
        ("gzip,", Reason::MalformedRequest),
        ("", Reason::MalformedRequest),
        (&"x".repeat(200), Reason::MalformedRequest),
    ] {
        check(&format!("P / HTTP/1.1\r\nTransfer-Encoding: {coding}\r\n"), (0, 0, false, Some(refused)));
    }
    check("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", (0, 0, false, BAD));
    check("P /#f HTTP/1.1\r\n", (0, 0, false, BAD));
    check("P / HTTP/1.1\n", (0, 0, false, BAD));
    check("P / HTTP/1.1\r\n\r\nP / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n", (1, 1, false, BAD));
    check(&format!("P /{}", "x".repeat(9000)), (0, 0, false, Some(Reason::UriTooLong)));
    check(&format!("P / HTTP/1.1\r\nContent-Length: {}3\r\n", " ".repeat(200)), (0, 0, false, BAD));
    check(
        &format!("P / HTTP/1.1\r\nContent-Length: {}\r\n", "9".repeat(19)),
        (0, 0, false, Some(Reason::BodyTooLarge)),
    );
}

/// A request whose framing is right, with its body.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        "X-[a-z]{1,8}: [ -~]{0,200}".boxed(),
        "C[a-z]{0,20}: [0-9]{0,5}".boxed(),
        "Cookie: [a-z]{0,300}".boxed(),
        "TE: trailers".boxed(),
    ];
    let body = proptest::collection::vec(any::<u8>(), 0..600);
    let framing = prop_oneof![Just(None), (1_usize..100).prop_map(Some)];
    (proptest::collection::vec(field, 0..8), body, framing).prop_map(|(fields, body, chunk)| {
        let mut bytes = b"POST /hook HTTP/1.1\r\n".to_vec();
        for field in fields {
            bytes.extend(format!("{field}\r\n").bytes());
        }
        match chunk {
            None => {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                bytes.extend(body);
            }
            Some(size) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.chunks(size) {
                    bytes.extend(format!("{:X}\r\n", chunk.len()).bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn every_request_is_found_however_the_bytes_are_cut(
        requests in proptest::collection::vec(request(), 1..6),
        cuts in proptest::collection::vec(1_usize..50, 1..20),
    ) {
        let bytes = requests.concat();
        let count = requests.len() as u64;
        prop_assert_eq!(scan([&bytes]), (count, count, false, None));
        let (mut pieces, mut rest) = (Vec::new(), &bytes[..]);
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() { break }
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(scan(pieces), (count, count, false, None));
    }

    #[test]
    fn any_bytes_end_the_same_however_they_are_cut(bytes in "[PT /#:;0-3a-c\r\n]{0,80}", cut in 1_usize..7) {
        prop_assert_eq!(scan([&bytes]), scan(bytes.as_bytes().chunks(cut)));
    }
}
