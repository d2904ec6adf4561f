//! What happens to secrets on their way into a configuration: the key as the sender may have it.

use std::fmt;

use zeroize::Zeroizing;

use super::super::encoding::decode_key;
use super::super::scheme::{KeyEncoding, KeyForm};

/// A change of the secret after which the signature fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretChange {
    /// Without white space, quotes or a byte order mark around it.
    Trimmed,
    /// With a line break at its end, as `echo` adds it.
    WithNewline,
    /// Its text is the key: it is not to be decoded.
    Literal,
    /// The key is what it writes in base64, behind `whsec_` where it has that.
    Base64,
    /// The key is what it writes in hexadecimal.
    Hex,
    /// Without the `whsec_` in front.
    WithoutPrefix,
    /// With `whsec_` in front.
    WithPrefix,
}

/// What Svix, Stripe and Standard Webhooks put in front of secrets.
const WHSEC: &[u8] = b"whsec_";

// === impl SecretChange ===

impl SecretChange {
    /// Every change.
    pub(super) const ALL: [Self; 7] = [
        Self::Trimmed,
        Self::Literal,
        Self::Base64,
        Self::WithoutPrefix,
        Self::WithPrefix,
        Self::Hex,
        Self::WithNewline,
    ];

    /// The key that the secret is after the change; `None` where it changes nothing or makes no key.
    pub(super) fn key(self, secret: &[u8], form: KeyForm) -> Option<Zeroizing<Vec<u8>>> {
        let bare = secret.strip_prefix(WHSEC).unwrap_or(secret);
        let key = match self {
            Self::Trimmed => as_written(trimmed(secret), form)?,
            Self::WithNewline => [secret, b"\n"].concat(),
            Self::Literal => secret.to_vec(),
            Self::Base64 => decode_key(bare, KeyEncoding::Base64)?,
            Self::Hex => decode_key(bare, KeyEncoding::Hex)?,
            Self::WithoutPrefix => bare.to_vec(),
            Self::WithPrefix => [WHSEC, secret].concat(),
        };
        let key = Zeroizing::new(key);
        (!key.is_empty() && as_written(secret, form).is_none_or(|usual| usual != *key)).then_some(key)
    }
}

/// The key as the scheme reads the secret.
fn as_written(secret: &[u8], form: KeyForm) -> Option<Vec<u8>> {
    decode_key(secret.strip_prefix(form.strip_prefix.as_bytes()).unwrap_or(secret), form.encoding)
}

fn trimmed(secret: &[u8]) -> &[u8] {
    let secret = secret.strip_prefix(b"\xef\xbb\xbf").unwrap_or(secret).trim_ascii();
    let quoted = |quote: &[u8]| secret.strip_prefix(quote)?.strip_suffix(quote);
    quoted(b"\"").or_else(|| quoted(b"'")).unwrap_or(secret)
}

impl fmt::Display for SecretChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trimmed => "without the white space or quotes around it",
            Self::WithNewline => "with a line break at its end: the sender's copy has one",
            Self::Literal => "as text: it is not to be decoded",
            Self::Base64 => "decoded from base64",
            Self::Hex => "decoded from hexadecimal",
            Self::WithoutPrefix => "without the `whsec_` in front",
            Self::WithPrefix => "with `whsec_` in front",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::signature::preset::WHSEC as WHSEC_FORM;

    #[track_caller]
    fn check(change: SecretChange, secret: &str, form: KeyForm, key: Option<&[u8]>) {
        assert_eq!(
            change.key(secret.as_bytes(), form).as_ref().map(|key| key.as_slice()),
            key,
            "{change:?} of {secret}"
        );
    }

    #[test]
    fn a_secret_is_changed_as_people_change_it() {
        check(SecretChange::Trimmed, " a\r\n", KeyForm::UTF8, Some(b"a"));
        check(SecretChange::Trimmed, "\"a\"", KeyForm::UTF8, Some(b"a"));
        check(SecretChange::Trimmed, "a", KeyForm::UTF8, None);
        check(SecretChange::Literal, "a", KeyForm::UTF8, None);
        check(SecretChange::Literal, "whsec_YQ==", WHSEC_FORM, Some(b"whsec_YQ=="));
        check(SecretChange::Base64, "whsec_YQ==", KeyForm::UTF8, Some(b"a"));
        check(SecretChange::Base64, "whsec_YQ==", WHSEC_FORM, None);
        check(SecretChange::Hex, "6162", KeyForm::UTF8, Some(b"ab"));
        check(SecretChange::Hex, "xy", KeyForm::UTF8, None);
        check(SecretChange::WithoutPrefix, "whsec_a", KeyForm::UTF8, Some(b"a"));
        check(SecretChange::WithPrefix, "a", KeyForm::UTF8, Some(b"whsec_a"));
    }
}
