//! Globs over event types: `*` matches any characters, dots too, and a name also matches everything below it.

/// A pattern such as `payment.*`, `payment` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

// === impl Glob ===

impl Glob {
    /// The pattern as it was written.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.into())
    }

    /// The pattern's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an event type matches: `payment` matches `payment` and `payment.failed`, not `payments`.
    ///
    /// Linear in pattern and text for each `*`, without recursion.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        let pattern = self.0.as_bytes();
        let text = event_type.as_bytes();
        star_match(pattern, text)
            || text
                .iter()
                .enumerate()
                .any(|(dot, byte)| *byte == b'.' && text.get(..dot).is_some_and(|head| star_match(pattern, head)))
    }
}

fn star_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last `*` stood and how much text it has swallowed so far.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if text.get(from) == Some(byte) => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, swallowed)) = star else { return false };
                star = Some((star_at, swallowed + 1));
                at = star_at + 1;
                from = swallowed + 1;
            }
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, event_type: &str, expected: bool) {
        assert_eq!(Glob::new(pattern).matches(event_type), expected, "{pattern} on {event_type}");
    }

    #[test]
    fn globs_match_as_documented() {
        check("*", "anything.at.all", true);
        check("*", "", true);
        check("payment.*", "payment.failed", true);
        check("payment.*", "payment.refund.created", true);
        check("payment.*", "payments.failed", false);
        check("payment", "payment.failed", true);
        check("payment", "payment", true);
        check("payment", "payments", false);
        check("*.created", "user.created", true);
        check("*.created", "user.created.late", true);
        check("*.created", "user.updated", false);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-b-b", false);
        check("", "", true);
        check("", "x", false);
    }
}
