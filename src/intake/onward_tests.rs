//! What an app hears of a request, field by field.

use std::net::IpAddr;
use std::time::Instant;

use http::Request;

use super::*;
use crate::domain::{Hop, IdMint, Seq};

/// The fields that `sent` becomes, but for those that say which event it is.
fn passed(sent: &[(&str, &str)], peer: &str, is_trusted: bool, needed: &[&'static str]) -> Vec<String> {
    let mut request = Request::post("/in");
    for (name, value) in sent {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let peer: IpAddr = peer.parse().unwrap();
    let hop = Hop { peer, is_trusted, is_https: false, began: Instant::now() };
    let facts = Facts { client: Some(peer), hop: Some(hop), ..Facts::default() };
    let needed: Vec<HeaderName> = needed.iter().map(|name| HeaderName::from_static(name)).collect();
    let event = IdMint::new([1; 16]).event(Seq(7));
    let ours = Ours { event, source: "shop", received_at: Timestamp(0), is_unchecked: false };
    let block = headers(&head, &facts, &needed, &ours, wants_trailers(&head.headers)).finish();
    let fields = block.iter().filter(|(name, _)| !name.starts_with("hookward-"));
    fields.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
}

#[track_caller]
fn check(sent: &[(&str, &str)], peer: &str, is_trusted: bool, expected: &[&str]) {
    assert_eq!(passed(sent, peer, is_trusted, &[]), expected, "of {sent:?}");
}

/// The same without `Via`.
#[track_caller]
fn check_forwarding(sent: &[(&str, &str)], peer: &str, is_trusted: bool, expected: [&str; 4]) {
    let found = passed(sent, peer, is_trusted, &[]);
    let of = |name: &str| {
        let values: Vec<&str> = found.iter().filter_map(|field| field.strip_prefix(name)?.strip_prefix(": ")).collect();
        assert!(values.len() <= 1, "{name} twice: {found:?}");
        values.first().copied().unwrap_or_default().to_owned()
    };
    let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
    assert_eq!(names.map(of), expected, "of {sent:?} from {peer}, trusted: {is_trusted}");
}

const STRANGER: &str = "203.0.113.9";
const PROXY: &str = "10.0.0.1";

#[test]
fn a_stranger_is_not_believed() {
    let ours = ["203.0.113.9", "http", "shop.example", "for=203.0.113.9;host=\"shop.example\";proto=http"];
    let host = ("host", "shop.example");
    for spoofed in [
        &[][..],
        &[("x-forwarded-for", "127.0.0.1")],
        &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-for", "::1")],
        &[("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")],
        &[("forwarded", "for=127.0.0.1;proto=https;host=evil")],
        &[("forwarded", "for=\"[::1]"), ("x-forwarded-for", "\"")],
        &[("x-forwarded-port", "1"), ("x-forwarded-prefix", "/a"), ("x-real-ip", "::1"), ("x-forwarded-", "")],
    ] {
        let sent: Vec<_> = std::iter::once(host).chain(spoofed.iter().copied()).collect();
        check_forwarding(&sent, STRANGER, false, ours);
        let all = passed(&sent, STRANGER, false, &[]);
        assert_eq!(all.len(), 5, "nothing else of it reaches the app: {all:?}");
    }
    let v6 = ["2001:db8::9", "http", "shop:8080", "for=\"[2001:db8::9]\";host=\"shop:8080\";proto=http"];
    check_forwarding(&[("host", "shop:8080")], "2001:db8::9", false, v6);
    check_forwarding(&[], STRANGER, false, ["203.0.113.9", "http", "", "for=203.0.113.9;proto=http"]);
}

#[test]
fn a_trusted_proxy_is_continued_in_both_languages() {
    let host = ("host", "inner");
    let mine = "for=10.0.0.1;host=\"inner\";proto=http";
    check_forwarding(&[host], PROXY, true, ["10.0.0.1", "http", "inner", mine]);
    check_forwarding(
        &[
            host,
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
        ],
        PROXY,
        true,
        ["203.0.113.9, 10.0.0.1", "https", "shop.example", &format!("for=203.0.113.9, {mine}")],
    );
    check_forwarding(
        &[host, ("x-forwarded-for", "198.51.100.1:44, 2001:db8::9"), ("x-forwarded-for", "[2001:db8::8]:1, _hid")],
        PROXY,
        true,
        [
            "198.51.100.1:44, 2001:db8::9, [2001:db8::8]:1, _hid, 10.0.0.1",
            "http",
            "inner",
            &format!("for=198.51.100.1, for=\"[2001:db8::9]\", for=\"[2001:db8::8]\", for=unknown, {mine}"),
        ],
    );
    check_forwarding(
        &[host, ("forwarded", "for=203.0.113.9;proto=https, For=\"[2001:db8::9]:8\";by=_x"), ("forwarded", "by=_y")],
        PROXY,
        true,
        [
            "203.0.113.9, 2001:db8::9, unknown, 10.0.0.1",
            "http",
            "inner",
            &format!("for=203.0.113.9;proto=https, For=\"[2001:db8::9]:8\";by=_x, by=_y, {mine}"),
        ],
    );
    check_forwarding(
        &[host, ("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "203.0.113.9")],
        PROXY,
        true,
        ["203.0.113.9, 10.0.0.1", "http", "inner", &format!("for=203.0.113.9, {mine}")],
    );
    let kept = passed(&[("x-real-ip", "203.0.113.9"), ("x-forwarded-port", "443")], PROXY, true, &[]);
    assert!(kept.contains(&"x-real-ip: 203.0.113.9".to_owned()) && kept.contains(&"x-forwarded-port: 443".to_owned()));
}

#[test]
fn a_client_strips_only_what_was_for_one_hop() {
    let ours = ["x-forwarded-for: 203.0.113.9", "x-forwarded-proto: http", "forwarded: for=203.0.113.9;proto=http"];
    let via = "via: 1.1 hookward";
    check(
        &[
            ("connection", "close, X-Hop, x-forwarded-for, forwarded, via, authorization, cookie, content-type, host"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "Basic x"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("hookward-event-id", "evt_forged"),
            ("content-type", "application/json"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("via", "1.0 fred, 1.1 hookward"),
        ],
        STRANGER,
        false,
        &[
            "content-type: application/json",
            "authorization: Bearer x",
            "cookie: a=b",
            "via: 1.0 fred, 1.1 hookward",
            ours[0],
            ours[1],
            ours[2],
            via,
        ],
    );
    let sent = [("connection", "x-signature, x-other"), ("x-signature", "abc"), ("x-other", "1")];
    let kept = passed(&sent, STRANGER, false, &["x-signature"]);
    assert_eq!(kept, ["x-signature: abc", ours[0], ours[1], ours[2], via]);
    let trailers = passed(&[("te", "Trailers, deflate")], STRANGER, false, &[]);
    assert_eq!(trailers, [ours[0], ours[1], ours[2], "te: trailers", "connection: te", via]);
}

#[test]
fn circles_are_seen_and_a_chain_is_not_one() {
    let via = |value: &str, times: usize| {
        let mut headers = HeaderMap::new();
        for _ in 0..times {
            headers.append(VIA, value.parse().unwrap());
        }
        is_in_circles(&headers)
    };
    assert!(!via("1.1 hookward", PASSES_MAX - 1));
    assert!(via("1.1 hookward", PASSES_MAX));
    assert!(via("1.1 fred, 1.1 hookward (x)", PASSES_MAX));
    assert!(!via("1.1 hookwards, hookward", PASSES_MAX));
}
