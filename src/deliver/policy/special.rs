//! The ranges that are not the public unicast Internet.
//!
//! The IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates, as of 2026-11), with multicast,
//! the reserved blocks and what was withdrawn but may still be routed somewhere. Entries that the registries call globally
//! reachable (AS112, AMT, anycast services) are in the table too: nobody's webhook is there.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A range and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special<Address> {
    /// The first address.
    pub network: Address,
    /// How many bits are the network's.
    pub prefix: u8,
    /// What it is for, with the document that says so.
    pub purpose: &'static str,
}

const fn v4(octets: [u8; 4], prefix: u8, purpose: &'static str) -> Special<Ipv4Addr> {
    let [a, b, c, d] = octets;
    Special { network: Ipv4Addr::new(a, b, c, d), prefix, purpose }
}

const fn v6(segments: [u16; 8], prefix: u8, purpose: &'static str) -> Special<Ipv6Addr> {
    let [a, b, c, d, e, f, g, h] = segments;
    Special { network: Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix, purpose }
}

/// IPv4.
pub const V4: [Special<Ipv4Addr>; 18] = [
    v4([0, 0, 0, 0], 8, "this network (RFC 791)"),
    v4([10, 0, 0, 0], 8, "private (RFC 1918)"),
    v4([100, 64, 0, 0], 10, "shared by a carrier's NAT (RFC 6598)"),
    v4([127, 0, 0, 0], 8, "loopback (RFC 1122)"),
    v4([169, 254, 0, 0], 16, "link-local, metadata of clouds (RFC 3927)"),
    v4([172, 16, 0, 0], 12, "private (RFC 1918)"),
    // Holds service continuity, dummy, PCP and TURN anycast, NAT64 discovery.
    v4([192, 0, 0, 0], 24, "protocol assignments (RFC 6890)"),
    v4([192, 0, 2, 0], 24, "documentation (RFC 5737)"),
    v4([192, 31, 196, 0], 24, "AS112 (RFC 7535)"),
    v4([192, 52, 193, 0], 24, "AMT (RFC 7450)"),
    v4([192, 88, 99, 0], 24, "6to4 relays (RFC 7526)"),
    v4([192, 168, 0, 0], 16, "private (RFC 1918)"),
    v4([192, 175, 48, 0], 24, "AS112 (RFC 7534)"),
    v4([198, 18, 0, 0], 15, "benchmarking (RFC 2544)"),
    v4([198, 51, 100, 0], 24, "documentation (RFC 5737)"),
    v4([203, 0, 113, 0], 24, "documentation (RFC 5737)"),
    v4([224, 0, 0, 0], 4, "multicast (RFC 5771)"),
    // Holds the limited broadcast.
    v4([240, 0, 0, 0], 4, "reserved (RFC 1112)"),
];

/// The one block of IPv6 that global unicast addresses are given from (RFC 4291 section 2.4, IANA's address space).
pub const V6_GLOBAL: Special<Ipv6Addr> = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, "global unicast");

/// IPv6, also outside of [`V6_GLOBAL`] for the words' sake.
pub const V6: [Special<Ipv6Addr>; 23] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified (RFC 4291)"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback (RFC 4291)"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible (RFC 4291)"),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4-translated (RFC 2765)"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local NAT64 (RFC 8215)"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard (RFC 6666)"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy (RFC 9780)"),
    // Narrower than the block that holds it, for the words' sake.
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo (RFC 4380)"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking (RFC 5180)"),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "ORCHID (RFC 4843)"),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "ORCHIDv2 (RFC 7343)"),
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, "drone identifiers (RFC 9374)"),
    // Holds PCP, TURN and DNS-SD anycast, AMT and AS112 too.
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments (RFC 2928)"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation (RFC 3849)"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4 (RFC 3056)"),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "AS112 (RFC 7534)"),
    v6([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, "6bone (RFC 3701)"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation (RFC 9637)"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing (RFC 9602)"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local (RFC 4193)"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local (RFC 4291)"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local (RFC 3879)"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast (RFC 4291)"),
];

/// What is neither in the table nor in [`V6_GLOBAL`].
pub const V6_UNALLOCATED: &str = "not allocated (RFC 4291)";

// === impl Special ===

impl Special<Ipv4Addr> {
    /// Whether the address is in the range.
    #[must_use]
    pub const fn contains(&self, address: Ipv4Addr) -> bool {
        let host_bits = 32 - self.prefix as u32;
        (address.to_bits() ^ self.network.to_bits()) as u64 >> host_bits == 0
    }
}

impl Special<Ipv6Addr> {
    /// Whether the address is in the range.
    #[must_use]
    pub const fn contains(&self, address: Ipv6Addr) -> bool {
        let host_bits = 128 - self.prefix as u32;
        (address.to_bits() ^ self.network.to_bits()) >> host_bits == 0
    }
}
