//! The signed time: whether it is one, in which unit, and how far from now.

use std::time::Duration;

use super::super::read::parse_timestamp;
use super::super::scheme::TimestampUnit;
use super::finding::Finding;
use crate::domain::Timestamp;

/// Numbers from here on are milliseconds: as seconds they would lie beyond the year 5138.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

/// What there is to say about a time as it was sent.
pub(super) fn findings(
    text: &str,
    unit: TimestampUnit,
    now: Timestamp,
    tolerance: Option<Duration>,
    findings: &mut Vec<Finding>,
) {
    let Some(signed_at) = parse_timestamp(text, unit) else {
        let found = [TimestampUnit::Seconds, TimestampUnit::Rfc3339]
            .into_iter()
            .find(|other| *other != unit && parse_timestamp(text, *other).is_some());
        findings.push(match found {
            Some(found) => Finding::TimestampUnit { expected: unit, found: as_counted(found, text) },
            None => Finding::TimestampNotOne { text: super::covered::shown(text.as_bytes()) },
        });
        return;
    };
    let counted = as_counted(unit, text);
    if counted != unit {
        findings.push(Finding::TimestampUnit { expected: unit, found: counted });
    }
    let Some(tolerance) = tolerance else { return };
    let (age, lead) = (now.since(signed_at), signed_at.since(now));
    let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX) - i64::try_from(lead.as_secs()).unwrap_or(i64::MAX);
    let within = age <= tolerance && lead <= tolerance;
    findings.push(Finding::SignedTime { signed_at, age_seconds: seconds, tolerance, within });
}

/// The unit that a number is in by its size.
fn as_counted(unit: TimestampUnit, text: &str) -> TimestampUnit {
    match (unit, text.parse::<u64>()) {
        (TimestampUnit::Rfc3339, _) | (_, Err(_)) => unit,
        (_, Ok(number)) if number >= MILLISECONDS_FROM => TimestampUnit::Milliseconds,
        (_, Ok(_)) => TimestampUnit::Seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    #[track_caller]
    fn check(text: &str, unit: TimestampUnit, expected: &[&str]) {
        let mut found = Vec::new();
        findings(text, unit, NOW, Some(Duration::from_secs(300)), &mut found);
        assert_eq!(found.iter().map(Finding::code).collect::<Vec<_>>(), expected, "{text}: {found:?}");
    }

    #[test]
    fn a_time_is_read_and_its_unit_guessed() {
        use TimestampUnit::{Milliseconds, Rfc3339, Seconds};
        check("1799999900", Seconds, &["signed_time"]);
        check("1799999900000", Seconds, &["timestamp_unit", "signed_time"]);
        check("1799999900", Milliseconds, &["timestamp_unit", "signed_time"]);
        check("2027-01-15T08:00:00Z", Rfc3339, &["signed_time"]);
        check("2027-01-15T08:00:00Z", Seconds, &["timestamp_unit"]);
        check("1799999900", Rfc3339, &["timestamp_unit"]);
        check("yesterday", Seconds, &["timestamp_not_one"]);
    }

    #[test]
    fn the_distance_has_a_sign_and_the_edges_belong_to_the_tolerance() {
        for (text, seconds, is_within) in [
            ("1799999700", 300, true),
            ("1799999699", 301, false),
            ("1800000300", -300, true),
            ("1800000301", -301, false),
        ] {
            let mut found = Vec::new();
            findings(text, TimestampUnit::Seconds, NOW, Some(Duration::from_secs(300)), &mut found);
            let [Finding::SignedTime { age_seconds, within, .. }] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!((*age_seconds, *within), (seconds, is_within), "{text}");
        }
    }
}
