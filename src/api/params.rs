//! Ids in the path, and query parameters: known ones only, each once, each with a value that makes sense; else 400 with a pointer.

use axum::extract::{FromRequestParts, Path};
use http::Uri;
use http::request::Parts;
use url::form_urlencoded;

use super::parameter::{Parameter, SECONDS_MAX, VALUE_CHARS_MAX};
use super::problem::Problem;
use crate::domain::Timestamp;
use crate::store::query::PAGE_ROWS_MAX;

/// How many rows a page has where nobody says.
const LIMIT_DEFAULT: usize = 10;

/// The query as it was sent; [`Query::only`] makes parameters of it.
#[derive(Debug)]
pub(super) struct Query(Option<Box<str>>);

/// The id in the path, as text.
#[derive(Debug)]
pub(super) struct Key(pub(super) String);

/// Parameters that are known to be known and there once.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.uri))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(key)| Self(key)).map_err(|_not_utf8| Problem::not_found("such id"))
    }
}

// === impl Query ===

impl Query {
    /// The query of a target.
    pub(super) fn of(target: &Uri) -> Self {
        Self(target.query().map(Box::from))
    }

    /// The parameters, of which only these are known.
    pub(super) fn only(&self, known: &[Parameter]) -> Result<Params, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(self.0.as_deref().unwrap_or_default().as_bytes()) {
            if !known.iter().any(|known| known.name == name) {
                return Err(Problem::parameter(&name, unknown(&name, known)));
            }
            if pairs.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Problem::parameter(&name, "is there twice"));
            }
            if value.is_empty() || value.chars().count() > VALUE_CHARS_MAX {
                return Err(Problem::parameter(&name, format!("needs 1 to {VALUE_CHARS_MAX} characters")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Params(pairs))
    }
}

fn unknown(name: &str, known: &[Parameter]) -> String {
    let known: Vec<&str> = known.iter().map(|known| known.name).collect();
    let near = known.iter().map(|known| (strsim::jaro_winkler(name, known), *known));
    let near = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|(one, _), (other, _)| one.total_cmp(other));
    match near {
        Some((_, near)) => format!("no such parameter, did you mean {near}?"),
        None if known.is_empty() => "no parameters are known here".to_owned(),
        None => format!("no such parameter; known are {}", known.join(", ")),
    }
}

// === impl Params ===

impl Params {
    /// The parameter's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The parameter's text, to be kept.
    pub(super) fn owned(&self, name: &str) -> Option<Box<str>> {
        self.text(name).map(Box::from)
    }

    /// The parameter's meaning; `expected` says what would have made sense.
    pub(super) fn read<T>(
        &self,
        name: &str,
        expected: impl std::fmt::Display,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| Problem::parameter(name, format!("expected {expected}")))
    }

    /// `limit`: 1 to 100.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.read("limit", format_args!("a number from 1 to {PAGE_ROWS_MAX}"), |text| {
            text.parse().ok().filter(|limit| (1..=PAGE_ROWS_MAX).contains(limit))
        })?;
        Ok(limit.unwrap_or(LIMIT_DEFAULT))
    }

    /// `created[gte]`: from this time on.
    pub(super) fn created_gte(&self) -> Result<Option<Timestamp>, Problem> {
        self.read("created[gte]", TIME_EXPECTED, |text| Some(time(text)?.0))
    }

    /// `created[lte]`: until this time, the whole second where it was given in seconds.
    pub(super) fn created_lte(&self) -> Result<Option<Timestamp>, Problem> {
        self.read("created[lte]", TIME_EXPECTED, |text| Some(time(text)?.1))
    }
}

pub(super) const TIME_EXPECTED: &str = "seconds since 1970 or a time such as 2026-11-23T18:04:05Z";

/// First and last millisecond of the time that the text names.
pub(super) fn time(text: &str) -> Option<(Timestamp, Timestamp)> {
    if let Ok(seconds) = text.parse::<u64>() {
        let first = Some(seconds).filter(|seconds| *seconds <= SECONDS_MAX)? * 1000;
        return Some((Timestamp(first), Timestamp(first + 999)));
    }
    // A `+` of the offset that was not escaped arrives as a space.
    let time: jiff::Timestamp = text.replace(' ', "+").parse().ok()?;
    // Nothing is older than 1970.
    let millis = Timestamp(u64::try_from(time.as_millisecond()).unwrap_or(0));
    Some((millis, millis))
}

#[cfg(test)]
mod tests {
    use super::super::parameter;
    use super::*;

    const KNOWN: [Parameter; 4] = [parameter::LIMIT, parameter::SOURCE, parameter::CREATED_GTE, parameter::CREATED_LTE];

    fn params(query: &str) -> Result<Params, Problem> {
        Query(Some(query.into())).only(&KNOWN)
    }

    #[track_caller]
    fn refused(problem: Problem, pointer: &str, words: &str) {
        let text = format!("{problem:?}");
        assert!(text.contains(pointer) && text.contains(words), "{text}");
    }

    #[test]
    fn only_known_parameters_once_and_with_a_value() {
        refused(params("limits=3").unwrap_err(), "#/query/limits", "did you mean limit?");
        refused(params("zzz=1").unwrap_err(), "#/query/zzz", "known are limit, source");
        refused(params("limit=1&limit=2").unwrap_err(), "#/query/limit", "twice");
        refused(params("source=").unwrap_err(), "#/query/source", "1 to 512");
        assert_eq!(params("source=a%20b&limit=7").unwrap().text("source"), Some("a b"));
        assert_eq!(Query(None).only(&KNOWN).unwrap().limit().unwrap(), 10);
    }

    #[test]
    fn a_limit_is_one_to_a_hundred() {
        for wrong in ["limit=0", "limit=101", "limit=-1", "limit=ten"] {
            refused(params(wrong).unwrap().limit().unwrap_err(), "#/query/limit", "from 1 to 100");
        }
        assert_eq!(params("limit=100").unwrap().limit().unwrap(), 100);
    }

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        let lte = |text: &str| params(&format!("created[lte]={text}")).unwrap().created_lte();
        let gte = |text: &str| params(&format!("created[gte]={text}")).unwrap().created_gte();
        assert_eq!(gte("1700000000").unwrap(), Some(Timestamp(1_700_000_000_000)));
        assert_eq!(lte("1700000000").unwrap(), Some(Timestamp(1_700_000_000_999)));
        assert_eq!(lte("2023-11-14T22:13:20.5Z").unwrap(), Some(Timestamp(1_700_000_000_500)));
        assert_eq!(gte("2023-11-15T00:13:20+02:00").unwrap(), Some(Timestamp(1_700_000_000_000)));
        assert_eq!(gte("1969-01-01T00:00:00Z").unwrap(), Some(Timestamp(0)), "nothing is older");
        for wrong in ["yesterday", "253402300800", "99999999999999999999", "18446744073709551615"] {
            refused(gte(wrong).unwrap_err(), "#/query/created[gte]", "seconds since 1970");
        }
    }
}
