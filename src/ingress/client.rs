//! Who the client is: the socket's peer, or, behind trusted proxies only, what they say.
//!
//! From an untrusted peer every such header is ignored. From a trusted one the hops of `Forwarded` (RFC 7239),
//! or of `X-Forwarded-For` where that is absent, are walked from the right: each proxy appends the address it
//! saw, so the right-most hop that is not a trusted proxy is the last one that somebody we trust has seen.
//! Everything to its left can be made up.
//!
//! Fail closed: a hop that is no address (`unknown`, an obfuscated `_name`, garbage) ends the walk, and the
//! client is the last trusted address before it: an allowlist that does not name the proxies refuses it. The
//! same where both headers are there and disagree: the proxy set one of them and passed the other on from a
//! stranger, and nobody can tell which.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Hops that are looked at, from the right; a longer chain of trusted proxies does not exist.
pub const HOPS_MAX: usize = 64;

/// The client's address behind `peer`, v4-mapped v6 turned into v4 and without a zone.
///
/// Repeated headers are one list, in order.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted_proxies) {
        return peer;
    }
    let forwarded = headers.contains_key(FORWARDED).then(|| {
        let hops = headers.get_all(FORWARDED).iter().rev().flat_map(|value| elements_from_right(value.as_bytes()));
        walk(peer, hops.map(forwarded_for), trusted_proxies)
    });
    let x_forwarded_for = headers.contains_key(X_FORWARDED_FOR).then(|| {
        let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
        walk(peer, values.flat_map(|value| elements_from_right(value.as_bytes())).map(parse_hop), trusted_proxies)
    });
    match (forwarded, x_forwarded_for) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => peer,
    }
}

/// Walks `hops`, right-most first, to the first one that is not a trusted proxy.
fn walk(peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>, trusted_proxies: &[IpNet]) -> IpAddr {
    let mut last_trusted = peer;
    for hop in hops.take(HOPS_MAX) {
        match hop {
            None => return last_trusted,
            Some(address) if is_trusted(address, trusted_proxies) => last_trusted = address,
            Some(address) => return address,
        }
    }
    last_trusted
}

/// Whether an address, v4-mapped v6 turned into v4, is one of these proxies.
pub fn is_trusted(address: IpAddr, trusted_proxies: &[IpNet]) -> bool {
    trusted_proxies.iter().any(|net| net.contains(&address))
}

/// The elements of a comma-separated list, last first, lazily; commas in quoted strings do not separate.
///
/// Quotes are counted from the right, which is the trusted side: what a stranger wrote further left cannot
/// change how the elements to the right of it are read.
fn elements_from_right(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let mut quoted = false;
        let comma = list.iter().rposition(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let (left, element) = match comma {
            Some(comma) => (list.get(..comma), list.get(comma + 1..)),
            None => (None, Some(list)),
        };
        rest = left;
        element
    })
    // RFC 9110 section 5.6.1: empty elements of a list do not count.
    .map(<[u8]>::trim_ascii)
    .filter(|element| !element.is_empty())
}

/// The address of the one `for` parameter of an element of `Forwarded`; two of them are garbage.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(|byte| *byte == b';') {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair.get(..equals)?.trim_ascii(), pair.get(equals + 1..)?.trim_ascii());
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
    }
    let value = found?;
    match value.strip_prefix(b"\"") {
        Some(quoted) => parse_hop(quoted.strip_suffix(b"\"")?),
        None => parse_hop(value),
    }
}

/// An address as proxies write it: `1.2.3.4`, `1.2.3.4:5`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5`,
/// each v6 form also with a zone (`%eth0`), which means nothing here and is dropped.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim_ascii();
    let address = if let Some(bracketed) = hop.strip_prefix('[') {
        let (inside, after) = bracketed.split_once(']')?;
        if !after.is_empty() {
            parse_port(after.strip_prefix(':')?)?;
        }
        IpAddr::V6(parse_v6(inside)?)
    } else if let Ok(address) = hop.parse::<SocketAddr>() {
        address.ip()
    } else if hop.contains(':') {
        IpAddr::V6(parse_v6(hop)?)
    } else {
        hop.parse().ok()?
    };
    Some(address.to_canonical())
}

fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => address.parse().ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
