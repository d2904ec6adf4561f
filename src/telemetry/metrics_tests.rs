//! The scrape's text: every name, the escaping of labels, and that handles survive a reload.

use std::time::Duration;

use super::*;
use crate::domain::{DeadReason, OutcomeClass, Reason};

#[test]
fn what_the_stages_count_appears_in_the_scrape() {
    let metrics = Metrics::new();
    let source = metrics.source("appmint");
    source.received.inc();
    source.rejected(Reason::SignatureMismatch);
    source.rejected(Reason::SignatureMismatch);
    source.accept_duration.observe(Duration::from_millis(3));
    let crm = metrics.destination("crm");
    crm.attempted(OutcomeClass::Timeout, Duration::from_secs(5));
    crm.died(DeadReason::Exhausted);
    crm.breaker.set(BreakerState::Open);
    metrics.store().set_health(true, 4096, 0);
    let gone = metrics.scrape([("gone".into(), LaneGauges { held: 3, ..LaneGauges::default() })]).unwrap();
    assert!(gone.contains(r#"hookward_queue_held{destination="gone"} 3"#));
    let text = metrics.scrape([("crm".into(), LaneGauges { pending: 7, ..LaneGauges::default() })]).unwrap();
    assert!(!text.contains("gone"), "a queue that is no more is not shown with its last figures");
    for line in [
        r#"hookward_requests_received_total{source="appmint"} 1"#,
        r#"hookward_requests_rejected_total{source="appmint",reason="signature_mismatch"} 2"#,
        r#"hookward_accept_duration_seconds_sum{source="appmint"} 0.003"#,
        r#"hookward_accept_duration_seconds_bucket{le="0.0025",source="appmint"} 0"#,
        r#"hookward_accept_duration_seconds_bucket{le="0.005",source="appmint"} 1"#,
        r#"hookward_accept_duration_seconds_bucket{le="+Inf",source="appmint"} 1"#,
        r#"hookward_attempts_total{destination="crm",outcome="timeout"} 1"#,
        r#"hookward_attempts_total{destination="crm",outcome="succeeded"} 0"#,
        r#"hookward_deliveries_total{destination="crm",outcome="dead"} 1"#,
        r#"hookward_deliveries_dead_total{destination="crm",reason="exhausted"} 1"#,
        r#"hookward_breaker_state{destination="crm",state="open"} 1"#,
        r#"hookward_breaker_state{destination="crm",state="closed"} 0"#,
        r#"hookward_queue_pending{destination="crm"} 7"#,
        "hookward_store_size_bytes 4096",
        "# UNIT hookward_accept_duration_seconds seconds",
        "# TYPE process_resident_memory_bytes gauge",
        "# EOF",
    ] {
        assert!(text.lines().any(|got| got == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_name_resolves_to_the_same_handles_and_keeps_its_breaker() {
    let metrics = Metrics::new();
    metrics.destination("crm").breaker.set(BreakerState::HalfOpen);
    assert_eq!(metrics.destination("crm").breaker.get(), BreakerState::HalfOpen);
    assert_eq!(metrics.destination("other").breaker.get(), BreakerState::Closed);
}

#[test]
fn a_label_cannot_break_out_of_its_quotes() {
    let metrics = Metrics::new();
    metrics.source("a\"} 1\nforged{x=\"\\").received.inc();
    let text = metrics.scrape([]).unwrap();
    assert!(text.contains(r#"{source="a\"} 1\nforged{x=\"\\"} 1"#), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("forged")));
}

#[test]
fn the_documentation_names_every_metric_and_no_other() {
    let metrics = Metrics::new();
    metrics.source("a").rejected(Reason::Internal);
    metrics.source("a").reported(Reason::Internal);
    metrics.destination("b").expired();
    metrics.gateway().config_refused();
    metrics.feed("c").ok.inc();
    let ingress = metrics.ingress();
    for counted in [&ingress.proxy_headers_refused, &ingress.tls_handshakes_failed, &ingress.http2_violations] {
        counted.count("a");
    }
    metrics.gateway().webhooks_disabled.count("gone");
    metrics.show_feeds([("c", Some(std::time::Duration::ZERO), 1)]);
    let text = metrics.scrape([("b".into(), LaneGauges::default())]).unwrap();
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP hookward_")?.split_once(' '));
    let mut registered: Vec<String> =
        helps.map(|(name, help)| format!("`hookward_{name}`: {}", help.trim_end_matches('.'))).collect();
    let page = include_str!("../../docs/admin.md");
    let rows = page.lines().filter(|line| line.starts_with("| `hookward_"));
    let mut documented: Vec<String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            format!("{}: {}", cells[0].trim_start_matches("| "), cells[2].trim_end_matches(" |"))
        })
        .collect();
    // The encoder adds the suffix of an info.
    documented.iter_mut().for_each(|row| *row = row.replace("hookward_build_info", "hookward_build"));
    registered.sort();
    documented.sort();
    assert_eq!(registered, documented);
}
