//! What valid configurations become.

use std::time::Duration;

use hookward::config::{Durability, Role};
use hookward::domain::Timestamp;
use hookward::guard::{dedup, rate_limit, signature::Proof};

use super::{SECRET, SOURCE, good};

#[test]
fn the_shortest_configuration_has_the_defaults_of_the_design() {
    let checked = good(SOURCE).checked;
    let (ingress, store, source) = (&checked.ingress, &checked.store, &checked.sources[0]);
    assert_eq!(
        (ingress.listen.to_string(), checked.admin.listen.to_string()),
        ("0.0.0.0:8080".into(), "127.0.0.1:8081".into())
    );
    assert_eq!((ingress.connections_max, ingress.headers_bytes_max), (10_000, 64 << 10));
    assert_eq!(ingress.body_bytes_max, 1 << 20);
    // By the memory of the machine: src/config/memory.rs.
    assert!((32 << 20..=256 << 20).contains(&ingress.body_memory_max), "{}", ingress.body_memory_max);
    assert_eq!(ingress.body_spool_max, 1 << 30);
    let seconds = [ingress.header_timeout, ingress.request_timeout, ingress.drain_timeout].map(|time| time.as_secs());
    assert_eq!(seconds, [5, 8, 30]);
    assert_eq!((store.durability, store.bytes_max, store.disk_free_min), (Durability::Strict, None, 512 << 20));
    assert_eq!(store.retention_events, Duration::from_secs(30 * 86_400));
    assert_eq!(store.retention_rejections, Duration::from_secs(7 * 86_400));
    assert_eq!((source.methods.len(), source.allow_ips.is_none(), source.rate_limits.len()), (1, true, 0));
    assert_eq!((source.respond.status.as_u16(), &source.respond.body[..]), (200, &b"OK"[..]));
    let dedup = source.dedup.as_ref().unwrap();
    assert_eq!((dedup.window, &dedup.by), (Duration::from_secs(96 * 3600), &dedup::By::Id));
}

#[test]
fn a_destination_has_the_defaults_of_the_design() {
    let checked = good(&format!("{SOURCE}destinations: {{ b: {{ url: 'http://b/x' }} }}\n")).checked;
    let settings = &checked.destinations[0].settings;
    let endpoint = checked.destinations[0].endpoint.as_ref().unwrap();
    assert_eq!((settings.timeout, endpoint.timeout), (Duration::from_secs(5), Duration::from_secs(5)));
    assert_eq!(
        (settings.concurrency.get(), settings.queue_max, endpoint.response_bytes_max),
        (32, 1_000_000, 64 << 10)
    );
    assert_eq!((settings.schedule.waits.len(), settings.schedule.jitter), (7, 0.1));
    assert_eq!(settings.schedule.final_statuses, [400, 410, 413, 415, 422]);
    assert_eq!(
        (settings.breaker.failures.get(), settings.breaker.window.as_secs(), settings.breaker.open.as_secs()),
        (20, 30, 30)
    );
}

#[test]
fn the_timeout_of_a_destination_is_the_same_for_both_stages() {
    let checked = good(&format!("{SOURCE}destinations: {{ b: {{ url: 'http://b', timeout: 7s }} }}\n")).checked;
    assert_eq!(checked.destinations[0].settings.timeout.as_secs(), 7);
    assert_eq!(checked.destinations[0].endpoint.as_ref().unwrap().timeout.as_secs(), 7);
}

#[test]
fn schemes_bring_their_own_bounds_unless_told_otherwise() {
    let source = |rest: &str| {
        let text =
            format!("sources: {{ a: {{ path: /a, verify: {{ scheme: appmint, secrets: {SECRET} }}{rest} }} }}\n");
        good(&text).checked.sources[0].declared.clone()
    };
    assert_eq!(source("").content_types.unwrap(), [Box::<str>::from("application/json")]);
    assert_eq!(source(", content_types: [Text/Plain]").content_types.unwrap(), [Box::<str>::from("text/plain")]);
    assert_eq!(source("").body_bytes_max, 1 << 20);
    assert_eq!(source(", body_bytes_max: 25MiB").body_bytes_max, 25 << 20);
}

#[test]
fn one_and_a_list_mean_the_same() {
    let text = |secrets: &str, from: &str, limit: &str| {
        format!(
            "sources: {{ a: {{ path: /a, rate_limit: {limit}, verify: {{ scheme: appmint, secrets: {secrets} }} }} }}\n\
             destinations: {{ b: {{ discard: true }} }}\nroutes: [{{ from: {from}, to: b, types: payment }}]\n"
        )
    };
    let limit = "{ requests: 5, per: 1s, by: 'header:X-A' }";
    let one = good(&text(SECRET, "a", limit)).checked;
    let list = good(&text(&format!("[{SECRET}]"), "[a]", &format!("[{limit}]"))).checked;
    assert!(one.says_the_same_as(&list));
    assert_eq!(one.sources[0].rate_limits[0].burst.get(), 5);
    assert_eq!(one.sources[0].rate_limits[0].by, rate_limit::By::Header("x-a".parse().unwrap()));
    let routes = &one.routes;
    assert_eq!(routes.plan("a", Some("payment.failed"), Timestamp(0)).deliveries.len(), 1);
    assert_eq!(routes.plan("a", Some("user.created"), Timestamp(0)).deliveries.len(), 0);
}

#[test]
fn delay_and_expiry_reach_the_plan() {
    let text = format!(
        "{SOURCE}destinations: {{ b: {{ discard: true }} }}\nroutes: [{{ from: '*', to: b, delay: 1s, expires: 1h }}]\n"
    );
    let plan = good(&text).checked.routes.plan("a", None, Timestamp(1000));
    assert_eq!(plan.deliveries[0].not_before, Some(Timestamp(2000)));
    assert_eq!(plan.deliveries[0].expires_at, Some(Timestamp(3_601_000)));
}

#[test]
fn a_tolerance_reaches_the_window_and_the_scheme() {
    let text =
        "sources: { a: { path: /a, verify: { scheme: standard-webhooks, secrets: whsec_c2VjcmV0, tolerance: 1m } } }\n";
    let source = good(text).checked.sources[0].clone();
    assert_eq!(source.replay_window.unwrap().tolerance.as_secs(), 60);
    assert_eq!(source.signature.scheme.tolerance(), Some(Duration::from_secs(60)));
}

#[test]
fn a_token_in_a_header_of_its_own_has_no_prefix() {
    let token = |rest: &str| {
        let text = format!("sources: {{ a: {{ path: /a, verify: {{ scheme: token, secrets: {SECRET}{rest} }} }} }}\n");
        match &good(&text).checked.sources[0].signature.scheme.proof {
            Proof::Token(token) => (token.header.to_string(), token.prefix.to_string()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(token(""), ("authorization".into(), "Bearer ".into()));
    assert_eq!(token(", header: X-Token"), ("x-token".into(), String::new()));
    assert_eq!(token(", header: X-Token, prefix: 'v1 '"), ("x-token".into(), "v1 ".into()));
}

#[test]
fn tokens_open_the_admin_port_to_others() {
    let text =
        format!("{SOURCE}admin: {{ listen: '0.0.0.0:9', tokens: [{{ name: ops, token: {SECRET}, role: viewer }}] }}\n");
    let admin = good(&text).checked.admin;
    assert_eq!((&*admin.tokens[0].name, admin.tokens[0].role), ("ops", Role::Viewer));
    assert!(!format!("{admin:?}").contains(SECRET));
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = "sources: { a: { path: /a, verify: &v { scheme: none } }, b: { path: /b, verify: *v } }\n\
                destinations:\n  a: &base { url: 'http://a', timeout: 7s, retry: { schedule: [1s] } }\n\
                \x20 b: { <<: *base, url: 'http://b' }\n  c: { <<: [*base], concurrency: 1 }\n";
    let checked = good(text).checked;
    let endpoint = |index: usize| checked.destinations[index].endpoint.as_ref().unwrap().url.as_str().to_owned();
    assert_eq!((endpoint(1), endpoint(2)), ("http://b/".into(), "http://a/".into()));
    assert!(checked.destinations.iter().all(|one| one.settings.timeout.as_secs() == 7));
    assert_eq!(checked.destinations[2].settings.concurrency.get(), 1);
}

#[test]
fn enforce_on_and_dedup_off_are_words_and_not_booleans() {
    let source = |rest: &str| good(&format!("sources: {{ a: {{ path: /a, verify: {{ scheme: none }}, {rest} }} }}\n"));
    source("enforce: on, mode: queue");
    assert!(source("dedup: off").checked.sources[0].dedup.is_none());
    assert!(source("dedup: 'off'").checked.sources[0].dedup.is_none());
    assert_eq!(source("dedup: { by: body }").checked.sources[0].dedup.as_ref().unwrap().by, dedup::By::Body);
}

#[test]
fn what_is_likely_not_meant_is_warned_of() {
    #[track_caller]
    fn check(text: &str, line: usize, fragment: &str) {
        let warnings = good(text).checked.warnings;
        let found = warnings.iter().find(|warning| warning.message.contains(fragment));
        assert_eq!(found.map(|warning| warning.line), Some(line), "{fragment}: {warnings:?}");
    }
    check(SOURCE, 1, "everybody who finds the path");
    check(SOURCE, 1, "no route takes the events of `a`");
    check(SOURCE, 1, "copies are not recognised");
    check(&format!("{SOURCE}destinations: {{ b: {{ discard: true }} }}\n"), 2, "no route leads to `b`");
    check(&format!("{SOURCE}destinations: {{ b: {{ discard: true }} }}\n"), 2, "every delivery is dropped");
    check(&format!("{SOURCE}store: {{ durability: relaxed }}\n"), 2, "can be lost in a power cut");
    check(&format!("{SOURCE}ingress: {{ trusted_proxies: [0.0.0.0/0] }}\n"), 2, "every peer is trusted");
}

#[test]
fn a_file_may_begin_with_a_byte_order_mark_and_end_lines_as_windows_does() {
    good(&format!("\u{feff}{SOURCE}"));
    good("sources:\r\n  a:\r\n    path: /a\r\n    verify: { scheme: none }\r\n");
    good(&format!("---\n{SOURCE}..."));
}
