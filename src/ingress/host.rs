//! Requests that must not reach a service because their target can be read in two ways (RFC 9112 section 3.2).

use http::header::HOST;
use http::{HeaderMap, Method, Uri, Version};

use crate::domain::{Reason, Rejection};

/// Whether request target and `Host` say one thing: exactly one `Host` in HTTP/1.1, well formed; a target in
/// origin-form, or in absolute-form with http or https and without user information.
///
/// # Errors
/// `malformed_request`; `method_not_allowed` for CONNECT, which would make a tunnel of us.
pub fn check_target(version: Version, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version >= Version::HTTP_11 && version < Version::HTTP_2 => return malformed("no host header"),
        (Some(_), Some(_)) => return malformed("more than one host header"),
        (Some(host), None) if !is_host(host.as_bytes()) => return malformed("host is not a name or address"),
        _ => {}
    }
    if method == Method::CONNECT {
        return Err(Rejection::new(Reason::MethodNotAllowed, "this is no proxy").allow(""));
    }
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path() == "*" && method != Method::OPTIONS => malformed("target * without OPTIONS"),
        (None, None) => Ok(()),
        (Some("http" | "https"), Some(authority)) if is_host(authority.as_str().as_bytes()) => Ok(()),
        _ => malformed("request target is neither a path nor an http url"),
    }
}

/// The same for HTTP/2 (RFC 9113 section 8.3.1): an authority, from `:authority`, `Host` or both, of which one cannot
/// say something else than the other.
///
/// # Errors
/// As [`check_target`].
pub fn check_authority(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Rejection> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return malformed("more than one host header");
    }
    if host.is_some_and(|host| !is_host(host.as_bytes())) {
        return malformed("host is not a name or address");
    }
    if method == Method::CONNECT {
        return Err(Rejection::new(Reason::MethodNotAllowed, "this is no proxy").allow(""));
    }
    match (uri.authority(), host) {
        (Some(authority), _) if !is_host(authority.as_str().as_bytes()) => malformed(":authority is not a host"),
        (Some(authority), Some(host)) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            malformed(":authority and host differ")
        }
        (None, None) => malformed("neither :authority nor host"),
        _ if !matches!(uri.scheme_str(), None | Some("http" | "https")) => malformed(":scheme is not http or https"),
        _ if uri.path() == "*" && method != Method::OPTIONS => malformed("target * without OPTIONS"),
        _ => Ok(()),
    }
}

/// Bytes that a host with its port may have (RFC 3986 section 3.2.2), no user information.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(byte))
}

fn malformed(detail: &str) -> Result<(), Rejection> {
    Err(Rejection::new(Reason::MalformedRequest, detail))
}
