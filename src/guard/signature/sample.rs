//! A test event as the senders of a scheme would write one: id and type where the scheme looks for them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::scheme::Scheme;
use super::signer::with_field;
use crate::domain::Timestamp;

/// A test event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The body: the platform's standard event, with what the scheme wants besides.
    pub body: Bytes,
    /// The part of the type that stands in a header, where the scheme has one there.
    pub head_type: Box<str>,
}

impl Sample {
    /// An event of this scheme. Where a place for id or type cannot be made (in a list that is empty), it is left out.
    #[must_use]
    pub fn new(scheme: &Scheme, id: &str, event_type: &str, data: &Value, created: Timestamp) -> Self {
        let (head_type, detail) = match &scheme.type_detail {
            Some(pointer) => match event_type.split_once('.') {
                Some((head, detail)) => (head, Some((pointer, detail))),
                None => (event_type, None),
            },
            None => (event_type, None),
        };
        let event = json!({
            "id": id,
            "type": event_type,
            "created": created.to_string(),
            "data": data,
            "livemode": false,
        });
        let mut body = Bytes::from(event.to_string());
        let fields = [
            scheme.event_id.body.as_ref().map(|pointer| (pointer, id)),
            scheme.event_type.body.as_ref().map(|pointer| (pointer, head_type)),
            detail,
        ];
        for (pointer, text) in fields.into_iter().flatten() {
            if let Ok(changed) = with_field(&body, pointer, Value::from(text)) {
                body = changed;
            }
        }
        Self { body, head_type: head_type.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scheme: &str, pointer: &str, expected: &str, head_type: &str) {
        let scheme = Scheme::named(scheme).expect("a scheme");
        let sample = Sample::new(&scheme, "evt_1", "issues.opened", &json!({ "a": 1 }), Timestamp(0));
        let body: Value = serde_json::from_slice(&sample.body).expect("JSON");
        assert_eq!(body.pointer(pointer), Some(&Value::from(expected)), "{body}");
        assert_eq!((&body["data"]["a"], &*sample.head_type), (&Value::from(1), head_type));
    }

    #[test]
    fn id_and_type_stand_where_the_scheme_looks_for_them() {
        check("appmint", "/id", "evt_1", "issues.opened");
        check("github", "/action", "opened", "issues");
        check("linear", "/type", "issues", "issues");
        check("linear", "/action", "opened", "issues");
        check("slack", "/event/type", "issues.opened", "issues.opened");
        check("slack", "/event_id", "evt_1", "issues.opened");
    }
}
