//! What can be found about a signature: a closed list, each with a code for machines and words for people.

use std::fmt;
use std::time::Duration;

use http::HeaderName;

use super::super::scheme::{Algorithm, Encoding, TimestampUnit};
use super::body::BodyChange;
use super::credential::CredentialChange;
use super::secret::SecretChange;
use super::url::SignedUrl;
use crate::domain::Timestamp;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A header that the scheme needs is not there.
    HeaderMissing {
        /// Which.
        name: Box<str>,
    },
    /// It is there more than once.
    HeaderTwice {
        /// Which.
        name: Box<str>,
    },
    /// A header that could be another sender's or another version's signature.
    HeaderElsewhere {
        /// Which.
        name: Box<str>,
        /// Whose scheme has it.
        scheme: Option<&'static str>,
    },
    /// A header's value is not visible ASCII.
    NotText {
        /// Which.
        name: Box<str>,
    },
    /// A field of the body that the scheme needs.
    FieldMissing {
        /// Why it cannot be read.
        detail: Box<str>,
    },
    /// What proves was masked when the request was kept.
    CredentialMasked {
        /// Where.
        place: Box<str>,
    },
    /// The pair of a header of pairs that holds the signature.
    PairMissing {
        /// Its key.
        key: &'static str,
        /// The keys that are there.
        found: Vec<Box<str>>,
    },
    /// The signature has not what should stand before it.
    PrefixMissing {
        /// What should.
        expected: Box<str>,
    },
    /// Something else stands before it.
    PrefixOther {
        /// What should; may be nothing.
        expected: Box<str>,
        /// What does.
        found: Box<str>,
    },
    /// White space or quotes around the signature.
    SignatureWrapped,
    /// The signature is written in another encoding.
    EncodingOther {
        /// The scheme's.
        expected: Encoding,
        /// The signature's.
        found: Encoding,
    },
    /// It lacks the padding of base64.
    PaddingMissing,
    /// It has another length.
    LengthOther {
        /// The bytes that it should have.
        expected: usize,
        /// The bytes that it has.
        found: usize,
        /// The algorithm that makes so many.
        of: Option<Algorithm>,
    },
    /// It is neither hexadecimal nor base64.
    NotASignature {
        /// Its characters.
        characters: usize,
    },
    /// The signed time is not one.
    TimestampNotOne {
        /// What stands there, cut.
        text: Box<str>,
    },
    /// It is one in another unit.
    TimestampUnit {
        /// The scheme's.
        expected: TimestampUnit,
        /// By its looks.
        found: TimestampUnit,
    },
    /// How far the signed time is from now.
    SignedTime {
        /// The time.
        signed_at: Timestamp,
        /// Seconds before now; negative: after.
        age_seconds: i64,
        /// How far it may be.
        tolerance: Duration,
        /// Whether it is no further.
        within: bool,
    },
    /// The body was not read, or not kept.
    BodyUnknown,
    /// The signature fits after a change: proof of what differs.
    Fits(Fit),
    /// None of the changes that were tried makes it fit.
    NothingFits {
        /// How many were tried.
        tries: u32,
        /// Whether all were: otherwise the bound ended the search.
        all: bool,
    },
    /// A token or password would be right after a change.
    CredentialFits {
        /// Which secret, counted from 1.
        secret: usize,
        /// After what.
        change: CredentialChange,
    },
    /// A token or password that is none of the secrets.
    CredentialOther {
        /// How many secrets there are.
        secrets: usize,
    },
    /// The certificate that the signature needs is at the sender's host.
    CertificateNeeded,
    /// Everything is believed.
    NothingChecked,
}

/// After which change a signature fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Which secret, counted from 1, of how many.
    pub secret: Option<(usize, usize)>,
    /// The secret of another source.
    pub source: Option<Box<str>>,
    /// How the secret has to be changed.
    pub secret_change: Option<SecretChange>,
    /// How the body was.
    pub body: Option<BodyChange>,
    /// The URL that was signed.
    pub url: Option<SignedUrl>,
    /// The algorithm, where it is not the scheme's.
    pub algorithm: Option<Algorithm>,
    /// The header in which the signature stands, where it is not the scheme's.
    pub header: Option<HeaderName>,
}

// === impl Finding ===

impl Finding {
    /// The word for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::HeaderMissing { .. } => "header_missing",
            Self::HeaderTwice { .. } => "header_twice",
            Self::HeaderElsewhere { .. } => "header_elsewhere",
            Self::NotText { .. } => "not_text",
            Self::FieldMissing { .. } => "field_missing",
            Self::CredentialMasked { .. } => "credential_masked",
            Self::PairMissing { .. } => "pair_missing",
            Self::PrefixMissing { .. } => "prefix_missing",
            Self::PrefixOther { .. } => "prefix_other",
            Self::SignatureWrapped => "signature_wrapped",
            Self::EncodingOther { .. } => "encoding_other",
            Self::PaddingMissing => "padding_missing",
            Self::LengthOther { .. } => "length_other",
            Self::NotASignature { .. } => "not_a_signature",
            Self::TimestampNotOne { .. } => "timestamp_not_one",
            Self::TimestampUnit { .. } => "timestamp_unit",
            Self::SignedTime { .. } => "signed_time",
            Self::BodyUnknown => "body_unknown",
            Self::Fits(fit) => fit.code(),
            Self::NothingFits { .. } => "nothing_fits",
            Self::CredentialFits { .. } => "credential_fits",
            Self::CredentialOther { .. } => "credential_other",
            Self::CertificateNeeded => "certificate_needed",
            Self::NothingChecked => "nothing_checked",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderMissing { name } => write!(f, "there is no header {name}"),
            Self::HeaderTwice { name } => write!(f, "there is more than one header {name}: exactly one is taken"),
            Self::HeaderElsewhere { name, scheme: Some(scheme) } => {
                write!(f, "there is a header {name}: the scheme `{scheme}` has that one")
            }
            Self::HeaderElsewhere { name, scheme: None } => write!(f, "there is a header {name} that could be it"),
            Self::NotText { name } => write!(f, "{name} holds something else than visible ASCII"),
            Self::FieldMissing { detail } => f.write_str(detail),
            Self::CredentialMasked { place } => {
                write!(f, "what {place} held was masked when the request was kept: it cannot be looked at any more")
            }
            Self::PairMissing { key, found } if found.is_empty() => {
                write!(f, "there is no `{key}=` in it, and no other `name=value` either")
            }
            Self::PairMissing { key, found } => {
                write!(f, "there is no `{key}=` in it, only {}", found.join(", "))
            }
            Self::PrefixMissing { expected } => write!(f, "the signature does not begin with `{expected}`"),
            Self::PrefixOther { expected, found } if expected.is_empty() => {
                write!(f, "the signature begins with `{found}`, and nothing should stand before it")
            }
            Self::PrefixOther { expected, found } => {
                write!(f, "the signature begins with `{found}` and not with `{expected}`")
            }
            Self::SignatureWrapped => f.write_str("white space or quotes stand around the signature"),
            Self::EncodingOther { expected, found } => {
                write!(f, "the signature is written in {found}, the scheme's is {expected}")
            }
            Self::PaddingMissing => f.write_str("the signature lacks the `=` at its end that base64 has"),
            Self::LengthOther { expected, found, of: Some(of) } => {
                write!(f, "the signature has {found} bytes, as {of} makes them, and not {expected}")
            }
            Self::LengthOther { expected, found, of: None } => {
                write!(f, "the signature has {found} bytes and not {expected}: was it cut?")
            }
            Self::NotASignature { characters } => {
                write!(f, "what stands there ({characters} characters) is neither hexadecimal nor base64")
            }
            Self::TimestampNotOne { text } => write!(f, "the timestamp `{text}` is not one"),
            Self::TimestampUnit { expected, found } => {
                write!(f, "the timestamp counts {}, the scheme's counts {}", unit(*found), unit(*expected))
            }
            Self::SignedTime { signed_at, age_seconds, tolerance, within } => {
                signed_time(f, *signed_at, *age_seconds, *tolerance, *within)
            }
            Self::BodyUnknown => f.write_str("the body is not known: the request was refused by its head, before it"),
            Self::Fits(fit) => fit.fmt(f),
            // Whatever the other findings say is wrong with it comes first.
            Self::NothingFits { tries: 0, all: true } => f.write_str("nothing could be tried with it as it is"),
            Self::NothingFits { tries, all: true } => {
                write!(f, "no change that was tried ({tries}) makes it fit: another secret, or other bytes were signed")
            }
            Self::NothingFits { tries, all: false } => {
                write!(f, "nothing fits so far: the search ended at its bound, after {tries} tries")
            }
            Self::CredentialFits { secret, change } => write!(f, "it is secret {secret}, {change}"),
            Self::CredentialOther { secrets: 1 } => f.write_str("it is not the secret"),
            Self::CredentialOther { secrets } => write!(f, "it is none of the {secrets} secrets"),
            Self::CertificateNeeded => {
                f.write_str("the signature needs the sender's certificate, which is at its host: not fetched here")
            }
            Self::NothingChecked => f.write_str("the scheme believes everybody"),
        }
    }
}

fn signed_time(
    f: &mut fmt::Formatter<'_>,
    signed_at: Timestamp,
    age_seconds: i64,
    tolerance: Duration,
    within: bool,
) -> fmt::Result {
    let side = if age_seconds < 0 { "ahead of" } else { "before" };
    let (seconds, tolerance) = (age_seconds.unsigned_abs(), tolerance.as_secs());
    write!(f, "signed at {signed_at}, {seconds} s {side} now: ")?;
    match (within, age_seconds < 0) {
        (true, _) => write!(f, "within the tolerance of {tolerance} s"),
        (false, true) => write!(f, "beyond the tolerance of {tolerance} s: one of the clocks is wrong"),
        (false, false) => {
            write!(
                f,
                "beyond the tolerance of {tolerance} s: it was under way too long, was replayed, or a clock is wrong"
            )
        }
    }
}

fn unit(unit: TimestampUnit) -> &'static str {
    match unit {
        TimestampUnit::Seconds => "seconds",
        TimestampUnit::Milliseconds => "milliseconds",
        TimestampUnit::Rfc3339 => "a date (RFC 3339)",
    }
}

// === impl Fit ===

impl Fit {
    /// The word for machines: the change that is the least expected.
    #[must_use]
    pub fn code(&self) -> &'static str {
        if self.source.is_some() {
            "fits_other_source"
        } else if self.body.is_some() {
            "fits_other_body"
        } else if self.url.is_some() {
            "fits_other_url"
        } else if self.secret_change.is_some() {
            "fits_other_secret_form"
        } else if self.algorithm.is_some() {
            "fits_other_algorithm"
        } else if self.header.is_some() {
            "fits_other_header"
        } else {
            "fits_otherwise"
        }
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match (&self.source, self.secret) {
            (Some(source), _) => format!("the secret of the source `{source}`"),
            (None, Some((_, 1)) | None) => "the secret".to_owned(),
            (None, Some((number, _))) => format!("secret {number}"),
        };
        let mut changes = Vec::new();
        changes.extend(self.body.map(|body| body.to_string()));
        changes.extend(self.url.as_ref().map(|url| format!("the URL {url}, which is not the configured one")));
        changes.extend(self.algorithm.map(|algorithm| format!("{algorithm}, which is not the scheme's algorithm")));
        changes.extend(self.header.as_ref().map(|header| format!("the signature in {header}")));
        changes.extend(self.secret_change.map(|change| format!("{key} {change}")));
        if changes.is_empty() && self.source.is_none() {
            return write!(f, "apart from that the signature is right: {key} made it");
        }
        if changes.is_empty() {
            return write!(f, "the signature is right for {key}");
        }
        write!(f, "the signature is right for {}", changes.join("; and "))?;
        if self.secret_change.is_none() { write!(f, " ({key})") } else { Ok(()) }
    }
}
