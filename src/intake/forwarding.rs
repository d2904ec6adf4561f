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

/// The longest text of an address, in bytes: an IPv4 one in IPv6's form.
const ADDRESS_BYTES: usize = 45;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether this module writes the field.
pub(super) fn is_rewritten(name: &HeaderName) -> bool {
    [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST].contains(name)
}

/// Writes the fields; `sent` is what came, where it is believed: a stranger may say what it likes.
pub(super) fn write(out: &mut HeaderBlockBuilder, sent: Option<&HeaderMap>, origin: &Origin<'_>) {
    let mut peer = Vec::with_capacity(ADDRESS_BYTES);
    match origin.peer {
        Some(peer_address) => push_address(&mut peer, peer_address),
        None => peer.extend_from_slice(b"unknown"),
    }
    match sent {
        Some(sent) => continued(out, sent, &peer, origin),
        None => {
            out.add_ours("x-forwarded-for", &[&peer]);
            out.add_ours("x-forwarded-proto", &[origin.proto.as_bytes()]);
            if !origin.host.is_empty() {
                out.add_ours("x-forwarded-host", &[origin.host]);
            }
            out.add_ours("forwarded", &element(&peer, origin));
        }
    }
}

/// The same behind what a trusted proxy said.
fn continued(out: &mut HeaderBlockBuilder, sent: &HeaderMap, peer: &[u8], origin: &Origin<'_>) {
    let mut addresses = list(sent, &X_FORWARDED_FOR);
    let mut elements = list(sent, &FORWARDED);
    match (addresses.is_empty(), elements.is_empty()) {
        (true, false) => addresses = as_addresses(&elements),
        (false, true) => elements = as_elements(&addresses),
        (true, true) | (false, false) => {}
    }
    append(&mut addresses, peer);
    append(&mut elements, &element(peer, origin).concat());
    out.add_ours("x-forwarded-for", &[&addresses]);
    for (field, name, ours) in [
        ("x-forwarded-proto", X_FORWARDED_PROTO, origin.proto.as_bytes()),
        ("x-forwarded-host", X_FORWARDED_HOST, origin.host),
    ] {
        let theirs = list(sent, &name);
        let value = if theirs.is_empty() { ours } else { &theirs };
        if !value.is_empty() {
            out.add_ours(field, &[value]);
        }
    }
    out.add_ours("forwarded", &[&elements]);
}

/// Our element of `Forwarded`, in parts.
fn element<'a>(peer: &'a [u8], origin: &Origin<'a>) -> [&'a [u8]; 8] {
    let [before, behind] = around(peer);
    // Quoted: a port's colon is no character of a token. What a host may have needs no escape.
    let [named, end]: [&[u8]; 2] = if origin.host.is_empty() { [b"", b""] } else { [b";host=\"", b"\""] };
    [before, peer, behind, named, origin.host, end, b";proto=", origin.proto.as_bytes()]
}

/// What stands before and behind an address as RFC 7239 section 6 has it.
fn around(address: &[u8]) -> [&'static [u8]; 2] {
    // Only an IPv6 address has colons, and needs brackets and quotes for them.
    if address.contains(&b':') { [b"for=\"[", b"]\""] } else { [b"for=", b""] }
}

/// An address as text. The formatter of the standard library takes eight times as long for IPv4.
fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                if octet >= 100 {
                    out.push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    out.push(b'0' + octet / 10 % 10);
                }
                out.push(b'0' + octet % 10);
            }
        }
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
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
        let mut text = b"unknown".to_vec();
        if let Some(address) = str::from_utf8(address).ok().and_then(address_of) {
            text.clear();
            push_address(&mut text, address);
        }
        let [before, behind] = around(&text);
        append(&mut elements, &[before, &text, behind].concat());
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
