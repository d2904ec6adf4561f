//! The shapes in which providers publish their addresses, written by their documentation, and what is no list.

use super::*;

#[track_caller]
fn check(name: &str, answer: &str, expected: &[&str]) {
    let feed = Feed::named(name).expect("a feed");
    let networks = feed.parse(answer.as_bytes()).expect("a list");
    assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{name}");
}

#[test]
fn the_named_feeds_are_read_in_their_providers_shape() {
    let github = r#"{"verifiable_password_authentication":false,"ssh_keys":["ssh-ed25519 AAAA"],
        "hooks":["192.30.252.0/22","2a0a:a440::/29"],"web":["192.30.252.0/22"],"actions":["4.148.0.0/16"]}"#;
    check("github", github, &["192.30.252.0/22", "2a0a:a440::/29"]);
    check("stripe", r#"{"WEBHOOKS":["3.18.12.63","3.130.192.231"]}"#, &["3.18.12.63/32", "3.130.192.231/32"]);
    let atlassian = r#"{"creationDate":"2026-11-01T00:00:00","syncToken":1,"items":[
        {"network":"104.192.136.0","mask_len":21,"cidr":"104.192.136.0/21","product":["bitbucket","jira"],"direction":["ingress","egress"]},
        {"network":"13.52.5.0","mask_len":25,"cidr":"13.52.5.0/25","product":["bitbucket"],"direction":["ingress"]},
        {"network":"18.184.99.0","mask_len":24,"cidr":"18.184.99.0/24","product":["jira"],"direction":["egress"]}]}"#;
    check("bitbucket", atlassian, &["104.192.136.0/21"]);
    check("atlassian", atlassian, &["104.192.136.0/21", "18.184.99.0/24"]);
    check("paddle", r#"{"data":{"ipv4_cidrs":["34.237.3.244/32"]},"meta":{"request_id":"x"}}"#, &["34.237.3.244/32"]);
    check("pagerduty", r#"["44.242.69.192","52.89.71.166"]"#, &["44.242.69.192/32", "52.89.71.166/32"]);
    let okta = r#"{"us_cell_1":{"ip_ranges":["52.35.165.0/24"]},"eu_cell_1":{"ip_ranges":["52.31.0.0/24"]}}"#;
    check("okta", okta, &["52.31.0.0/24", "52.35.165.0/24"]);
    check(
        "telegram",
        "91.108.4.0/22\n149.154.160.0/20\n2001:67c:4e8::/48\n",
        &["91.108.4.0/22", "149.154.160.0/20", "2001:67c:4e8::/48"],
    );
    let cloudflare =
        r#"{"result":{"ipv4_cidrs":["173.245.48.0/20"],"ipv6_cidrs":["2400:cb00::/32"],"etag":"x"},"success":true}"#;
    check("cloudflare", cloudflare, &["173.245.48.0/20", "2400:cb00::/32"]);
}

#[test]
fn every_named_feed_has_a_pinned_host_and_pointers_that_are_read() {
    for named in NAMED {
        let url: url::Url = named.url.parse().expect("a URL");
        assert_eq!((url.scheme(), url.port(), url.query()), ("https", None, None), "{}", named.name);
        let feed = Feed::named(named.name).expect("a feed");
        if let Form::Json { pointers, .. } = &feed.form {
            assert_eq!(pointers.len(), named.pointers.len(), "{}", named.name);
        }
        assert!(feed.parse(b"").is_err() && feed.parse(b"{}").is_err(), "{}", named.name);
    }
    assert!(Feed::named("nobody").is_none());
}

#[test]
fn what_is_no_list_is_refused() {
    let github = Feed::named("github").expect("a feed");
    let parse = |answer: &str| github.parse(answer.as_bytes()).map(|networks| networks.len());
    assert_eq!(parse(r#"{"hooks":[]}"#), Err(FeedError::Empty));
    assert_eq!(parse(r#"{"web":["192.0.2.1"]}"#), Err(FeedError::Empty));
    assert_eq!(parse("<html>maintenance</html>"), Err(FeedError::Unreadable("JSON")));
    assert_eq!(parse(r#"{"hooks":["host.example"]}"#), Err(FeedError::Entry("host.example".into())));
    assert_eq!(parse(r#"{"hooks":[7]}"#), Err(FeedError::Entry("7".into())));
    assert!(matches!(parse(r#"{"hooks":["0.0.0.0/0"]}"#), Err(FeedError::Everybody(_))));
    assert!(matches!(parse(r#"{"hooks":["::/0","192.0.2.1"]}"#), Err(FeedError::Everybody(_))));
    let many = vec!["\"192.0.2.1\""; ENTRIES_MAX + 1].join(",");
    assert_eq!(parse(&format!(r#"{{"hooks":[{many}]}}"#)), Err(FeedError::TooMany));
    assert_eq!(github.parse(b"\xff"), Err(FeedError::Unreadable("text")));
    let telegram = Feed::named("telegram").expect("a feed");
    assert_eq!(telegram.parse(b"<html>"), Err(FeedError::Entry("<html>".into())));
}

#[test]
fn a_list_is_swapped_whole_and_says_when_it_was_never_loaded() {
    let list = List::default();
    let address: IpAddr = "192.0.2.1".parse().expect("an address");
    assert_eq!((list.allows(address), list.entries()), (None, None));
    list.replace(&["192.0.2.0/25".parse().expect("it"), "192.0.2.128/25".parse().expect("it")]);
    assert_eq!((list.allows(address), list.entries()), (Some(true), Some(1)));
    assert_eq!(list.allows("::ffff:192.0.2.9".parse().expect("it")), Some(true));
    list.replace(&["198.51.100.0/24".parse().expect("it")]);
    assert_eq!(list.allows(address), Some(false));
}
