//! Where bodies end, whole and byte by byte.

use super::Fault;
use super::body::{Body, Piece};

/// A body and what is left behind it.
type Whole = Option<(Vec<u8>, Vec<u8>)>;

/// The body in `input`, handed over in pieces of `step` bytes; `None` where it is not whole.
fn read(mut body: Body, input: &[u8], step: usize) -> Result<Whole, Fault> {
    let mut data = Vec::new();
    let mut at = 0;
    while at < input.len() || input.is_empty() {
        let end = (at + step).min(input.len());
        let mut piece = &input[at..end];
        loop {
            match body.next(&mut piece)? {
                Piece::Data(bytes) => data.extend_from_slice(bytes),
                Piece::End => {
                    let left = end - piece.len();
                    return Ok(Some((data, input[left..].to_vec())));
                }
                Piece::More => break,
            }
        }
        assert!(piece.is_empty(), "everything is taken until the end");
        at = end;
        if input.is_empty() {
            break;
        }
    }
    Ok(None)
}

#[track_caller]
fn check(body: &Body, input: &[u8], expected: Result<Option<(&str, &str)>, Fault>) {
    let expected = expected.map(|whole| whole.map(|(data, left)| (data.as_bytes().to_vec(), left.as_bytes().to_vec())));
    for step in 1..=input.len().max(1) {
        assert_eq!(read(body.clone(), input, step), expected, "in steps of {step}");
    }
}

#[test]
fn a_length_counts() {
    check(&Body::Length(0), b"next", Ok(Some(("", "next"))));
    check(&Body::Length(3), b"abcnext", Ok(Some(("abc", "next"))));
    check(&Body::Length(3), b"ab", Ok(None));
    check(&Body::UntilClosed, b"abc", Ok(None));
}

#[test]
fn chunks_end_with_a_chunk_of_nothing_and_trailers() {
    for (input, data, left) in [
        (&b"0\r\n\r\n"[..], "", ""),
        (b"3\r\nabc\r\n0\r\n\r\nnext", "abc", "next"),
        (b"3\r\nabc\r\n00a\r\n0123456789\r\n000\r\n\r\n", "abc0123456789", ""),
        (b"A\r\n0123456789\r\n0\r\nx-checksum: 1\r\nb:\r\n\r\nn", "0123456789", "n"),
        (b"1;name=value;q=\"a b\"\r\na\r\n0;last\r\n\r\n", "a", ""),
        (b"1 \t\r\na\r\n0\r\n\r\n", "a", ""),
        (b"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
    ] {
        check(&Body::chunked(), input, Ok(Some((data, left))));
    }
    for unfinished in
        [&b"3"[..], b"3\r\n", b"3\r\nab", b"3\r\nabc", b"3\r\nabc\r\n", b"0\r\n", b"0\r\n\r", b"0\r\na: b\r\n"]
    {
        check(&Body::chunked(), unfinished, Ok(None));
    }
}

#[test]
fn chunks_that_can_be_read_in_two_ways_are_refused() {
    for input in [
        &b"\r\n"[..],
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1\na",
        b"1\rx",
        b"1;a\n",
        b"1\r\nab",
        b"1\r\na\n",
        b"1\r\na\rx",
        b"0\r\n\n",
        b"0\r\nx\n",
        b"0\r\n\rx",
        b"0\r\nx\rx",
        b"10000000000000000\r\n",
    ] {
        check(&Body::chunked(), input, Err(Fault::Chunk));
    }
}

#[test]
fn what_nobody_wants_of_chunks_is_bounded() {
    for (start, endless) in [(&b"1;"[..], &b"x"[..]), (b"0\r\n", b"x: y\r\n"), (b"", b"1;xxxxxxxx\r\na\r\n")] {
        let input = [start, &endless.repeat(20_000)].concat();
        assert_eq!(read(Body::chunked(), &input, 4096), Err(Fault::Chunk));
    }
}
