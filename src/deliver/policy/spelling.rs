//! Judging a customer's URL by its text.
//!
//! A URL that programs could read differently is refused even where our own reading would be harmless: four plain
//! numbers or a plain name is all that anybody needs.

use url::Host;

use super::rule::{Policy, UrlRefused};
use crate::deliver::endpoint::EndpointUrl;

/// Ports below 1024 where web servers listen.
const LOW_PORTS: [u16; 2] = [80, 443];

/// Ports from 1024 on that browsers refuse (WHATWG Fetch, section 2.9 "port blocking"), and where stores and clusters listen
/// that take a request line for a command or need no password.
const OTHER_PROTOCOLS: [u16; 26] = [
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
    // etcd, kubelet, Redis, memcached.
    2379, 2380, 6379, 10250, 10255, 10256, 11211,
];

/// Names, and ends of names, that are only known within a network: RFC 6761, RFC 6762, RFC 8375, RFC 9476, ICANN's
/// `internal` (2024), and what routers and directories are given by habit.
const LOCAL_ENDS: [&str; 16] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "arpa",
    "alt",
    "onion",
    "invalid",
    "localhost6",
    "svc",
];

/// Judges the text before it is parsed.
pub(super) fn check(text: &str) -> Result<(), UrlRefused> {
    if text.len() > Policy::URL_BYTES_MAX {
        return Err(UrlRefused::TooLong);
    }
    // Parsers drop some of these, take others for `/`, and disagree about which.
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\' || is_invisible(c)) {
        return Err(UrlRefused::Spelling("a URL has no spaces, line breaks, backslashes or invisible characters"));
    }
    let rest = match text.split_once(':') {
        Some((scheme, rest)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => rest,
        // Another scheme, or none: the parser says it better.
        _ => return Ok(()),
    };
    if !rest.starts_with("//") || rest.starts_with("///") {
        return Err(UrlRefused::Spelling("a URL has two slashes after its scheme: https://host/path"));
    }
    let authority = authority(text);
    if authority.contains('@') {
        return Err(UrlRefused::Spelling("a URL of a webhook has no user name or password"));
    }
    if authority.contains('%') {
        return Err(UrlRefused::Spelling("the host is written without percent-encoding and without a zone"));
    }
    if authority.ends_with(':') {
        return Err(UrlRefused::Spelling("after a colon comes a port"));
    }
    Ok(())
}

/// Judges the text beside what was read from it.
pub(super) fn check_parsed(text: &str, url: &EndpointUrl) -> Result<(), UrlRefused> {
    let port = url.port();
    let is_refused = if port < 1024 { !LOW_PORTS.contains(&port) } else { OTHER_PROTOCOLS.contains(&port) };
    if is_refused {
        return Err(UrlRefused::Port(port));
    }
    match url.host() {
        Host::Ipv4(address) if host(authority(text)) != address.to_string() => {
            Err(UrlRefused::Spelling("an IPv4 address is written as four decimal numbers without leading zeros"))
        }
        // No top-level domain begins with anything else; what does is an address to some programs.
        Host::Domain(name) if !last_label(name).starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Err(UrlRefused::Spelling("the host ends in a word that begins with a letter, as in example.com"))
        }
        _ => Ok(()),
    }
}

/// Whether a name is only known within a network: one without a dot is completed by the resolver.
pub(super) fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ends_with = |end: &str| {
        name.len() >= end.len()
            && name.get(name.len() - end.len()..).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
            && name.get(..name.len() - end.len()).is_some_and(|head| head.is_empty() || head.ends_with('.'))
    };
    !name.contains('.') || LOCAL_ENDS.iter().any(|end| ends_with(end))
}

fn last_label(name: &str) -> &str {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.rsplit('.').next().unwrap_or_default()
}

/// What stands between `//` and the path.
fn authority(text: &str) -> &str {
    let rest = text.split_once("//").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The authority without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// What parsers strip from hosts without a word: soft hyphen, joiners, marks of direction, byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
