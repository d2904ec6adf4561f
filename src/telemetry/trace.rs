//! What ties a request's lines together: our request id, and the sender's trace (W3C Trace Context).
//!
//! The sender's `traceparent` stays in the event's headers and so reaches the destination unchanged;
//! here it is only read, for the logs.

use std::fmt;

use http::{HeaderMap, HeaderName};

/// The header of a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header of the W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest request id that is taken from a proxy, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// What the logs call a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

/// The trace to which the sender says that its request belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

// === impl RequestId ===

impl RequestId {
    /// A new one: 32 hexadecimal digits.
    #[must_use]
    pub fn fresh() -> Self {
        Self(format!("{:032x}", fastrand::u128(..)).into())
    }

    /// The id that a trusted proxy gave the request, else a new one: anybody else could forge entries of the log.
    #[must_use]
    pub fn of(headers: &HeaderMap, peer_is_trusted: bool) -> Self {
        let given = headers.get(REQUEST_ID).filter(|_| peer_is_trusted).and_then(|value| value.to_str().ok());
        match given {
            Some(id)
                if !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Self(id.into())
            }
            _ => Self::fresh(),
        }
    }

    /// Its text: visible ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl TraceId ===

impl TraceId {
    /// The trace id of the request's `traceparent` (W3C Trace Context section 3.2); `None` where there is
    /// none, two, or one that is not valid.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next().filter(|_| values.next().is_none())?.as_bytes();
        let (version, rest) = (value.get(..2)?, value.get(55..)?);
        let hex = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == b'0');
        let (trace, parent, flags) = (value.get(3..35)?, value.get(36..52)?, value.get(53..55)?);
        let dashes = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
        // Version 00 has exactly four fields; a later one may have more, after another dash.
        let ends = rest.is_empty() || (version != b"00" && rest.first() == Some(&b'-'));
        let valid = hex(version) && version != b"ff" && hex(trace) && hex(parent) && hex(flags);
        (dashes && ends && valid && !zero(trace) && !zero(parent)).then(|| trace.try_into().ok().map(Self))?
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(value: &'static str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(value));
        assert_eq!(TraceId::of(&headers).as_ref().map(TraceId::as_str), expected, "{value}");
    }

    #[test]
    fn a_traceparent_counts_only_in_the_form_of_the_standard() {
        let trace = Some("0af7651916cd43dd8448eb211c80319c");
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", trace);
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes", trace);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None);
        check("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None);
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None);
        check("00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c", None);
        check("", None);
    }

    #[test]
    fn a_request_id_counts_only_from_a_trusted_proxy_and_when_it_is_printable() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("from-the-proxy"));
        assert_eq!(RequestId::of(&headers, true).as_str(), "from-the-proxy");
        assert_eq!(RequestId::of(&headers, false).as_str().len(), 32);
        headers.insert(REQUEST_ID, HeaderValue::from_static("two words"));
        assert_eq!(RequestId::of(&headers, true).as_str().len(), 32);
        assert_ne!(RequestId::fresh(), RequestId::fresh());
    }
}
