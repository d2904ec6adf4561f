//! The corpus as bytes, and what RFC 9112 says they are.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::tap::Seen;
use crate::interop::node;

/// Reads the crate's files; everything in them is text, whatever it looks like.
const READ: &str = "
const { readdirSync, readFileSync } = require('node:fs');
const { parse } = require('yaml');
const folder = 'crates/http_desync_guardian/tests/';
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml')).sort();
const cases = files.flatMap((file) => parse(readFileSync(folder + file, 'utf8'), { schema: 'failsafe' }));
console.log(JSON.stringify(cases.map(({ name, method, uri, version, headers }) => ({
  name, method, uri: uri ?? '', version: version ?? '',
  headers: (headers || []).map(({ name, value }) => [name ?? '', value ?? '']),
}))));
";

/// Cases of the crate at this version, of which there must not be fewer because we misread them.
const CASES: usize = 159;

/// A request that stands where the body of another one may be.
const INNER: &str = "POST /inner HTTP/1.1\r\nHost: test\r\nX-Case: @\r\nContent-Length: 0\r\n\r\n";

/// The request behind all.
const BEHIND: &str = "POST /behind HTTP/1.1\r\nHost: test\r\nX-Case: @\r\nContent-Length: 4\r\n\r\nlast";

/// Above this a declared length is not filled up.
const FILLED_MAX: usize = 100_000;

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    method: String,
    uri: String,
    version: String,
    headers: Vec<(String, String)>,
}

/// One case with one of the bodies that it may have.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    pub(super) name: String,
    /// In `X-Case` of each of its requests.
    pub(super) tag: String,
    pub(super) bytes: Vec<u8>,
    target: String,
}

/// All of them.
pub(super) fn attacks() -> Vec<Attack> {
    let cases: Vec<Case> = serde_json::from_str(&node(READ, "")).expect("cases");
    assert_eq!(cases.len(), CASES);
    let mut attacks = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let tag = |body| format!("{number:03}-{body}");
        for body in 0..case.bodies("").len() {
            let [inner, behind] = [INNER, BEHIND].map(|request| request.replace('@', &tag(body)));
            let bytes = [case.head(&tag(body)), case.bodies(&inner).swap_remove(body), behind.into_bytes()].concat();
            attacks.push(Attack { name: case.name.clone(), bytes, target: case.uri.clone(), tag: tag(body) });
        }
    }
    attacks
}

/// The paths that a source can have, of all that are asked for.
pub(super) fn paths(attacks: &[Attack]) -> BTreeSet<String> {
    let targets = attacks.iter().map(|attack| &*attack.target).chain(["/inner", "/behind"]);
    let paths = targets.map(|target| target.split('?').next().unwrap_or_default().to_owned());
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-%".contains(char);
    paths.filter(|path| path.starts_with('/') && path.chars().all(plain) && !path.contains("%0")).collect()
}

// === impl Case ===

impl Case {
    fn head(&self, tag: &str) -> Vec<u8> {
        let mut line = vec![&*self.method, &*self.uri];
        if !self.version.is_empty() {
            line.push(&self.version);
        }
        let mut head = format!("{}\r\nX-Case: {tag}\r\n", line.join(" "));
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: test\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.chars().flat_map(bytes_of).collect()
    }

    /// Nothing; another request; the same in a chunk, and in one with an extension in front of a trailer; and as much of
    /// it as the case declares.
    fn bodies(&self, inner: &str) -> Vec<Vec<u8>> {
        let chunk = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
        let extended = format!("{:x};some=\"thing\"\r\n{inner}\r\n0\r\nX-Case: none\r\n\r\n", inner.len());
        let mut bodies = vec![Vec::new(), inner.into(), chunk.into(), extended.into()];
        let digits = |value: &String| value.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok();
        let lengths = self.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().contains("length"));
        for length in lengths.filter_map(|(_, value)| digits(value)).filter(|length| (1..FILLED_MAX).contains(length)) {
            let filling = std::iter::repeat_n(b'x', length);
            bodies.push(inner.bytes().chain(filling).take(length).collect());
        }
        bodies
    }
}

/// In the corpus `\xff` is a byte; what is beyond is text.
fn bytes_of(char: char) -> Vec<u8> {
    u8::try_from(char).map_or_else(|_| char.to_string().into_bytes(), |byte| vec![byte])
}

// === impl Attack ===

impl Attack {
    /// The requests that these bytes are by RFC 9112, as far as there is one way only to read them. A gateway may refuse
    /// any of them; it must not see others.
    pub(super) fn requests(&self) -> Vec<Seen> {
        let (mut requests, mut rest) = (Vec::new(), &*self.bytes);
        while let Some((seen, after)) = self.request(rest) {
            requests.push(seen);
            rest = after;
        }
        requests
    }

    fn request<'a>(&self, bytes: &'a [u8]) -> Option<(Seen, &'a [u8])> {
        let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
        let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
        let mut lines = Vec::new();
        let mut left = head;
        while let Some(at) = memchr::memmem::find(left, b"\r\n") {
            lines.push(&left[..at]);
            left = &left[at + 2..];
        }
        lines.push(left);
        let (line, fields) = lines.split_first()?;
        let line: String = line.iter().copied().map(char::from).collect();
        let &[method, target, version] = &*line.split(' ').collect::<Vec<_>>() else { return None };
        // No URL has bytes above 127, but they end nothing.
        let is_plain = |text: &str| text.chars().all(|char| char.is_ascii_graphic() || !char.is_ascii());
        if !is_plain(target) || !method.bytes().all(is_token) || !["HTTP/1.1", "HTTP/1.0"].contains(&version) {
            return None;
        }
        let (mut lengths, mut codings) = (Vec::new(), Vec::new());
        for field in fields {
            let colon = field.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
            let is_text = |byte: &u8| *byte >= b' ' && *byte != 0x7f || *byte == b'\t';
            if name.is_empty() || !name.iter().copied().all(is_token) || !field[colon + 1..].iter().all(is_text) {
                return None;
            }
            match name {
                name if name.eq_ignore_ascii_case(b"content-length") => lengths.push(value),
                name if name.eq_ignore_ascii_case(b"transfer-encoding") => codings.push(value),
                _ => {}
            }
        }
        let (body, rest) = match (&*lengths, &*codings) {
            ([], []) => (Vec::new(), rest),
            ([length], []) if length.iter().all(u8::is_ascii_digit) => {
                let length = std::str::from_utf8(length).ok()?.parse().ok()?;
                (rest.get(..length)?.to_vec(), &rest[length..])
            }
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && version == "HTTP/1.1" => chunks(rest)?,
            _ => return None,
        };
        let (tag, method, target) = (self.tag.clone(), method.to_owned(), target.to_owned());
        Some((Seen { tag, method, target, body }, rest))
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A chunked body; its extensions and trailers say nothing.
fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let at = memchr::memmem::find(rest, b"\r\n")?;
        let size = std::str::from_utf8(&rest[..at]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        let data = &rest[at + 2..];
        if size == 0 {
            let end = memchr::memmem::find(&rest[at..], b"\r\n\r\n")?;
            return Some((body, &rest[at + end + 4..]));
        }
        if data.get(size..size + 2)? != b"\r\n" {
            return None;
        }
        body.extend_from_slice(&data[..size]);
        rest = &data[size + 2..];
    }
}
