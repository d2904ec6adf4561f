//! The guard: computes what only copies share.

use std::hash::Hasher;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::config::{By, Config};
use crate::domain::{Facts, Reason, Rejection};
use crate::guard::envelope::inflate::inflated;
use crate::guard::envelope::{DEPTH_MAX, Field, INFLATED_BYTES_MAX_DEFAULT, Pointer, ScanError, Value, scan};
use crate::guard::layer::{Guard, Head};

/// Leaves the dedup key of a request in its facts.
#[derive(Clone)]
pub struct Dedup {
    by: By,
    /// Has seen the source already.
    hasher: SipHasher13,
    source: Arc<str>,
}

/// What a key is made of; two kinds never make the same key.
#[derive(Clone, Copy)]
enum Kind {
    SignedId,
    IdAndBody,
    Body,
    Header,
    BodyField,
}

// === impl Dedup ===

impl Dedup {
    /// The guard of a source; `key` makes the keys unpredictable and must stay the same as long as marks are
    /// kept.
    #[must_use]
    pub fn new(config: &Config, source: &str, key: [u8; 16]) -> Self {
        let mut hasher = SipHasher13::new_with_key(&key);
        write(&mut hasher, source.as_bytes());
        Self { by: config.by.clone(), hasher, source: source.into() }
    }

    fn key(&self, kind: Kind, parts: &[&[u8]]) -> Option<[u8; 16]> {
        let mut hasher = self.hasher;
        hasher.write_u8(kind as u8);
        parts.iter().for_each(|part| write(&mut hasher, part));
        Some(hasher.finish128().as_bytes())
    }

    fn by_header(&self, head: Head<'_>, name: &http::HeaderName) -> Option<[u8; 16]> {
        let values: Vec<&[u8]> = head.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
        if values.is_empty() { None } else { self.key(Kind::Header, &values) }
    }

    fn by_body_field(&self, head: Head<'_>, body: &[u8], pointer: &Pointer) -> Result<Option<[u8; 16]>, Rejection> {
        let body = match inflated(head.headers, body, INFLATED_BYTES_MAX_DEFAULT) {
            Err(rejection) if rejection.reason == Reason::ContentEncodingUnknown => return Ok(None),
            body => body?,
        };
        match scan(&body, [Some(pointer)], DEPTH_MAX) {
            Ok([Some(Value::Text(text))]) => Ok(self.key(Kind::BodyField, &[text.as_bytes()])),
            Ok([Some(Value::Integer(digits))]) => Ok(self.key(Kind::BodyField, &[digits.as_bytes()])),
            Ok(_) | Err(ScanError::NotJson { .. }) => Ok(None),
            Err(error @ ScanError::TooDeep { .. }) => Err(Rejection::new(Reason::BodyTooDeep, error.to_string())),
            Err(error @ ScanError::DuplicateKey { .. }) => {
                Err(Rejection::new(Reason::BodyDuplicateKey, error.to_string()))
            }
        }
    }
}

impl<B: AsRef<[u8]>> Guard<B> for Dedup {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        let body = body.as_ref();
        let hash = || facts.digested.as_ref().map_or_else(|| Sha256::digest(body).into(), |digested| digested.sha256);
        facts.dedup_key = match (&self.by, &facts.source_event_id) {
            (By::Id, None) => None,
            (By::Id, Some(id)) if facts.source_event_id_signed => self.key(Kind::SignedId, &[id.as_bytes()]),
            (By::Id, Some(id)) => self.key(Kind::IdAndBody, &[id.as_bytes(), &hash()]),
            (By::Body, _) => self.key(Kind::Body, &[&hash()]),
            (By::Field(Field::Header(name)), _) => self.by_header(head, name),
            (By::Field(Field::Body(pointer)), _) => self.by_body_field(head, body, pointer)?,
        };
        Ok(())
    }

    fn name(&self) -> &'static str {
        "dedup"
    }
}

impl std::fmt::Debug for Dedup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dedup").field("source", &self.source).field("by", &self.by).finish_non_exhaustive()
    }
}

/// Writes a part behind its length, so that no two lists of parts are the same bytes.
fn write(hasher: &mut SipHasher13, part: &[u8]) {
    hasher.write(&(part.len() as u64).to_le_bytes());
    hasher.write(part);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::Request;

    use super::*;

    const KEY: [u8; 16] = *b"0123456789abcdef";

    struct Copy<'a> {
        source: &'a str,
        by: By,
        id: Option<(&'a str, bool)>,
        headers: &'a [(&'a str, &'a str)],
        body: &'a str,
    }

    const EVENT: Copy<'_> =
        Copy { source: "a", by: By::Id, id: Some(("evt_1", true)), headers: &[], body: r#"{"n":1,"s":"x"}"# };

    fn answer(copy: &Copy<'_>, key: [u8; 16]) -> Result<Option<[u8; 16]>, Reason> {
        let mut request = Request::post("/");
        for (name, value) in copy.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(copy.body).expect("a request");
        let mut facts = Facts {
            source_event_id: copy.id.map(|(id, _)| id.into()),
            source_event_id_signed: copy.id.is_some_and(|(_, signed)| signed),
            ..Facts::default()
        };
        let guard = Dedup::new(&Config { by: copy.by.clone(), ..Config::default() }, copy.source, key);
        let answer = guard.check(Head::of(&request), request.body(), &mut facts);
        answer.map(|()| facts.dedup_key).map_err(|rejection| rejection.reason)
    }

    #[track_caller]
    fn check(one: &Copy<'_>, other: &Copy<'_>, are_copies: bool) {
        let [one, other] = [one, other].map(|copy| answer(copy, KEY).expect("let through").expect("a key"));
        assert_eq!(one == other, are_copies);
    }

    fn field(field: &str) -> By {
        By::Field(field.parse().expect("a field"))
    }

    #[test]
    fn copies_share_the_source_and_the_id() {
        check(&EVENT, &EVENT, true);
        check(&EVENT, &Copy { body: "other", ..EVENT }, true);
        check(&EVENT, &Copy { id: Some(("evt_2", true)), ..EVENT }, false);
        check(&EVENT, &Copy { source: "b", ..EVENT }, false);
        check(
            &Copy { source: "ab", id: Some(("c", true)), ..EVENT },
            &Copy { source: "a", id: Some(("bc", true)), ..EVENT },
            false,
        );
    }

    #[test]
    fn an_id_that_is_not_signed_tells_copies_only_with_the_body() {
        let unsigned = Copy { id: Some(("evt_1", false)), ..EVENT };
        check(&unsigned, &Copy { id: Some(("evt_1", false)), ..EVENT }, true);
        check(&unsigned, &Copy { body: "other", id: Some(("evt_1", false)), ..EVENT }, false);
        check(&unsigned, &EVENT, false);
    }

    #[test]
    fn copies_by_body_header_or_field() {
        let by_body = Copy { by: By::Body, ..EVENT };
        check(&by_body, &Copy { by: By::Body, id: None, ..EVENT }, true);
        check(&by_body, &Copy { by: By::Body, body: "other", ..EVENT }, false);

        let by_header = Copy { by: field("header:x-key"), headers: &[("x-key", "1")], ..EVENT };
        check(&by_header, &Copy { by: field("header:X-Key"), headers: &[("x-key", "1")], body: "?", ..EVENT }, true);
        check(&by_header, &Copy { by: field("header:x-key"), headers: &[("x-key", "2")], ..EVENT }, false);

        let by_number = Copy { by: field("body:/n"), ..EVENT };
        check(&by_number, &Copy { by: field("body:/n"), body: r#"{"s":0, "n": 1}"#, ..EVENT }, true);
        check(&by_number, &Copy { by: field("body:/n"), body: r#"{"n":2}"#, ..EVENT }, false);
        check(&by_header, &Copy { by: field("body:/n"), ..EVENT }, false);
    }

    #[test]
    fn without_what_tells_copies_there_is_no_key() {
        for by in [By::Id, field("header:x-key"), field("body:/missing"), field("body:/n/n")] {
            assert_eq!(answer(&Copy { by, id: None, ..EVENT }, KEY), Ok(None));
        }
        assert_eq!(answer(&Copy { by: field("body:/n"), body: "not json", ..EVENT }, KEY), Ok(None));
        let twice = Copy { by: field("body:/n"), body: r#"{"n":1,"n":2}"#, ..EVENT };
        assert_eq!(answer(&twice, KEY), Err(Reason::BodyDuplicateKey));
    }

    #[test]
    fn keys_depend_on_the_secret_and_do_not_change_between_versions() {
        let keys: HashSet<_> = [KEY, [0; 16], [1; 16]].into_iter().map(|key| answer(&EVENT, key)).collect();
        assert_eq!(keys.len(), 3);
        // Marks outlive an upgrade: the key of this event is what stores have kept since the first version.
        let key = answer(&EVENT, KEY).expect("let through").expect("a key");
        assert_eq!(hex::encode(key), "c6dca2d65ec0bb5896b33d87a092945c");
    }
}
