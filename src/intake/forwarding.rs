//! Who a request comes from, for the app: `Forwarded` (RFC 7239) and `X-Forwarded-For`, `-Proto`, `-Host`.
//!
//! From a stranger none of these is believed, and what the app gets says only what we saw. A trusted proxy's are
//! continued: our peer is added at the end. Where it speaks only one of the two languages its list is told in the other
//! one too, so that they never say different things.

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::domain::HeaderBlockBuilder;

/// What we saw ourselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// The other end of the connection.
    pub(super) peer: Option<IpAddr>,
    /// `http` or `https`.
    pub(super) proto: &'static str,
    /// What the sender called us; empty where it did not.
    pub(super) host: &'a [u8],
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether this module writes the field.
pub(super) fn is_rewritten(name: &HeaderName) -> bool {
    [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST].contains(name)
}

/// Writes the fields; `sent` is what came.
pub(super) fn write(out: &mut HeaderBlockBuilder, sent: &HeaderMap, is_trusted: bool, origin: &Origin<'_>) {
    let empty = HeaderMap::new();
    // A stranger may say what it likes.
    let believed = if is_trusted { sent } else { &empty };
    let peer = origin.peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    let mut addresses = list(believed, &X_FORWARDED_FOR);
    let mut elements = list(believed, &FORWARDED);
    match (addresses.is_empty(), elements.is_empty()) {
        (true, false) => addresses = as_addresses(&elements),
        (false, true) => elements = as_elements(&addresses),
        (true, true) | (false, false) => {}
    }
    append(&mut addresses, peer.as_bytes());
    append(&mut elements, &element(origin));
    out.try_add(X_FORWARDED_FOR.as_str().as_bytes(), &addresses);
    for (name, ours) in [(X_FORWARDED_PROTO, origin.proto.as_bytes()), (X_FORWARDED_HOST, origin.host)] {
        let theirs = list(believed, &name);
        let value = if theirs.is_empty() { ours } else { &theirs };
        if !value.is_empty() {
            out.try_add(name.as_str().as_bytes(), value);
        }
    }
    out.try_add(FORWARDED.as_str().as_bytes(), &elements);
}

/// Our element of `Forwarded`.
fn element(origin: &Origin<'_>) -> Vec<u8> {
    let mut element = node(origin.peer);
    if !origin.host.is_empty() {
        // Quoted: a port's colon is no character of a token. What a host may have needs no escape.
        element.extend_from_slice(b";host=\"");
        element.extend_from_slice(origin.host);
        element.push(b'"');
    }
    element.extend_from_slice(b";proto=");
    element.extend_from_slice(origin.proto.as_bytes());
    element
}

/// `for=` with an address as RFC 7239 section 6 has it.
fn node(address: Option<IpAddr>) -> Vec<u8> {
    match address {
        None => b"for=unknown".to_vec(),
        Some(IpAddr::V4(address)) => format!("for={address}").into_bytes(),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\"").into_bytes(),
    }
}

/// All lines of a field as one list.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let mut list = Vec::new();
    for value in headers.get_all(name).iter().map(HeaderValue::as_bytes).filter(|value| !value.is_empty()) {
        append(&mut list, value);
    }
    list
}

fn append(list: &mut Vec<u8>, element: &[u8]) {
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element);
}

/// A list of `X-Forwarded-For` as elements of `Forwarded`.
fn as_elements(addresses: &[u8]) -> Vec<u8> {
    let mut elements = Vec::new();
    for address in addresses.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty()) {
        append(&mut elements, &node(str::from_utf8(address).ok().and_then(address_of)));
    }
    elements
}

/// A list of `Forwarded` as addresses of `X-Forwarded-For`.
fn as_addresses(elements: &[u8]) -> Vec<u8> {
    let mut addresses = Vec::new();
    let mut quoted = false;
    let is_end = |byte: &u8| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    };
    for element in elements.split(is_end) {
        let pairs = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let of_for =
            pairs.filter_map(|pair| pair.split_at_checked(4)).find(|(name, _)| name.eq_ignore_ascii_case(b"for="));
        let address = of_for.and_then(|(_, node)| address_of(str::from_utf8(node).ok()?.trim_matches('"')));
        append(&mut addresses, address.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string()).as_bytes());
    }
    addresses
}

/// The address in `1.2.3.4`, `1.2.3.4:5`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5`.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(hop, |(address, _)| address);
    let without_port = || bare.rsplit_once(':').and_then(|(address, _)| address.parse().ok());
    bare.parse().ok().or_else(without_port)
}
