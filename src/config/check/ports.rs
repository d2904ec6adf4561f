//! `ingress` and `admin`: the two sockets and their limits.

use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;

use super::checked::{Admin, Role, Token};
use super::value::{NAME_HINT, count, is_name, period, secret, size};
use crate::config::document::problem::Problems;
use crate::config::document::spanned::At;
use crate::config::memory;
use crate::config::quantity::Size;
use crate::config::written;
use crate::guard::allow_ips;
use crate::ingress;
use crate::ingress::proxy_protocol::Version;

/// The shortest admin token: 16 characters of `openssl rand -hex 16` are 64 bits already.
const TOKEN_CHARS_MIN: usize = 16;

pub(super) fn ingress(written: &written::Configuration, problems: &mut Problems<'_>) -> ingress::Config {
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let body_memory_max = bytes(memory::for_bodies(Path::new(memory::ROOT), largest_body(written)));
    let default = ingress::Config { body_memory_max, ..ingress::Config::default() };
    let Some(At { value: written, at }) = &written.ingress else { return default };
    let connections = u32::try_from(default.connections_max)
        .ok()
        .and_then(std::num::NonZeroU32::new)
        .unwrap_or(std::num::NonZeroU32::MIN);
    let checked = ingress::Config {
        listen: address(written.listen.as_ref(), default.listen, problems),
        trusted_proxies: networks(written.trusted_proxies.as_deref(), EVERY_PROXY, problems),
        proxy_protocol: proxy_protocol(written, problems),
        tls: super::tls::tls(written.tls.as_ref(), problems),
        connections_max: bytes(count(written.connections_max.as_ref(), connections, problems).get().into()),
        // Below 8 KiB hyper cannot read a request line; above 1 MiB each connection would be a risk.
        headers_bytes_max: bytes(size(
            written.headers_bytes_max.as_ref(),
            default.headers_bytes_max as u64,
            8 << 10,
            1 << 20,
            problems,
        )),
        body_bytes_max: bytes(size(
            written.body_bytes_max.as_ref(),
            default.body_bytes_max as u64,
            1,
            1 << 30,
            problems,
        )),
        body_memory_max: bytes(size(
            written.body_memory_max.as_ref(),
            default.body_memory_max as u64,
            1,
            Size::MAX,
            problems,
        )),
        body_spool_max: bytes(size(
            written.body_spool_max.as_ref(),
            default.body_spool_max as u64,
            1,
            Size::MAX,
            problems,
        )),
        header_timeout: period(written.header_timeout.as_ref(), default.header_timeout, problems),
        request_timeout: period(written.request_timeout.as_ref(), default.request_timeout, problems),
        drain_timeout: written.drain_timeout.as_ref().map_or(default.drain_timeout, |period| period.value.0),
        ..default
    };
    if checked.body_bytes_max > checked.body_memory_max {
        problems.wrong_key(
            *at,
            "body_memory_max",
            "smaller than body_bytes_max: the largest body could never be read",
            format!("write at least {}", Size(checked.body_bytes_max as u64)),
        );
    }
    if checked.header_timeout > checked.request_timeout {
        problems.wrong_key(
            *at,
            "header_timeout",
            "longer than request_timeout, which would always come first",
            "make it shorter, or request_timeout longer",
        );
    }
    checked
}

/// The largest `body_bytes_max` that is written.
fn largest_body(written: &written::Configuration) -> u64 {
    let of_ingress = written.ingress.iter().filter_map(|ingress| ingress.value.body_bytes_max.as_ref());
    let of_sources = written.sources.0.iter().filter_map(|(_, source)| source.value.body_bytes_max.as_ref());
    of_ingress.chain(of_sources).map(|size| size.value.0).max().unwrap_or_default()
}

/// Which header each connection begins with, from the proxies that are trusted.
fn proxy_protocol(written: &written::Ingress, problems: &mut Problems<'_>) -> Option<Version> {
    let word = written.proxy_protocol.as_ref()?;
    let version = match word.value {
        written::ProxyProtocol::Off => return None,
        written::ProxyProtocol::V1 => Version::V1,
        written::ProxyProtocol::V2 => Version::V2,
    };
    if written.trusted_proxies.as_ref().is_none_or(Vec::is_empty) {
        problems.wrong(
            word.at,
            "nobody could connect: headers are taken from trusted_proxies only, and there are none",
            "add the addresses of the proxies in front of the gateway to ingress.trusted_proxies",
        );
    }
    Some(version)
}

fn address(written: Option<&At<String>>, default: SocketAddr, problems: &mut Problems<'_>) -> SocketAddr {
    let Some(At { value, at }) = written else { return default };
    value.trim().parse().unwrap_or_else(|_| {
        problems.wrong(*at, "not an address with a port", "write it like 0.0.0.0:8080 or [::1]:8080");
        default
    })
}

/// What it means that a trusted network is every network.
const EVERY_PROXY: &str = "every peer is trusted to name the client's address, and can pretend to be on an allowlist";

/// A list of networks; one that is every network is worth the warning `every`.
pub(super) fn networks(written: Option<&[At<String>]>, every: &str, problems: &mut Problems<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for entry in written.unwrap_or_default() {
        match allow_ips::Config::parse_list(&entry.value) {
            Ok(list) => networks.extend(list.networks),
            Err(error) => refuse_entry(entry, error.line, problems),
        }
        if networks.iter().any(|network: &IpNet| network.prefix_len() == 0) {
            problems.warn(entry.at, every, "name the networks that are meant");
        }
    }
    networks
}

/// Says which line of a file is wrong without repeating it.
pub(super) fn refuse_entry(entry: &At<String>, line: usize, problems: &mut Problems<'_>) {
    let message = if problems.tree().is_referred(entry.at) {
        format!("line {line} of what this refers to is neither an address nor a network")
    } else {
        "neither an address nor a network".to_owned()
    };
    problems.wrong(entry.at, message, "write it like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32");
}

pub(super) fn admin(
    written: Option<&At<written::Admin>>,
    ingress: &ingress::Config,
    problems: &mut Problems<'_>,
) -> Admin {
    let default = Admin::default();
    let Some(At { value: written, at }) = written else { return default };
    let checked = Admin {
        listen: address(written.listen.as_ref(), default.listen, problems),
        tokens: tokens(written.tokens.as_deref().unwrap_or_default(), problems),
    };
    let (own, other) = (checked.listen, ingress.listen);
    let same_host = own.ip() == other.ip() || own.ip().is_unspecified() || other.ip().is_unspecified();
    if own.port() == other.port() && own.port() != 0 && same_host {
        problems.wrong_key(
            *at,
            "listen",
            "the same port as ingress.listen",
            "the API never stands on the port that strangers reach: choose another one",
        );
    }
    let nobody_named = written.tokens.as_deref().unwrap_or_default().is_empty();
    if !own.ip().to_canonical().is_loopback() && nobody_named {
        problems.wrong_key(
            *at,
            "listen",
            "others can reach this address and there are no tokens",
            "add admin.tokens, or listen on 127.0.0.1",
        );
    }
    checked
}

fn tokens(written: &[At<written::AdminToken>], problems: &mut Problems<'_>) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for At { value: token, .. } in written {
        if !is_name(&token.name.value) {
            problems.wrong(token.name.at, "not a name", NAME_HINT);
        }
        if tokens.iter().any(|known| *known.name == *token.name.value) {
            problems.wrong(token.name.at, "two tokens have this name", "logs could not tell them apart");
        }
        let Some(secret) = secret(&token.token, problems) else { continue };
        if secret.expose().len() < TOKEN_CHARS_MIN {
            problems.wrong(
                token.token.at,
                format!("shorter than {TOKEN_CHARS_MIN} characters"),
                "make one with `openssl rand -hex 32`",
            );
        }
        if tokens.iter().any(|known| known.token == secret) {
            problems.wrong(token.token.at, "two tokens are the same", "make one for each");
        }
        let role = match token.role.value {
            written::Role::Admin => Role::Admin,
            written::Role::Viewer => Role::Viewer,
            written::Role::Publisher => Role::Publisher,
        };
        if let Some(project) = token.project.as_ref().filter(|project| !is_name(&project.value)) {
            problems.wrong(project.at, "not a name of a project", NAME_HINT);
        }
        let project = token.project.as_ref().map(|project| project.value.as_str().into());
        tokens.push(Token { name: token.name.value.as_str().into(), token: secret, role, project });
    }
    tokens
}
