//! The table of spellings, and what exceptions change.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{NotAllowed, Policy, UrlRefused};

/// Fewer than this are no table.
const SPELLINGS_MIN: usize = 250;

/// A line of the table: what is expected, and the URL.
fn spellings() -> Vec<(&'static str, String)> {
    let lines = include_str!("spellings.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (verdict, text) = line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}"));
            (verdict, unescaped(text))
        })
        .collect()
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('\\') {
            out.push('\\');
            rest = after;
        } else {
            let (number, after) = after.strip_prefix("u{").and_then(|after| after.split_once('}')).unwrap();
            out.push(char::from_u32(u32::from_str_radix(number, 16).unwrap()).unwrap());
            rest = after;
        }
    }
    out + rest
}

fn verdict(policy: &Policy, text: &str) -> &'static str {
    match policy.check_url(text) {
        Ok(_) => "ok",
        Err(UrlRefused::Url(_)) => "url",
        Err(UrlRefused::TooLong | UrlRefused::Spelling(_)) => "spelling",
        Err(UrlRefused::Port(_)) => "port",
        Err(UrlRefused::LocalName) => "local",
        Err(UrlRefused::Address) => "address",
        Err(UrlRefused::Resolved) => "resolved",
    }
}

#[test]
fn every_spelling_is_judged_as_the_table_says() {
    let (policy, spellings) = (Policy::public([]), spellings());
    assert!(spellings.iter().filter(|(verdict, _)| *verdict != "ok").count() >= SPELLINGS_MIN);
    let wrong: Vec<String> = spellings
        .iter()
        .filter(|(expected, text)| verdict(&policy, text) != *expected)
        .map(|(expected, text)| format!("{expected}, not {}: {text:?}", verdict(&policy, text)))
        .collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_refusal_never_names_an_address_that_was_not_written() {
    let policy = Policy::public([]);
    for (_, text) in spellings() {
        let Err(error) = policy.check_url(&text) else { continue };
        let told = error.to_string();
        assert!(!told.contains("127.0.0.1") && !told.contains("169.254") && !told.contains("::1"), "{text}: {told}");
    }
    let told = UrlRefused::Resolved.to_string();
    assert!(told.contains("not on the public internet"), "{told}");
}

#[test]
fn a_long_url_is_refused() {
    let policy = Policy::public([]);
    let url = |length: usize| format!("https://example.com/{}", "a".repeat(length - "https://example.com/".len()));
    assert_eq!(verdict(&policy, &url(Policy::URL_BYTES_MAX)), "ok");
    assert_eq!(policy.check_url(&url(Policy::URL_BYTES_MAX + 1)).unwrap_err(), UrlRefused::TooLong);
}

#[test]
fn an_exception_opens_its_network_and_nothing_else() {
    let network = |text: &str| text.parse::<IpNet>().unwrap();
    let policy = Policy::public([network("10.1.2.3/16"), network("127.8.0.0/16"), network("fd00::/8")]);
    for open in [
        "http://10.1.0.1:8080/",
        "http://127.8.0.1/",
        "http://[::ffff:10.1.9.9]/",
        "http://[64:ff9b::10.1.9.9]/",
        "http://[fd12::1]/",
        "https://8.8.8.8/",
        // A private network's own names; what they lead to is judged all the same.
        "http://crm.internal/",
        "http://localhost:8080/",
    ] {
        assert_eq!(verdict(&policy, open), "ok", "{open}");
    }
    for closed in
        ["http://10.2.0.1/", "http://127.0.0.1/", "http://[::1]/", "http://[fe80::1]/", "http://[::127.8.0.1]/"]
    {
        assert_eq!(verdict(&policy, closed), "address", "{closed}");
    }
    assert_eq!(verdict(&policy, "http://10.257/"), "spelling", "an exception is none for spellings");
    assert_eq!(verdict(&policy, "http://10.1.0.1:25/"), "port", "nor for ports");
}

#[test]
fn one_address_that_may_not_be_called_is_enough() {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let policy = Policy::public([]);
    let (good, bad) = (address("8.8.8.8"), address("10.0.0.5"));
    assert_eq!(policy.permits_all(&[good, address("2606:4700::1111")]), Ok(()));
    let refused = NotAllowed { address: bad, purpose: "private (RFC 1918)" };
    assert_eq!(policy.permits_all(&[good, bad]), Err(refused));
    assert_eq!(policy.permits_all(&[bad, good]), Err(refused));
    assert_eq!(Policy::anywhere().permits_all(&[good, bad]), Ok(()));
}

#[test]
fn what_the_operator_wrote_is_not_judged() {
    let policy = Policy::anywhere();
    for url in ["http://127.0.0.1:25/", "http://crm/", "http://localhost/", "http://2130706433/", "http://[::1]/"] {
        assert_eq!(verdict(&policy, url), "ok", "{url}");
    }
}
