//! What follows an attempt: done, again later, or given up.

use std::time::{Duration, SystemTime};

use crate::domain::schedule::RETRY_AFTER_MAX;
use crate::domain::{Attempt, HeaderBlock, Next, OutcomeClass, Schedule, Timestamp};

/// What follows `attempt`, which ended at `ended_at`; `wall` is what the wall clock shows, for dates in
/// `Retry-After`, and `random` (0 to 1) spreads the retries.
pub(super) fn after(attempt: &Attempt, schedule: &Schedule, ended_at: Timestamp, wall: Timestamp, random: f64) -> Next {
    if attempt.outcome == OutcomeClass::Succeeded {
        return Next::Succeeded;
    }
    let asked = retry_after(&attempt.response_headers, wall);
    schedule.after_failure(attempt.number, attempt.status, ended_at, asked, random)
}

/// What `Retry-After` asks for (RFC 9110 section 10.2.3): seconds or a date, at most an hour; nothing where it
/// is neither, lies in the past, or says several things.
fn retry_after(headers: &HeaderBlock, wall: Timestamp) -> Option<Duration> {
    let mut values = headers.get_all("retry-after");
    let value = str::from_utf8(values.next()?).ok().filter(|value| value.is_ascii())?.trim();
    if values.next().is_some() || value.is_empty() {
        return None;
    }
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit is a long time.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let date = httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let wait = date.checked_sub(Duration::from_millis(wall.0))?;
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HeaderBlockBuilder;

    // Sun, 06 Nov 1994 08:49:37 GMT
    const NOW: Timestamp = Timestamp(784_111_777_000);

    #[track_caller]
    fn check(values: &[&str], expected: Option<u64>) {
        let mut headers = HeaderBlockBuilder::default();
        for value in values {
            assert!(headers.try_add(b"Retry-After", value.as_bytes()));
        }
        assert_eq!(retry_after(&headers.finish(), NOW), expected.map(Duration::from_secs), "{values:?}");
    }

    #[test]
    fn retry_after_is_read_in_every_form_and_believed_for_an_hour() {
        check(&["120"], Some(120));
        check(&[" 7 "], Some(7));
        check(&["0"], Some(0));
        check(&["3601"], Some(3600));
        check(&["99999999999999999999999999"], Some(3600));
        check(&["Sun, 06 Nov 1994 08:49:47 GMT"], Some(10));
        check(&["Sunday, 06-Nov-94 08:50:37 GMT"], Some(60));
        check(&["Fri, 31 Dec 9999 23:59:59 GMT"], Some(3600));
    }

    #[test]
    fn a_retry_after_that_makes_no_sense_asks_for_nothing() {
        for nonsense in ["-5", "1.5", "soon", "", "0x10", "Sun, 06 Nov 1994", "Sun, 06 Nov 1994 08:49:36 GMT"] {
            check(&[nonsense], None);
        }
        check(&["5", "600"], None);
        check(&[], None);
    }
}
