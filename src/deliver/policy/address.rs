//! Judging one address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::special::{V4, V6, V6_GLOBAL, V6_UNALLOCATED};

/// The IPv4 address that a packet to this one arrives at, where an IPv6 address is only another spelling of it: v4-mapped
/// (RFC 4291 section 2.5.5.2), or through the well-known NAT64 prefix (RFC 6052 section 2.1), which networks without
/// IPv4 reach the rest of the world by.
pub(super) fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let nat64 = || match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(joined(high, low)),
        _ => None,
    };
    address.to_ipv4_mapped().or_else(nat64)
}

/// The IPv4 address of a tunnel's other end that stands in the interface's part (ISATAP, RFC 5214 section 6.1): a router of
/// the network may take the packet there.
fn tunnelled(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(joined(high, low)),
        _ => None,
    }
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// The same address as it is judged: IPv4 wherever it arrives at one.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => carried(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// What the address is for, where that is not the public Internet.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match canonical(address) {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    V4.iter().find(|range| range.contains(address)).map(|range| range.purpose)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(range) = V6.iter().find(|range| range.contains(address)) {
        return Some(range.purpose);
    }
    if !V6_GLOBAL.contains(address) {
        return Some(V6_UNALLOCATED);
    }
    tunnelled(address).and_then(special_v4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::special::Special;
    use super::*;

    #[track_caller]
    fn check(address: &str, expected: Option<&str>) {
        let found = special(address.parse().unwrap());
        match expected {
            Some(word) => assert!(found.is_some_and(|purpose| purpose.contains(word)), "{address}: {found:?}"),
            None => assert_eq!(found, None, "{address}"),
        }
    }

    #[test]
    fn the_edges_of_every_range_are_inside_and_their_neighbours_outside() {
        for range in V4 {
            let (first, size) = (range.network.to_bits(), 1_u64 << (32 - range.prefix));
            let last = u32::try_from(u64::from(first) + size - 1).unwrap();
            for inside in [first, last, first + (last - first) / 2] {
                assert!(special_v4(Ipv4Addr::from_bits(inside)).is_some(), "{range:?}");
            }
            for outside in [first.checked_sub(1), last.checked_add(1)].into_iter().flatten() {
                assert!(!range.contains(Ipv4Addr::from_bits(outside)), "{range:?}");
            }
        }
        for range in V6 {
            let first = range.network.to_bits();
            let last = first | u128::MAX.checked_shr(u32::from(range.prefix)).unwrap_or(0);
            for inside in [first, last, first + (last - first) / 2] {
                assert!(special_v6(Ipv6Addr::from_bits(inside)).is_some(), "{range:?}");
            }
            for outside in [first.checked_sub(1), last.checked_add(1)].into_iter().flatten() {
                assert!(!range.contains(Ipv6Addr::from_bits(outside)), "{range:?}");
            }
        }
    }

    #[test]
    fn what_is_in_a_range_is_known_by_its_purpose() {
        check("127.0.0.1", Some("loopback"));
        check("10.255.255.255", Some("private"));
        check("172.31.255.255", Some("private"));
        check("172.32.0.0", None);
        check("100.127.255.255", Some("carrier"));
        check("100.128.0.0", None);
        check("169.254.169.254", Some("link-local"));
        check("255.255.255.255", Some("reserved"));
        check("239.255.255.250", Some("multicast"));
        check("8.8.8.8", None);
        check("::1", Some("loopback"));
        check("fd00::1", Some("unique local"));
        check("fe80::1", Some("link-local"));
        check("2001::1", Some("Teredo"));
        check("2001:db8::1", Some("documentation"));
        check("2002:7f00:1::", Some("6to4"));
        check("4000::1", Some("not allocated"));
        check("2606:4700::1111", None);
        check("2001:200::1", None);
    }

    #[test]
    fn an_address_that_carries_another_is_judged_by_it() {
        for (inner, purpose) in [("127.0.0.1", Some("loopback")), ("10.1.2.3", Some("private")), ("8.8.8.8", None)] {
            check(&format!("::ffff:{inner}"), purpose);
            check(&format!("64:ff9b::{inner}"), purpose);
            check(&format!("2606:4700::5efe:{inner}"), purpose);
            check(&format!("2606:4700::200:5efe:{inner}"), purpose);
        }
        // No longer in use, or local by definition: whatever they carry.
        check("::8.8.8.8", Some("IPv4-compatible"));
        check("::ffff:0:8.8.8.8", Some("IPv4-translated"));
        check("64:ff9b:1::8.8.8.8", Some("local NAT64"));
        check("2002:808:808::", Some("6to4"));
    }

    proptest! {
        #[test]
        fn the_standard_library_agrees_where_it_has_an_opinion(bits: u32, wide: u128) {
            let v4 = Ipv4Addr::from_bits(bits);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_unspecified()
            {
                prop_assert!(special_v4(v4).is_some(), "{v4}");
            }
            let v6 = Ipv6Addr::from_bits(wide);
            if v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast() || v6.is_loopback() {
                prop_assert!(special_v6(v6).is_some(), "{v6}");
            }
        }

        #[test]
        fn a_range_holds_what_shares_its_prefix_and_nothing_else(bits: u32, which in 0..V4.len()) {
            let range: Special<Ipv4Addr> = V4[which];
            let network = ipnet::Ipv4Net::new(range.network, range.prefix).unwrap();
            prop_assert_eq!(range.contains(Ipv4Addr::from_bits(bits)), network.contains(&Ipv4Addr::from_bits(bits)));
        }
    }
}
