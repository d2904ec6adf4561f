//! The event types that the platform's documentation lists, by the part of the platform that they come from.

/// The 30 types, in the order of the documentation.
pub const EVENT_TYPES: [&str; 30] = [
    // Authentication.
    "user.created",
    "user.updated",
    "user.deleted",
    "user.login",
    "user.logout",
    "password.reset",
    // Database.
    "document.created",
    "document.updated",
    "document.deleted",
    "collection.created",
    "collection.deleted",
    // File storage.
    "file.uploaded",
    "file.deleted",
    "file.processing.completed",
    "file.processing.failed",
    // Payments.
    "payment.succeeded",
    "payment.failed",
    "payment.refunded",
    "subscription.created",
    "subscription.updated",
    "subscription.cancelled",
    // Workflows.
    "workflow.started",
    "workflow.completed",
    "workflow.failed",
    "task.created",
    "task.completed",
    // System.
    "application.deployed",
    "application.error",
    "api.rate_limit_exceeded",
    "backup.completed",
];

/// Whether a text can be an event type: words of letters, digits, `_` and `-` with dots between them.
#[must_use]
pub fn is_event_type(text: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    text.len() <= super::event::EVENT_TYPE_BYTES_MAX && text.split('.').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_catalogue_can_be_one_and_stands_there_once() {
        let mut sorted = EVENT_TYPES.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), EVENT_TYPES.len());
        assert!(EVENT_TYPES.iter().all(|known| is_event_type(known)));
    }

    #[test]
    fn what_cannot_be_an_event_type_is_known() {
        for wrong in ["", ".", "a.", ".a", "a..b", "a b", "a*", "ä", "a\n", "a/b"] {
            assert!(!is_event_type(wrong), "{wrong:?}");
        }
        assert!(!is_event_type(&"a".repeat(256)));
        assert!(is_event_type("invoice.line-item.added_2"));
    }
}
