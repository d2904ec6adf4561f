//! The PROXY protocol's header (HAProxy, "The PROXY protocol", versions 1 and 2): what a proxy says of the
//! connection that it passes on, before the first byte of that connection.
//!
//! A pure function over the bytes so far. It is strict where the specification is: one space between the words of
//! version 1, no sign or leading zero in a port, no bytes of an unknown command or family in version 2, TLVs that
//! fill their room to the byte. What a TLV says is not looked at.
//!
//! Our own and not a crate: `ppp` 2.3 has not been released since 2025-02, and `proxy-header` 0.1.3 takes `+80` for
//! a port and `PROXY?UNKNOWNx` for a header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Which of the two headers a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// A binary header.
    V2,
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the proxied connection comes from; `None` where the header leaves it to the socket (`UNKNOWN`, `LOCAL`,
    /// an unspecified family, a Unix socket).
    pub source: Option<SocketAddr>,
    /// Bytes of the header; what follows belongs to the connection.
    pub len: usize,
}

/// Why a connection with a header is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its peer is not one of `trusted_proxies`.
    #[error("the peer is not one of trusted_proxies")]
    UntrustedPeer,
    /// It begins with something else.
    #[error("the connection does not begin with the header of this version")]
    NoHeader,
    /// It begins like a header and goes on otherwise.
    #[error("the header is malformed")]
    Malformed,
    /// Longer than a header of this version may be.
    #[error("the header is longer than allowed")]
    TooLong,
    /// Not complete within `header_timeout`.
    #[error("the header did not come within header_timeout")]
    Late,
    /// The connection ended or broke before.
    #[error("the connection ended within the header")]
    Closed,
}

/// The longest header of version 1, in bytes, its line end included (specification, section 2.1).
pub const V1_BYTES_MAX: usize = 107;

/// The longest header of version 2, in bytes: its fixed part, and what addresses and TLVs may take. Unix addresses
/// take 216, what proxies add of TLS and their own some hundred.
pub const V2_BYTES_MAX: usize = V2_FIXED_BYTES + (4 << 10);

/// Signature, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;

const V1_SIGNATURE: &[u8] = b"PROXY ";

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Reads the header at the beginning of `bytes`; `None` where more bytes are needed.
///
/// # Errors
/// [`Refusal::NoHeader`], [`Refusal::Malformed`] or [`Refusal::TooLong`], as early as the bytes show it.
pub fn parse(version: Version, bytes: &[u8]) -> Result<Option<Header>, Refusal> {
    match version {
        Version::V1 => parse_v1(bytes),
        Version::V2 => parse_v2(bytes),
    }
}

/// Whether `bytes` begin with `signature`; `None` while they are too few to tell.
fn begins_with(bytes: &[u8], signature: &[u8]) -> Result<Option<()>, Refusal> {
    let len = bytes.len().min(signature.len());
    match bytes.get(..len) == signature.get(..len) {
        true if len == signature.len() => Ok(Some(())),
        true => Ok(None),
        false => Err(Refusal::NoHeader),
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Header>, Refusal> {
    if begins_with(bytes, V1_SIGNATURE)?.is_none() {
        return Ok(None);
    }
    let window = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() >= V1_BYTES_MAX { Err(Refusal::TooLong) } else { Ok(None) };
    };
    let line = window.get(V1_SIGNATURE.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok()).ok_or(Refusal::Malformed)?;
    let source = source_of_line(line).ok_or(Refusal::Malformed)?;
    Ok(Some(Header { source, len: end + 1 }))
}

/// What a line says behind `PROXY `; the outer `None` is a line that says nothing that can be understood.
fn source_of_line(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Section 2.1: whatever else is on the line is ignored.
        return Some(None);
    }
    let (source, destination, source_port, destination_port) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    let address = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    let (source, _) = (address(source)?, address(destination)?);
    let (port, _) = (port(source_port)?, port(destination_port)?);
    words.next().is_none().then_some(Some(SocketAddr::new(source, port)))
}

fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn parse_v2(bytes: &[u8]) -> Result<Option<Header>, Refusal> {
    if begins_with(bytes, V2_SIGNATURE)?.is_none() {
        return Ok(None);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else {
        return check_v2_begin(bytes).map(|()| None);
    };
    check_v2_begin(fixed)?;
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if V2_FIXED_BYTES + length > V2_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let Some(content) = rest.get(..length) else { return Ok(None) };
    let len = V2_FIXED_BYTES + length;
    if command == COMMAND_LOCAL {
        // Section 2.2: the receiver uses the real connection's addresses and skips the rest unread.
        return Ok(Some(Header { source: None, len }));
    }
    let source = source_of_content(family, content).ok_or(Refusal::Malformed)?;
    Ok(Some(Header { source, len }))
}

/// Version 2, command LOCAL: the proxy's own connection, a health check.
const COMMAND_LOCAL: u8 = 0x20;

/// Version 2, command PROXY.
const COMMAND_PROXY: u8 = 0x21;

/// Section 2.2: version and command and family must be known ones, or the connection is dropped.
fn check_v2_begin(bytes: &[u8]) -> Result<(), Refusal> {
    let (command, family) = (bytes.get(12).copied(), bytes.get(13).copied());
    match command {
        None => Ok(()),
        Some(COMMAND_LOCAL) => Ok(()),
        Some(COMMAND_PROXY) => match family {
            None | Some(0x00 | 0x11 | 0x21 | 0x31) => Ok(()),
            // Datagrams too: this is no port for them.
            Some(_) => Err(Refusal::Malformed),
        },
        Some(_) => Err(Refusal::Malformed),
    }
}

/// What stands behind the fixed part of a PROXY command; the outer `None` is what does not fit the family.
fn source_of_content(family: u8, content: &[u8]) -> Option<Option<SocketAddr>> {
    let (source, tlvs) = match family {
        0x11 => {
            let (addresses, tlvs) = content.split_first_chunk::<12>()?;
            let [a, b, c, d, _, _, _, _, high, low, ..] = *addresses;
            (Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))), tlvs)
        }
        0x21 => {
            let (source, rest) = content.split_first_chunk::<16>()?;
            let (_destination, rest) = rest.split_first_chunk::<16>()?;
            let (&[high, low, ..], tlvs) = rest.split_first_chunk::<4>()?;
            (Some(SocketAddr::from((*source, u16::from_be_bytes([high, low])))), tlvs)
        }
        0x31 => (None, content.get(216..)?),
        // Unspecified: section 2.2 says that the rest may be anything.
        _ => return Some(None),
    };
    are_tlvs(tlvs).then_some(source)
}

/// Whether these are type, length, value triples to the last byte (section 2.2.1).
fn are_tlvs(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some((&[_kind, high, low], rest)) = bytes.split_first_chunk::<3>() else { return false };
        match rest.get(usize::from(u16::from_be_bytes([high, low]))..) {
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    true
}

// === impl Version, Refusal ===

impl Version {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 6] =
        [Self::UntrustedPeer, Self::NoHeader, Self::Malformed, Self::TooLong, Self::Late, Self::Closed];

    /// The word for metrics and logs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UntrustedPeer => "untrusted_peer",
            Self::NoHeader => "no_header",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Late => "late",
            Self::Closed => "closed",
        }
    }
}
