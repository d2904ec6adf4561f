//! Writes the head of a request (RFC 9112 sections 2 to 5).

use http::Method;

use crate::domain::headers::is_value;
use crate::domain::id::TEXT_CHARS;

/// A head that is being written, at the end of a buffer.
pub(in crate::deliver) struct Head<'a>(&'a mut Vec<u8>);

/// Bytes of the longest decimal number.
const DIGITS_MAX: usize = 20;

// === impl Head ===

impl<'a> Head<'a> {
    /// Starts with the request line and `Host` (sections 3 and 3.2). `target` and `host` are taken as they are.
    pub(in crate::deliver) fn start(
        out: &'a mut Vec<u8>,
        method: &Method,
        target: &str,
        query: Option<&str>,
        host: &[u8],
    ) -> Self {
        out.clear();
        for part in [method.as_str().as_bytes(), b" ", target.as_bytes()] {
            out.extend_from_slice(part);
        }
        if let Some(query) = query.filter(|query| can_follow(query)) {
            match (target.contains('?'), query.is_empty()) {
                // An empty query (`/path?`) is empty at the other end too.
                (true, true) => {}
                (has_query, _) => {
                    out.push(if has_query { b'&' } else { b'?' });
                    out.extend_from_slice(query.as_bytes());
                }
            }
        }
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\r\n");
        Self(out)
    }

    /// Fields that have the wire's form already.
    pub(in crate::deliver) fn block(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// A field; left out where the value cannot be one.
    pub(in crate::deliver) fn field(&mut self, name: &str, value: &[u8]) {
        if is_value(value) {
            self.line(name, &[value]);
        }
    }

    /// A field whose value is an id of ours.
    pub(in crate::deliver) fn id(&mut self, name: &str, prefix: &str, digits: &[u8; TEXT_CHARS]) {
        self.line(name, &[prefix.as_bytes(), digits]);
    }

    /// A field whose value is a number.
    pub(in crate::deliver) fn number(&mut self, name: &str, value: u64) {
        let mut digits = [0; DIGITS_MAX];
        let mut rest = value;
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        self.line(name, &[digits.get(DIGITS_MAX - used..).unwrap_or_default()]);
    }

    /// Ends the head: the body's length (section 6.2) and the empty line.
    pub(in crate::deliver) fn finish(mut self, method: &Method, body_bytes: u64) {
        // Methods for which a body means nothing say nothing about an absent one (RFC 9110 section 8.6).
        if body_bytes > 0 || !matches!(*method, Method::GET | Method::HEAD) {
            self.number("content-length", body_bytes);
        }
        self.0.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn line(&mut self, name: &str, value: &[&[u8]]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        for part in value {
            self.0.extend_from_slice(part);
        }
        self.0.extend_from_slice(b"\r\n");
    }
}

/// Whether a query can stand in a request line. One that came over HTTP can; should one not, the event goes
/// without it.
fn can_follow(query: &str) -> bool {
    query.bytes().all(|byte| byte > b' ' && byte != 0x7f && byte != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Head<'_>), expected: &str) {
        let mut out = b"what was sent before".to_vec();
        let mut head = Head::start(&mut out, &Method::PUT, "/a", None, b"crm");
        write(&mut head);
        head.finish(&Method::PUT, 7);
        let expected = format!("PUT /a HTTP/1.1\r\nhost: crm\r\n{expected}content-length: 7\r\n\r\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn fields_follow_each_other() {
        check(|_| {}, "");
        check(|head| head.number("x", 0), "x: 0\r\n");
        check(|head| head.number("x", u64::MAX), "x: 18446744073709551615\r\n");
        check(|head| head.id("x", "evt_", b"00000000000000000000000007"), "x: evt_00000000000000000000000007\r\n");
        check(|head| head.block(b"a: b\r\nc: d\r\n"), "a: b\r\nc: d\r\n");
    }

    #[test]
    fn a_value_that_would_end_its_line_is_left_out() {
        for value in ["a\r\nb: c", "\n", "\0", "\x7f"] {
            check(|head| head.field("x", value.as_bytes()), "");
        }
        check(|head| head.field("x", "a \t\u{fc}".as_bytes()), "x: a \t\u{fc}\r\n");
    }

    #[test]
    fn an_absent_body_is_announced_where_one_is_expected() {
        for (method, announced) in
            [(Method::POST, true), (Method::DELETE, true), (Method::GET, false), (Method::HEAD, false)]
        {
            let mut out = Vec::new();
            Head::start(&mut out, &method, "/", None, b"crm").finish(&method, 0);
            assert_eq!(out.ends_with(b"content-length: 0\r\n\r\n"), announced, "{method}");
        }
    }
}
