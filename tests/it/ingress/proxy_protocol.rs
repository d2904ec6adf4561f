//! The PROXY protocol: its two headers byte by byte, and whose address a request counts as behind it (S09).

use std::time::Duration;

use hookward::ingress::Config;
use hookward::ingress::proxy_protocol::{Header, Refusal, V1_BYTES_MAX, V2_BYTES_MAX, Version, parse};
use proptest::prelude::*;

use super::gate::{Peer, short};
use super::{Gate, request};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2.
fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, content].concat()
}

fn v4(source: [u8; 4], port: u16) -> Vec<u8> {
    [&source[..], &[192, 0, 2, 80], &port.to_be_bytes(), &443_u16.to_be_bytes()].concat()
}

fn v6(source: &str, port: u16) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    [&address(source)[..], &address("2001:db8::80"), &port.to_be_bytes(), &443_u16.to_be_bytes()].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// Headers and the source that they name; nothing where they leave it to the socket.
fn good() -> Vec<(Version, Vec<u8>, Option<&'static str>)> {
    let line = |text: &str| format!("{text}\r\n").into_bytes();
    let longest = format!("PROXY UNKNOWN {}", "f".repeat(V1_BYTES_MAX - "PROXY UNKNOWN \r\n".len()));
    let [one, two] = [tlv(4, b""), [tlv(1, b"h2"), tlv(2, b"example.com"), tlv(0x20, &[7; 40])].concat()];
    let largest = tlv(4, &vec![0; V2_BYTES_MAX - 16 - 12 - 3]);
    vec![
        (Version::V1, line("PROXY TCP4 198.51.100.1 192.0.2.80 56324 443"), Some("198.51.100.1:56324")),
        (Version::V1, line("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535"), Some("255.255.255.255:65535")),
        (Version::V1, line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0"), Some("0.0.0.0:0")),
        (Version::V1, line("PROXY TCP6 2001:db8::1 2001:db8::80 1 65535"), Some("[2001:db8::1]:1")),
        (Version::V1, line("PROXY TCP6 ::ffff:198.51.100.1 ::1 7 8"), Some("[::ffff:198.51.100.1]:7")),
        (
            Version::V1,
            line(&format!("PROXY TCP6 {0} {0} 65535 65535", ["ffff"; 8].join(":"))),
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        (Version::V1, line("PROXY UNKNOWN"), None),
        (Version::V1, line("PROXY UNKNOWN ffff::1 ffff::2 65535 65535"), None),
        (Version::V1, line(&longest), None),
        (Version::V2, v2(0x21, 0x11, &v4([198, 51, 100, 1], 56324)), Some("198.51.100.1:56324")),
        (Version::V2, v2(0x21, 0x21, &v6("2001:db8::1", 1)), Some("[2001:db8::1]:1")),
        (Version::V2, v2(0x21, 0x11, &[v4([198, 51, 100, 1], 9), one].concat()), Some("198.51.100.1:9")),
        (Version::V2, v2(0x21, 0x21, &[v6("2001:db8::1", 9), two].concat()), Some("[2001:db8::1]:9")),
        (Version::V2, v2(0x21, 0x11, &[v4([198, 51, 100, 1], 9), largest].concat()), Some("198.51.100.1:9")),
        (Version::V2, v2(0x20, 0x00, b""), None),
        (Version::V2, v2(0x20, 0x11, &v4([198, 51, 100, 1], 9)), None),
        // LOCAL: the rest is skipped unread, whatever it is.
        (Version::V2, v2(0x20, 0xee, b"anything"), None),
        (Version::V2, v2(0x21, 0x00, b""), None),
        (Version::V2, v2(0x21, 0x00, b"anything"), None),
        (Version::V2, v2(0x21, 0x31, &[0; 216]), None),
        (Version::V2, v2(0x21, 0x31, &[&[0; 216][..], &tlv(4, b"x")].concat()), None),
    ]
}

/// What is no header, and why.
fn bad_v1() -> Vec<(Version, Vec<u8>, Refusal)> {
    let mut cases = Vec::new();
    for line in [
        "PROXY TCP4 198.51.100.1 192.0.2.80 56324\r\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80 56324 443 1\r\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80 56324 443 \r\n",
        "PROXY TCP4  198.51.100.1 192.0.2.80 56324 443\r\n",
        "PROXY TCP4\t198.51.100.1 192.0.2.80 56324 443\r\n",
        "PROXY  TCP4 198.51.100.1 192.0.2.80 56324 443\r\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80 56324 443\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80 65536 443\r\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80 +80 443\r\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80 -1 443\r\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80 080 443\r\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80 0x50 443\r\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80  443\r\n",
        "PROXY TCP4 198.51.100.1 192.0.2.80 80 443x\r\n",
        "PROXY TCP4 198.51.100.01 192.0.2.80 80 443\r\n",
        "PROXY TCP4 198.51.100 192.0.2.80 80 443\r\n",
        "PROXY TCP4 198.51.100.1:80 192.0.2.80 80 443\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 80 443\r\n",
        "PROXY TCP4 ::ffff:198.51.100.1 192.0.2.80 80 443\r\n",
        "PROXY TCP4 198.51.100.1 2001:db8::2 80 443\r\n",
        "PROXY TCP6 198.51.100.1 192.0.2.80 80 443\r\n",
        "PROXY TCP6 [2001:db8::1] 2001:db8::2 80 443\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::2 80 443\r\n",
        "PROXY UDP4 198.51.100.1 192.0.2.80 80 443\r\n",
        "PROXY tcp4 198.51.100.1 192.0.2.80 80 443\r\n",
        "PROXY UNKNOWNx\r\n",
        "PROXY \r\n",
        "PROXY TCP4 localhost localhost 80 443\r\n",
        "PROXY TCP4 198.51.100.1\0 192.0.2.80 80 443\r\n",
    ] {
        cases.push((Version::V1, line.as_bytes().to_vec(), Refusal::Malformed));
    }
    for start in ["proxy TCP4", "PROXYTCP4", "PROXI", "POST /hook HTTP/1.1\r\n", "\r\n\r\n\0\r\nQUIT\n", "\x16\x03\x01"]
    {
        cases.push((Version::V1, start.as_bytes().to_vec(), Refusal::NoHeader));
    }
    cases.push((Version::V1, b"PROXY UNKNOWN \xff\r\n".to_vec(), Refusal::Malformed));
    cases.push((Version::V1, format!("PROXY UNKNOWN {}", "f".repeat(100)).into_bytes(), Refusal::TooLong));
    let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_BYTES_MAX - "PROXY UNKNOWN \r\n".len() + 1));
    cases.push((Version::V1, too_long.into_bytes(), Refusal::TooLong));
    cases
}

/// The same of version 2.
fn bad_v2() -> Vec<(Version, Vec<u8>, Refusal)> {
    let mut cases = Vec::new();
    let address = v4([198, 51, 100, 1], 9);
    for (command, family, content) in [
        // A version, a command, a family that nobody knows; datagrams.
        (0x11, 0x11, address.clone()),
        (0x22, 0x11, address.clone()),
        (0x01, 0x11, address.clone()),
        (0x21, 0x12, address.clone()),
        (0x21, 0x22, v6("::1", 1)),
        (0x21, 0x32, vec![0; 216]),
        (0x21, 0x10, address.clone()),
        (0x21, 0x13, address.clone()),
        (0x21, 0x41, address.clone()),
        (0x21, 0xff, address.clone()),
        // Too short for its addresses.
        (0x21, 0x11, address[..11].to_vec()),
        (0x21, 0x11, Vec::new()),
        (0x21, 0x21, v6("::1", 1)[..35].to_vec()),
        (0x21, 0x31, vec![0; 215]),
        // TLVs that do not fill their room.
        (0x21, 0x11, [&address[..], &[4]].concat()),
        (0x21, 0x11, [&address[..], &[4, 0]].concat()),
        (0x21, 0x11, [&address[..], &[4, 0, 1]].concat()),
        (0x21, 0x11, [&address[..], &tlv(4, b"x"), &[4, 0xff, 0xff, 1]].concat()),
    ] {
        cases.push((Version::V2, v2(command, family, &content), Refusal::Malformed));
    }
    for start in [&b"PROXY TCP4 198.51.100.1"[..], b"POST /", b"\r\n\r\nPOST", b"\x16\x03\x01", b"\r\n\r\n\0\r\nQUIT\r"]
    {
        cases.push((Version::V2, start.to_vec(), Refusal::NoHeader));
    }
    let long = u16::try_from(V2_BYTES_MAX - 16 + 1).unwrap().to_be_bytes();
    cases.push((Version::V2, [SIGNATURE, &[0x21, 0x11], &long].concat(), Refusal::TooLong));
    cases.push((Version::V2, [SIGNATURE, &[0x20, 0x00, 0xff, 0xff]].concat(), Refusal::TooLong));
    cases
}

#[test]
fn good_headers_name_their_source_and_their_length() {
    for (version, bytes, source) in good() {
        let expected = Header { source: source.map(|source| source.parse().unwrap()), len: bytes.len() };
        assert_eq!(parse(version, &bytes), Ok(Some(expected)), "{}", bytes.escape_ascii());
        let with_more = [&bytes[..], b"POST /hook"].concat();
        assert_eq!(parse(version, &with_more), Ok(Some(expected)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_header_that_is_cut_anywhere_is_awaited() {
    for (version, bytes, _) in good() {
        for cut in 0..bytes.len() {
            assert_eq!(parse(version, &bytes[..cut]), Ok(None), "{} at {cut}", bytes.escape_ascii());
        }
    }
}

#[test]
fn what_is_no_header_is_refused_with_its_reason() {
    for (version, bytes, reason) in bad_v1().into_iter().chain(bad_v2()) {
        assert_eq!(parse(version, &bytes), Err(reason), "{}", bytes.escape_ascii());
        // Nothing that is refused was taken for a whole header before, and a refusal stands.
        for cut in 0..bytes.len() {
            let early = parse(version, &bytes[..cut]);
            assert!(matches!(early, Ok(None) | Err(_)), "{} at {cut}: {early:?}", bytes.escape_ascii());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_change_its_mind(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20", b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x40"]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
        more in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let bytes = [start, &rest].concat();
        let longer = [&bytes[..], &more].concat();
        for version in [Version::V1, Version::V2] {
            match parse(version, &bytes) {
                Ok(Some(header)) => {
                    prop_assert!(header.len <= bytes.len() && header.len <= V2_BYTES_MAX);
                    prop_assert_eq!(parse(version, &longer), Ok(Some(header)));
                    prop_assert_eq!(parse(version, &bytes[..header.len]), Ok(Some(header)));
                }
                Err(refusal) => prop_assert_eq!(parse(version, &longer), Err(refusal)),
                Ok(None) => {}
            }
        }
    }
}

/// Behind proxies at 127.0.0.0/8 and 10.0.0.0/8.
fn behind(version: Version) -> Config {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    Config { proxy_protocol: Some(version), trusted_proxies, ..short() }
}

#[tokio::test]
async fn s09_the_address_in_the_header_is_the_peer_and_forwarded_counts_only_where_it_is_trusted() {
    let [one, two] = [Gate::open(behind(Version::V1)).await, Gate::open(behind(Version::V2)).await];
    let xff = "X-Forwarded-For: 203.0.113.7, 198.51.100.9\r\n";
    let forwarded = "Forwarded: for=203.0.113.7, for=198.51.100.9\r\n";
    for (source, said, client) in [
        // A stranger behind the proxy: what it says of itself does not count.
        ([198, 51, 100, 1], "", "198.51.100.1"),
        ([198, 51, 100, 1], xff, "198.51.100.1"),
        ([198, 51, 100, 1], forwarded, "198.51.100.1"),
        ([198, 51, 100, 1], "X-Forwarded-For: 10.0.0.1\r\n", "198.51.100.1"),
        ([198, 51, 100, 1], "X-Real-IP: 203.0.113.7\r\n", "198.51.100.1"),
        ([11, 0, 0, 1], xff, "11.0.0.1"),
        // Another trusted proxy behind it.
        ([10, 0, 0, 1], "", "10.0.0.1"),
        ([10, 0, 0, 1], xff, "198.51.100.9"),
        ([10, 0, 0, 1], forwarded, "198.51.100.9"),
        ([10, 0, 0, 1], "X-Forwarded-For: 198.51.100.9, 10.0.0.2\r\n", "198.51.100.9"),
        ([10, 0, 0, 1], "X-Forwarded-For: unknown\r\n", "10.0.0.1"),
        ([10, 0, 0, 1], &format!("{xff}Forwarded: for=203.0.113.8\r\n"), "10.0.0.1"),
    ] {
        let post = format!("POST /hook HTTP/1.1\r\nHost: test\r\n{said}Content-Length: 0\r\n\r\n");
        let [a, b, c, d] = source;
        let line = format!("PROXY TCP4 {a}.{b}.{c}.{d} 192.0.2.80 56324 443\r\n{post}");
        assert_eq!(one.send(&line).await.body, format!("{client} 0"), "{line}");
        let header = v2(0x21, 0x11, &v4(source, 56324));
        assert_eq!(
            two.send([&header[..], post.as_bytes()].concat()).await.body,
            format!("{client} 0"),
            "{source:?} {said}"
        );
    }
    let post = format!("POST /hook HTTP/1.1\r\nHost: test\r\n{xff}Content-Length: 0\r\n\r\n");
    for (gate, header, client) in [
        // Without an address it is the socket's peer, which is a trusted proxy here.
        (&one, b"PROXY UNKNOWN\r\n".to_vec(), "198.51.100.9"),
        (&two, v2(0x20, 0x00, b""), "198.51.100.9"),
        (&two, v2(0x20, 0x11, &v4([203, 0, 113, 1], 1)), "198.51.100.9"),
        (&two, v2(0x21, 0x31, &[0; 216]), "198.51.100.9"),
        (&one, b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), "2001:db8::1"),
        (&two, v2(0x21, 0x21, &v6("2001:db8::1", 1)), "2001:db8::1"),
        // v4-mapped v6 counts as v4, trust included.
        (&one, b"PROXY TCP6 ::ffff:198.51.100.1 ::1 1 2\r\n".to_vec(), "198.51.100.1"),
        (&two, v2(0x21, 0x21, &v6("::ffff:198.51.100.1", 1)), "198.51.100.1"),
        (&two, v2(0x21, 0x21, &v6("::ffff:10.0.0.1", 1)), "198.51.100.9"),
    ] {
        let answer = gate.send([&header[..], post.as_bytes()].concat()).await;
        assert_eq!(answer.body, format!("{client} 0"), "{}", header.escape_ascii());
    }
}

#[tokio::test]
async fn a_header_may_come_in_any_pieces_and_with_the_first_request_behind_it() {
    for (version, header) in [
        (Version::V1, b"PROXY TCP4 198.51.100.1 192.0.2.80 56324 443\r\n".to_vec()),
        (Version::V2, v2(0x21, 0x11, &[v4([198, 51, 100, 1], 9), tlv(4, b"xyz")].concat())),
    ] {
        let gate = Gate::open(Config { header_timeout: Duration::from_secs(5), ..behind(version) }).await;
        let bytes = [&header[..], request("/hook", "body").as_bytes()].concat();
        for size in [1, 2, 7, header.len(), header.len() + 1] {
            let mut peer = gate.connect().await;
            peer.stream.set_nodelay(true).unwrap();
            for piece in bytes.chunks(size) {
                peer.write(piece).await;
                // So that the pieces do not melt into one on their way.
                tokio::task::yield_now().await;
            }
            assert_eq!(peer.answer().await.body, "198.51.100.1 4", "pieces of {size}");
            // Once a connection: the next request begins with HTTP.
            peer.write(request("/hook", "next!")).await;
            assert_eq!(peer.answer().await.body, "198.51.100.1 5");
        }
    }
}

/// Waits for the end of a connection that was refused; a reset is one too, where we had bytes unread.
async fn refused(peer: &mut Peer) {
    use tokio::io::AsyncReadExt as _;
    let mut rest = Vec::new();
    drop(tokio::time::timeout(super::gate::PATIENCE, peer.stream.read_to_end(&mut rest)).await.expect("the end"));
    assert!(rest.is_empty(), "answered: {}", rest.escape_ascii());
}

#[tokio::test]
async fn what_does_not_begin_with_a_header_is_closed_without_a_word_and_counted() {
    let post = request("/hook", "");
    for (version, bytes, reason) in [
        (Version::V1, post.clone().into_bytes(), "no_header"),
        (Version::V1, v2(0x21, 0x11, &v4([198, 51, 100, 1], 9)), "no_header"),
        (Version::V2, b"PROXY TCP4 198.51.100.1 192.0.2.80 56324 443\r\n".to_vec(), "no_header"),
        (Version::V2, post.clone().into_bytes(), "no_header"),
        (Version::V1, format!("PROXY TCP4 198.51.100.1\r\n{post}").into_bytes(), "malformed"),
        (Version::V2, v2(0x21, 0x12, &v4([198, 51, 100, 1], 9)), "malformed"),
        (Version::V1, format!("PROXY UNKNOWN {}", "f".repeat(100)).into_bytes(), "too_long"),
        (Version::V2, [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(), "too_long"),
        // Late: nothing, and half a header.
        (Version::V1, Vec::new(), "late"),
        (Version::V1, b"PROXY TCP4 198.51".to_vec(), "late"),
        (Version::V2, SIGNATURE.to_vec(), "late"),
    ] {
        let gate = Gate::open(behind(version)).await;
        let mut peer = gate.connect().await;
        peer.write(&bytes).await;
        refused(&mut peer).await;
        let refusals = &gate.metrics.proxy_headers_refused;
        let counted: Vec<_> = Refusal::ALL.iter().map(|one| one.code()).filter(|code| refusals.get(code) > 0).collect();
        assert_eq!(counted, [reason], "{}", bytes.escape_ascii());
        assert!(gate.refusals().is_empty(), "no request was there that could be refused");
    }
}

#[tokio::test]
async fn a_connection_that_ends_within_its_header_is_counted_and_one_from_a_stranger_is_not_read() {
    let gate = Gate::open(behind(Version::V1)).await;
    let mut peer = gate.connect().await;
    peer.write("PROXY TCP4 ").await;
    tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await.unwrap();
    refused(&mut peer).await;
    assert_eq!(gate.metrics.proxy_headers_refused.get("closed"), 1);
    // Trust can change while it runs.
    let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    gate.limits.store(std::sync::Arc::new(Config { trusted_proxies, ..behind(Version::V1) }));
    let mut peer = gate.connect().await;
    let line = format!("PROXY TCP4 10.0.0.1 192.0.2.80 56324 443\r\n{}", request("/hook", ""));
    // It may be closed already.
    drop(tokio::io::AsyncWriteExt::write_all(&mut peer.stream, line.as_bytes()).await);
    refused(&mut peer).await;
    assert_eq!(gate.metrics.proxy_headers_refused.get("untrusted_peer"), 1);
}
