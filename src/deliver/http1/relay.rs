//! Takes an answer apart that is handed on as it comes: its head, then its body piece by piece, then its trailers.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::body::Piece;
use super::head::{Final, HeadReader};
use super::{Body, Fault};
use crate::domain::headers::is_trailer;
use crate::domain::interim::OnInterim;

/// Reads one answer; pure: whoever has the bytes brings them.
#[derive(Debug)]
pub(in crate::deliver) struct Relay {
    state: State,
    keep_alive: bool,
}

#[derive(Debug)]
enum State {
    Head(HeadReader),
    Body(Body),
    Whole,
}

/// The next of a body.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::deliver) enum Taken<'a> {
    Data(&'a [u8]),
    /// The body is whole; the trailers, where it has some.
    End(Option<Box<HeaderMap>>),
    /// Nothing more for now.
    More,
}

/// The most fields of a trailer section.
const TRAILERS_MAX: usize = 64;

// === impl Relay ===

impl Relay {
    /// For the answer to one request.
    pub(in crate::deliver) fn new(is_head: bool) -> Self {
        Self { state: State::Head(HeadReader::new(is_head)), keep_alive: false }
    }

    /// Takes the head off the front of `input`; `None` where it is not whole: the rest is to be brought again, with
    /// more behind it. Interim answers in front of it go to `interim`.
    pub(in crate::deliver) fn head(
        &mut self,
        input: &mut &[u8],
        interim: Option<OnInterim<'_>>,
    ) -> Result<Option<(StatusCode, HeaderMap)>, Fault> {
        let State::Head(head) = &mut self.state else { return Ok(None) };
        let mut headers = HeaderMap::new();
        let pass_on = |status: u16, fields: &[httparse::Header<'_>]| {
            let Some((interim, status)) = interim.zip(StatusCode::from_u16(status).ok()) else { return };
            let mut headers = HeaderMap::new();
            fields.iter().for_each(|field| add(&mut headers, field.name, field.value));
            interim(status, headers);
        };
        let taken = head.take(input, pass_on, |name, value| add(&mut headers, name, value))?;
        let Some(Final { status, body, keep_alive }) = taken else { return Ok(None) };
        let Ok(code) = StatusCode::from_u16(status) else { return Err(Fault::Status(status)) };
        self.keep_alive = keep_alive;
        self.state = State::Body(body);
        Ok(Some((code, headers)))
    }

    /// Takes the next piece of the body off the front of `input`; nothing before the head was there.
    pub(in crate::deliver) fn body<'a>(&mut self, input: &mut &'a [u8]) -> Result<Taken<'a>, Fault> {
        match &mut self.state {
            State::Head(_) => Ok(Taken::More),
            State::Whole => Ok(Taken::End(None)),
            State::Body(body) => match body.next(input)? {
                Piece::Data(data) => Ok(Taken::Data(data)),
                Piece::More => Ok(Taken::More),
                Piece::End => {
                    let trailers = trailers(body.trailers())?;
                    self.state = State::Whole;
                    Ok(Taken::End(trailers))
                }
            },
        }
    }

    /// How long the rest of the body is, where its head says so.
    pub(in crate::deliver) fn length_left(&self) -> Option<u64> {
        match self.state {
            State::Body(Body::Length(left)) => Some(left),
            State::Whole => Some(0),
            State::Head(_) | State::Body(_) => None,
        }
    }

    /// The connection ended: whether the answer is whole nevertheless.
    pub(in crate::deliver) fn end(&mut self) -> Result<(), Fault> {
        self.keep_alive = false;
        match &self.state {
            State::Head(head) => Err(head.end()),
            // RFC 9112 section 8: without a length the end of the connection is the end of the body.
            State::Body(Body::UntilClosed) | State::Whole => {
                self.state = State::Whole;
                Ok(())
            }
            State::Body(_) => Err(Fault::Short),
        }
    }

    /// Whether the connection can carry another request after this answer (RFC 9112 section 9.3).
    pub(in crate::deliver) fn keeps_alive(&self) -> bool {
        self.keep_alive && matches!(self.state, State::Whole)
    }
}

/// A name or a value that cannot be one would have been a fault before.
fn add(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}

/// The fields of a trailer section but for those that say how to read a message (RFC 9110 section 6.5.1).
fn trailers(lines: &[u8]) -> Result<Option<Box<HeaderMap>>, Fault> {
    if lines.is_empty() {
        return Ok(None);
    }
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    let section = [lines, b"\r\n"].concat();
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&section, &mut fields) else {
        return Err(Fault::Chunk);
    };
    let mut trailers = HeaderMap::new();
    for field in fields {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(field.name), HeaderValue::from_bytes(field.value))
            && is_trailer(name.as_str())
        {
            trailers.append(name, value);
        }
    }
    Ok((!trailers.is_empty()).then(|| Box::new(trailers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of an answer whose bytes come in these pieces: status, body, trailers, whether the connection lives on, and
    /// what is left behind it.
    type Read = (u16, Vec<u8>, Option<HeaderMap>, bool, Vec<u8>);

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Read, Fault> {
        let (mut relay, mut waiting, mut status, mut data) = (Relay::new(false), Vec::new(), 0, Vec::new());
        let mut end = None;
        for piece in pieces {
            waiting.extend_from_slice(piece);
            let mut rest = &waiting[..];
            if let Some((code, _)) = relay.head(&mut rest, None)? {
                status = code.as_u16();
            }
            while end.is_none() {
                match relay.body(&mut rest)? {
                    Taken::Data(bytes) => data.extend_from_slice(bytes),
                    Taken::End(trailers) => end = Some(trailers.map(|trailers| *trailers)),
                    Taken::More => break,
                }
            }
            waiting = rest.to_vec();
        }
        let trailers = match end {
            Some(trailers) => trailers,
            None => relay.end().map(|()| None)?,
        };
        Ok((status, data, trailers, relay.keeps_alive(), waiting))
    }

    /// The same, as it is written down.
    type Told<'a> = (u16, &'a str, &'a [(&'static str, &'static str)], bool, &'a str);

    #[track_caller]
    fn check(input: &str, expected: Result<Told<'_>, Fault>) {
        let expected = expected.map(|(status, data, fields, keeps_alive, left)| {
            let trailers: HeaderMap = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let trailers = (!trailers.is_empty()).then_some(trailers);
            (status, data.as_bytes().to_vec(), trailers, keeps_alive, left.as_bytes().to_vec())
        });
        let input = input.as_bytes();
        for cut in 0..=input.len() {
            let (first, second) = input.split_at(cut);
            assert_eq!(read([first, second]), expected, "cut at {cut}");
        }
        assert_eq!(read(input.chunks(1)), expected, "byte by byte");
    }

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn an_answer_is_the_same_however_its_bytes_come() {
        check("HTTP/1.1 201 Made\r\nContent-Length: 3\r\n\r\nabcnext", Ok((201, "abc", &[], true, "next")));
        check("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 204 None\r\n\r\n", Ok((204, "", &[], true, "")));
        check("HTTP/1.0 200 OK\r\n\r\nabc", Ok((200, "abc", &[], false, "")));
        check(&format!("{CHUNKED}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nn"), Ok((200, "abcde", &[], true, "n")));
        check(
            &format!("{CHUNKED}3\r\nabc\r\n0\r\nX-Sum: 1\r\nb:\r\n\r\n"),
            Ok((200, "abc", &[("x-sum", "1"), ("b", "")], true, "")),
        );
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Err(Fault::Short));
        check("", Err(Fault::NoAnswer));
    }

    #[test]
    fn trailers_cannot_change_how_a_message_is_read() {
        let fields =
            "Content-Length: 9\r\nTransfer-Encoding: x\r\nHost: y\r\nContent-Type: z\r\nHookward-X: 1\r\nX-Ok: 2\r\n";
        check(&format!("{CHUNKED}0\r\n{fields}\r\n"), Ok((200, "", &[("x-ok", "2")], true, "")));
        check(&format!("{CHUNKED}0\r\nno field\r\n\r\n"), Err(Fault::Chunk));
    }
}
