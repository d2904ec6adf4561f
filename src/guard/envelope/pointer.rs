//! Where a field of an event stands: a JSON pointer into the body, or a header.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::HeaderName;

/// A JSON pointer (RFC 6901) such as `/id`, of at most [`POINTER_TOKENS_MAX`] tokens; never the whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Cow<'static, [Cow<'static, str>]>);

/// The most tokens of a pointer.
pub const POINTER_TOKENS_MAX: usize = 16;

/// One place: `body:/pointer` or `header:NAME` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// In the body.
    Body(Pointer),
    /// In a header.
    Header(HeaderName),
}

/// Where a field stands: in the body, or, only where the body has none, in a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// In the body, which then is read as JSON.
    pub body: Option<Pointer>,
    /// In a header.
    pub header: Option<HeaderName>,
    /// Refused without it.
    pub required: bool,
}

/// Text that names no field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Neither of the two forms.
    #[error("`{0}` names no field: write body:/pointer or header:NAME")]
    Form(String),
    /// Not a JSON pointer.
    #[error("`{0}` is not a JSON pointer of 1 to 16 tokens: write it like /data/id")]
    Pointer(String),
    /// Not a header name.
    #[error("`{0}` is not a header name")]
    Header(String),
}

// === impl Pointer ===

impl Pointer {
    /// A pointer of known tokens, for presets.
    #[must_use]
    pub const fn of(tokens: &'static [Cow<'static, str>]) -> Self {
        Self(Cow::Borrowed(tokens))
    }

    /// The unescaped tokens, outermost first.
    #[must_use]
    pub fn tokens(&self) -> &[Cow<'static, str>] {
        &self.0
    }
}

impl FromStr for Pointer {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let wrong = || FieldError::Pointer(text.into());
        let tokens: Vec<_> = text.strip_prefix('/').ok_or_else(wrong)?.split('/').collect();
        let escapes_are_known = tokens
            .iter()
            .all(|token| token.split('~').skip(1).all(|escape| escape.starts_with('0') || escape.starts_with('1')));
        if !escapes_are_known || tokens.len() > POINTER_TOKENS_MAX {
            return Err(wrong());
        }
        Ok(Self(tokens.into_iter().map(|token| Cow::Owned(token.replace("~1", "/").replace("~0", "~"))).collect()))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

// === impl Field, Lookup ===

impl FromStr for Field {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        match text.split_once(':') {
            Some(("body", pointer)) => pointer.parse().map(Self::Body),
            Some(("header", name)) => match name.parse() {
                Ok(name) => Ok(Self::Header(name)),
                Err(_invalid) => Err(FieldError::Header(name.into())),
            },
            _ => Err(FieldError::Form(text.into())),
        }
    }
}

impl Lookup {
    /// Nowhere: the event has no such field.
    pub const NOWHERE: Self = Self { body: None, header: None, required: false };

    /// In one place, refused without it; nowhere where no place is given.
    #[must_use]
    pub fn required(field: Option<Field>) -> Self {
        match field {
            Some(Field::Body(pointer)) => Self { body: Some(pointer), header: None, required: true },
            Some(Field::Header(name)) => Self { body: None, header: Some(name), required: true },
            None => Self::NOWHERE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&[&str]>) {
        let parsed = text.parse::<Pointer>();
        assert_eq!(
            parsed.as_ref().ok().map(|pointer| pointer.tokens().to_vec()).as_deref(),
            {
                let tokens = expected.map(|tokens| tokens.iter().map(|token| Cow::Owned((*token).into())).collect());
                let tokens: Option<Vec<Cow<'_, str>>> = tokens;
                tokens
            }
            .as_deref()
        );
        if let Ok(pointer) = parsed {
            assert_eq!(pointer.to_string(), text);
        }
    }

    #[test]
    fn pointers_are_rfc_6901() {
        check("/id", Some(&["id"]));
        check("/data/0/id", Some(&["data", "0", "id"]));
        check("/a~1b/m~0n", Some(&["a/b", "m~n"]));
        check("/", Some(&[""]));
        check("", None);
        check("id", None);
        check("/a~2", None);
        check(&"/a".repeat(17), None);
    }

    #[test]
    fn fields_name_their_place() {
        assert_eq!("header:X-Id".parse(), Ok(Field::Header(HeaderName::from_static("x-id"))));
        assert_eq!("body:/id".parse(), Ok(Field::Body(Pointer::of(&[Cow::Borrowed("id")]))));
        assert_eq!("/id".parse::<Field>(), Err(FieldError::Form("/id".into())));
        assert_eq!("body:id".parse::<Field>(), Err(FieldError::Pointer("id".into())));
        assert_eq!("header:a b".parse::<Field>(), Err(FieldError::Header("a b".into())));
    }
}
