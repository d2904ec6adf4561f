//! `/metrics`: read by somebody else's parser, complete, and bounded in its labels.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use hookward::domain::{OutcomeClass, Reason};
use http::Method;
use serde_json::Value;

use super::fixture::{Fixture, event};

/// Prints the families of the scrape on standard input as JSON: name, type, unit, number of samples.
const PARSER: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
text = sys.stdin.read()
families = [(f.name, f.type, f.unit, [[s.name, s.labels, s.value] for s in f.samples]) for f in text_string_to_metric_families(text)]
print(json.dumps(families))
";

/// Where `tests/install` puts PyPI's prometheus-client.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-packages/python");

fn parsed(text: &str) -> Vec<Value> {
    let mut parser = Command::new("python3")
        .args(["-c", PARSER])
        .env("PYTHONPATH", PACKAGES)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    parser.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = parser.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "not OpenMetrics (or tests/install did not run): {}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn somebody_elses_parser_reads_every_family() {
    let fixture = Fixture::new().await;
    fixture.admit(event(&fixture.clock, "a", "b"), &["crm", "log"]).await;
    fixture.clock.advance(Duration::from_secs(90));
    fixture.metrics.source("appmint").received.inc();
    fixture.metrics.source("with \"quotes\" and \\").rejected(Reason::UnknownPath);
    fixture.metrics.unmatched().rejected(Reason::UnknownPath);
    fixture.metrics.destination("crm").attempted(OutcomeClass::Succeeded, Duration::from_millis(7));
    fixture.metrics.destination("crm").succeeded(Duration::from_secs(3));
    fixture.metrics.gateway().config_loaded(fixture.clock.now());
    let scrape = fixture.ask(Method::GET, "/metrics", &[]).await;
    assert_eq!(scrape.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let families = parsed(std::str::from_utf8(&scrape.body).unwrap());
    let family = |name: &str| families.iter().find(|family| family[0] == name).unwrap_or_else(|| panic!("no {name}"));
    let sample = |family: &Value, name: &str, label: Option<(&str, &str)>| {
        let samples = family[3].as_array().unwrap();
        let found = samples
            .iter()
            .find(|sample| sample[0] == name && label.is_none_or(|(label, value)| sample[1][label] == value));
        found.unwrap_or_else(|| panic!("no {name} {label:?} in {samples:?}"))[2].as_f64().unwrap()
    };
    let pending = family("hookward_queue_pending");
    assert_eq!(sample(pending, "hookward_queue_pending", Some(("destination", "crm"))), 1.0);
    let age = family("hookward_queue_oldest_due_age_seconds");
    assert_eq!((&age[1], &age[2]), (&Value::from("gauge"), &Value::from("seconds")));
    assert_eq!(sample(age, "hookward_queue_oldest_due_age_seconds", Some(("destination", "log"))), 90.0);
    let latency = family("hookward_end_to_end_duration_seconds");
    assert_eq!(latency[1], "histogram");
    assert_eq!(sample(latency, "hookward_end_to_end_duration_seconds_sum", Some(("destination", "crm"))), 3.0);
    let rejected = family("hookward_requests_rejected");
    let hostile = Some(("source", "with \"quotes\" and \\"));
    assert_eq!(sample(rejected, "hookward_requests_rejected_total", hostile), 1.0);
    let commits = family("hookward_store_commit_duration_seconds");
    assert!(
        sample(commits, "hookward_store_commit_duration_seconds_count", None) >= 1.0,
        "the store counts its commits"
    );
    assert_eq!(sample(family("hookward_store_ready"), "hookward_store_ready", None), 1.0);
    assert!(sample(family("process_resident_memory_bytes"), "process_resident_memory_bytes", None) > 1e6);
    assert!(sample(family("process_open_fds"), "process_open_fds", None) > 2.0);
}

#[tokio::test]
async fn labels_are_names_of_the_configuration_never_what_senders_write() {
    let fixture = Fixture::new().await;
    let series = async || {
        let text = fixture.ask(Method::GET, "/metrics", &[]).await.body;
        String::from_utf8(text.to_vec()).unwrap().lines().filter(|line| !line.starts_with('#')).count()
    };
    fixture.admit(event(&fixture.clock, "warm", "up"), &["crm"]).await;
    let before = series().await;
    for number in 0..200 {
        let new = event(&fixture.clock, &format!("id-{number}\n{{forged=\"1\"}}"), &format!("type.{number}"));
        fixture.admit(new, &["crm"]).await;
        fixture.get(&format!("/v1/events/nobody-{number}")).await;
    }
    assert_eq!(series().await, before);
}
