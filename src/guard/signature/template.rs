//! What a signature covers, as a template: `{timestamp}.{body}`.
//!
//! Fields: `{body}` (the raw bytes), `{timestamp}` and `{id}` (the header's text as sent), `{method}` (as
//! sent), `{url}` (the source's `public_url`, with the request's query), `{body:/pointer}` (the text of one field
//! of a JSON body), `{form}` (the parameters of a form, sorted). Everything else stands for itself.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::scheme::Text;
use crate::guard::envelope::Pointer;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Cow<'static, [Part]>);

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes that stand for themselves.
    Literal(Text),
    /// The body's raw bytes.
    Body,
    /// The signed time as it was sent.
    Timestamp,
    /// The event id's header as it was sent.
    Id,
    /// The method, such as `POST`.
    Method,
    /// The source's public URL.
    Url,
    /// The text of one field of a JSON body: what else stands there is not signed.
    Field(Pointer),
    /// The parameters of a form: each name with its value, sorted, repeated ones once. A body that is no form
    /// is covered by `bodySHA256` in the query, which the URL covers.
    Form,
}

/// A template that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A field that does not exist.
    #[error(
        "`{{{0}}}` is not a field of the template: use {{body}}, {{timestamp}}, {{id}}, {{method}}, {{url}}, {{form}} \
         or {{body:/pointer}}"
    )]
    UnknownField(String),
    /// A brace without its partner.
    #[error("a brace in `{0}` has no partner")]
    UnclosedBrace(String),
    /// Nothing of the request is signed.
    #[error("the template `{0}` signs nothing of the request: it needs at least {{body}}")]
    NothingSigned(String),
}

// === impl Template ===

impl Template {
    /// `{body}`.
    pub const BODY: Self = Self(Cow::Borrowed(&[Part::Body]));

    /// A template of known parts, for presets.
    #[must_use]
    pub const fn of(parts: &'static [Part]) -> Self {
        Self(Cow::Borrowed(parts))
    }

    /// The parts in the order in which they are hashed.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Whether the template has this field.
    #[must_use]
    pub fn has(&self, part: &Part) -> bool {
        self.0.contains(part)
    }

    /// Whether what is signed covers every byte of the body.
    #[must_use]
    pub fn covers_body(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Body | Part::Form))
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, opened)) = rest.split_once('{') {
            let Some((field, after)) = opened.split_once('}') else {
                return Err(TemplateError::UnclosedBrace(text.into()));
            };
            push_literal(&mut parts, literal, text)?;
            parts.push(match field {
                "body" => Part::Body,
                "timestamp" => Part::Timestamp,
                "id" => Part::Id,
                "method" => Part::Method,
                "url" => Part::Url,
                "form" => Part::Form,
                _ if field.starts_with("body:") => match field.get(5..).unwrap_or_default().parse() {
                    Ok(pointer) => Part::Field(pointer),
                    Err(_not_a_pointer) => return Err(TemplateError::UnknownField(field.into())),
                },
                _ => return Err(TemplateError::UnknownField(field.into())),
            });
            rest = after;
        }
        push_literal(&mut parts, rest, text)?;
        if !parts.iter().any(|part| matches!(part, Part::Body | Part::Form | Part::Field(_))) {
            return Err(TemplateError::NothingSigned(text.into()));
        }
        Ok(Self(Cow::Owned(parts)))
    }
}

fn push_literal(parts: &mut Vec<Part>, literal: &str, text: &str) -> Result<(), TemplateError> {
    if literal.contains('}') {
        return Err(TemplateError::UnclosedBrace(text.into()));
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(Cow::Owned(literal.into())));
    }
    Ok(())
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::Body => f.write_str("{body}"),
            Part::Timestamp => f.write_str("{timestamp}"),
            Part::Id => f.write_str("{id}"),
            Part::Method => f.write_str("{method}"),
            Part::Url => f.write_str("{url}"),
            Part::Form => f.write_str("{form}"),
            Part::Field(pointer) => write!(f, "{{body:{pointer}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[Part], TemplateError>) {
        let parsed = text.parse::<Template>();
        assert_eq!(parsed.as_ref().map(Template::parts), expected.as_ref().copied(), "{text}");
        if let Ok(template) = parsed {
            assert_eq!(template.to_string(), text);
        }
    }

    #[test]
    fn templates_are_read_as_documented() {
        let literal = |text: &'static str| Part::Literal(Cow::Borrowed(text));
        check("{body}", Ok(&[Part::Body]));
        check("v0:{timestamp}:{body}", Ok(&[literal("v0:"), Part::Timestamp, literal(":"), Part::Body]));
        check("{method}{url}{id}{body}!", Ok(&[Part::Method, Part::Url, Part::Id, Part::Body, literal("!")]));
        let token = || "/signature/token".parse().expect("a pointer");
        check("{timestamp}{body:/signature/token}", Ok(&[Part::Timestamp, Part::Field(token())]));
        check("{url}{form}", Ok(&[Part::Url, Part::Form]));
        check("{body:id}", Err(TemplateError::UnknownField("body:id".into())));
        check("{raw}", Err(TemplateError::UnknownField("raw".into())));
        check("{body", Err(TemplateError::UnclosedBrace("{body".into())));
        check("{body}}", Err(TemplateError::UnclosedBrace("{body}}".into())));
        check("{timestamp}", Err(TemplateError::NothingSigned("{timestamp}".into())));
    }
}
