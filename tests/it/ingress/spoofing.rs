//! S09: whose address a request counts as. One table over the pure function, and the same through sockets.

use std::net::IpAddr;

use hookward::ingress::{Config, client_address};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::Gate;
use super::gate::short;

/// The proxies of the table: a v4 network, one v4 address, a v6 network.
fn trusted() -> Vec<IpNet> {
    ["10.0.0.0/8", "192.0.2.1/32", "2001:db8:aaaa::/48"].map(|net| net.parse().unwrap()).to_vec()
}

/// Headers as `name: value` lines.
fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Checks case by case, and counts.
#[derive(Default)]
struct Table {
    cases: usize,
}

// === impl Table ===

impl Table {
    #[track_caller]
    fn check(&mut self, peer: &str, lines: &[&str], expected: &str) {
        let got = client_address(peer.parse().unwrap(), &headers(lines), &trusted());
        assert_eq!(got, expected.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        self.cases += 1;
    }
}

fn an_untrusted_peer_is_the_client_whatever_it_says(table: &mut Table) {
    table.check("203.0.113.9", &[], "203.0.113.9");
    table.check("203.0.113.9", &["X-Forwarded-For: 198.51.100.1"], "203.0.113.9");
    table.check("203.0.113.9", &["X-Forwarded-For: 10.0.0.1"], "203.0.113.9");
    table.check("203.0.113.9", &["X-Forwarded-For: 198.51.100.1, 10.0.0.1"], "203.0.113.9");
    table.check("203.0.113.9", &["Forwarded: for=198.51.100.1"], "203.0.113.9");
    table.check("203.0.113.9", &["X-Real-IP: 198.51.100.1"], "203.0.113.9");
    table.check("203.0.113.9", &["X-Client-IP: 198.51.100.1", "True-Client-IP: 198.51.100.1"], "203.0.113.9");
    table.check("192.0.2.2", &["X-Forwarded-For: 198.51.100.1"], "192.0.2.2");
    table.check("11.0.0.1", &["X-Forwarded-For: 198.51.100.1"], "11.0.0.1");
    table.check("::ffff:203.0.113.9", &["X-Forwarded-For: 198.51.100.1"], "203.0.113.9");
    table.check("2001:db8:bbbb::1", &["X-Forwarded-For: 198.51.100.1"], "2001:db8:bbbb::1");
    table.check("::ffff:a00:1", &[], "10.0.0.1");
    table.check("64:ff9b::a00:1", &["X-Forwarded-For: 198.51.100.1"], "64:ff9b::a00:1");
}

fn the_right_most_untrusted_hop_is_the_client(table: &mut Table) {
    for peer in ["10.0.0.1", "192.0.2.1", "2001:db8:aaaa::1", "::ffff:10.0.0.1"] {
        table.check(peer, &["X-Forwarded-For: 198.51.100.1"], "198.51.100.1");
        table.check(peer, &["X-Forwarded-For: 1.1.1.1, 198.51.100.1"], "198.51.100.1");
        table.check(peer, &["X-Forwarded-For: 1.1.1.1, 198.51.100.1, 10.2.2.2"], "198.51.100.1");
    }
    table.check("10.0.0.1", &["X-Forwarded-For: 1.1.1.1, 198.51.100.1, 10.2.2.2, 192.0.2.1"], "198.51.100.1");
    table.check("10.0.0.1", &["X-Forwarded-For: 10.9.9.9, 198.51.100.1"], "198.51.100.1");
    // A stranger cannot pass for a proxy by naming one to the left of itself.
    table.check("10.0.0.1", &["X-Forwarded-For: 52.89.214.238, 10.0.0.2, 198.51.100.1"], "198.51.100.1");
    table.check("10.0.0.1", &["X-Forwarded-For: 192.0.2.2"], "192.0.2.2");
    table.check("10.0.0.1", &["x-FORWARDED-for: 198.51.100.1"], "198.51.100.1");
}

fn repeated_headers_are_one_list(table: &mut Table) {
    table.check("10.0.0.1", &["X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 198.51.100.1"], "198.51.100.1");
    table.check("10.0.0.1", &["X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 10.0.0.2"], "198.51.100.1");
    table.check("10.0.0.1", &["X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: "], "198.51.100.1");
    table.check("10.0.0.1", &["Forwarded: for=1.1.1.1", "Forwarded: for=198.51.100.1"], "198.51.100.1");
    table.check("10.0.0.1", &["Forwarded: for=198.51.100.1, for=10.1.1.1", "Forwarded: for=10.2.2.2"], "198.51.100.1");
}

fn nothing_said_leaves_the_proxy_itself(table: &mut Table) {
    table.check("10.0.0.1", &[], "10.0.0.1");
    table.check("10.0.0.1", &["X-Forwarded-For: "], "10.0.0.1");
    table.check("10.0.0.1", &["X-Forwarded-For: ,,, ,"], "10.0.0.1");
    table.check("10.0.0.1", &["X-Real-IP: 198.51.100.1"], "10.0.0.1");
    table.check("10.0.0.1", &["X-Forwarded-For: 10.0.0.3, 10.0.0.2"], "10.0.0.3");
    table.check("10.0.0.1", &["Forwarded: proto=https;by=10.0.0.2"], "10.0.0.1");
}

fn a_hop_that_is_no_address_ends_the_walk_at_the_last_trusted_one(table: &mut Table) {
    for garbage in [
        "unknown",
        "_hidden",
        "localhost",
        "198.51.100",
        "198.51.100.256",
        "198.51.100.01",
        "0xc6336401",
        "3325256705",
        "198.51.100.1.",
        "198.51.100.1/32",
        "198.51.100.1:",
        "198.51.100.1:port",
        "198.51.100.1:65536",
        "198.51.100.1 198.51.100.2",
        "[198.51.100.1]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]x",
        "[2001:db8::1]:",
        "[2001:db8::1]:+1",
        "2001:db8:::1",
        "fe80::1%",
        "[]",
        "\"198.51.100.1\"",
        "for=198.51.100.1",
    ] {
        table.check("10.0.0.1", &[&format!("X-Forwarded-For: 52.89.214.238, {garbage}")], "10.0.0.1");
        table.check("10.0.0.1", &[&format!("X-Forwarded-For: 52.89.214.238, {garbage}, 10.0.0.7")], "10.0.0.7");
    }
}

fn ports_brackets_zones_and_mapped_addresses_are_understood(table: &mut Table) {
    for (hop, expected) in [
        ("198.51.100.1:4711", "198.51.100.1"),
        ("198.51.100.1:0", "198.51.100.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:1", "fe80::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("[::ffff:198.51.100.1]:80", "198.51.100.1"),
        ("::ffff:c633:6401", "198.51.100.1"),
        ("   198.51.100.1\t", "198.51.100.1"),
    ] {
        table.check("10.0.0.1", &[&format!("X-Forwarded-For: {hop}")], expected);
        table.check("10.0.0.1", &[&format!("X-Forwarded-For: {hop}, ::ffff:10.1.1.1")], expected);
    }
}

fn forwarded_is_read_in_its_forms(table: &mut Table) {
    for (value, expected) in [
        ("for=198.51.100.1", "198.51.100.1"),
        ("For=198.51.100.1", "198.51.100.1"),
        ("FOR=\"198.51.100.1:4711\"", "198.51.100.1"),
        ("for=198.51.100.1:4711", "198.51.100.1"),
        ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
        ("for=198.51.100.1;proto=http;by=203.0.113.43", "198.51.100.1"),
        ("proto=http ; for=198.51.100.1", "198.51.100.1"),
        ("by=\"x, y\";for=198.51.100.1", "198.51.100.1"),
        ("for=1.1.1.1, for=198.51.100.1", "198.51.100.1"),
        ("for=198.51.100.1, for=10.0.0.9;by=10.0.0.1", "198.51.100.1"),
        // A quote that a stranger left open cannot swallow what a proxy appended.
        ("for=\"1.1.1.1, for=198.51.100.1", "198.51.100.1"),
        ("for=\", for=198.51.100.1;host=\"x\"", "198.51.100.1"),
        // No address, or two: closed.
        ("for=unknown", "10.0.0.1"),
        ("for=\"_gazonk\"", "10.0.0.1"),
        ("for=198.51.100.1;for=1.1.1.1", "10.0.0.1"),
        ("for=\"198.51.100.1", "10.0.0.1"),
        ("for = 198.51.100.1", "198.51.100.1"),
        ("for", "10.0.0.1"),
        ("for=", "10.0.0.1"),
        ("198.51.100.1", "10.0.0.1"),
        ("for=\"198.51.100.1\\\"\"", "10.0.0.1"),
        ("for=198.51.100.1, by=10.0.0.1", "10.0.0.1"),
    ] {
        table.check("10.0.0.1", &[&format!("Forwarded: {value}")], expected);
    }
}

fn two_headers_that_disagree_are_not_believed(table: &mut Table) {
    table.check("10.0.0.1", &["Forwarded: for=198.51.100.1", "X-Forwarded-For: 198.51.100.1"], "198.51.100.1");
    table.check("10.0.0.1", &["Forwarded: for=52.89.214.238", "X-Forwarded-For: 198.51.100.1"], "10.0.0.1");
    table.check("10.0.0.1", &["Forwarded: for=198.51.100.1", "X-Forwarded-For: 52.89.214.238"], "10.0.0.1");
}

fn a_thousand_hops_are_bounded_and_closed(table: &mut Table) {
    let chain = |hop: &str, count: usize| vec![hop; count].join(", ");
    table.check("10.0.0.1", &[&format!("X-Forwarded-For: 52.89.214.238, {}", chain("10.0.0.2", 1000))], "10.0.0.2");
    table.check(
        "10.0.0.1",
        &[&format!("X-Forwarded-For: {}, 198.51.100.1", chain("52.89.214.238", 1000))],
        "198.51.100.1",
    );
    table.check("10.0.0.1", &[&format!("Forwarded: for=52.89.214.238, {}", chain("for=10.0.0.2", 1000))], "10.0.0.2");
    let many = vec!["X-Forwarded-For: 10.0.0.2"; 1000];
    table.check("10.0.0.1", &many, "10.0.0.2");
}

/// The PROXY protocol has its own table, in proxy_protocol.rs.
#[test]
fn s09_the_table_holds_in_each_of_its_sixty_cases_and_more() {
    let mut table = Table::default();
    for subject in [
        an_untrusted_peer_is_the_client_whatever_it_says as fn(&mut Table),
        the_right_most_untrusted_hop_is_the_client,
        repeated_headers_are_one_list,
        nothing_said_leaves_the_proxy_itself,
        a_hop_that_is_no_address_ends_the_walk_at_the_last_trusted_one,
        ports_brackets_zones_and_mapped_addresses_are_understood,
        forwarded_is_read_in_its_forms,
        two_headers_that_disagree_are_not_believed,
        a_thousand_hops_are_bounded_and_closed,
    ] {
        subject(&mut table);
    }
    assert!(table.cases >= 60, "{}", table.cases);
}

#[test]
fn rfc7239_4_forwarded_is_read_in_its_forms() {
    forwarded_is_read_in_its_forms(&mut Table::default());
}

#[tokio::test]
async fn s09_the_services_see_the_client_that_the_configuration_trusts() {
    let send =
        "POST /hook HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 203.0.113.7, 198.51.100.1\r\nContent-Length: 0\r\n\r\n";
    let gate = Gate::open(short()).await;
    assert_eq!(gate.send(send).await.body, "127.0.0.1 0");
    // Trust can change while it runs.
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    gate.limits.store(std::sync::Arc::new(Config { trusted_proxies, ..short() }));
    assert_eq!(gate.send(send).await.body, "198.51.100.1 0");
}
