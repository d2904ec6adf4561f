//! The question: a request, and what it is checked with; the answer is a [`Diagnosis`].

use std::fmt;
use std::time::Duration;

use super::super::odd::Odd;
use super::super::scheme::{Algorithm, Encoding, Place, Proof, Signatures};
use super::super::verifier::Verifier;
use super::body::BodyChange;
use super::covered::{Covered, covered};
use super::finding::{Finding, Fit};
use super::given::Given;
use super::search::{Budget, Search};
use super::shape::Shape;
use super::{credential, time};
use crate::domain::{Clock, Facts, Rejection, Timestamp};
use crate::guard::layer::{Guard as _, Head};
use crate::guard::replay_window::{self, ReplayWindow};

/// A request, and what it is checked with.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Its head.
    pub head: Head<'a>,
    /// Its body; `None` where it was refused before that was read.
    pub body: Option<&'a [u8]>,
    /// Scheme and secrets.
    pub verifier: &'a Verifier,
    /// How far the signed time may be from now; `None`: it is not asked.
    pub tolerance: Option<Duration>,
    /// When it came in.
    pub now: Timestamp,
    /// Other sources, whose secrets may have been mixed up with this one's.
    pub others: &'a [Other<'a>],
    /// What the answer may cost.
    pub budget: Budget,
}

/// Another source.
#[derive(Clone, Copy, Debug)]
pub struct Other<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its secrets.
    pub verifier: &'a Verifier,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What the guards say.
    pub verdict: Result<Verified, Rejection>,
    /// What is expected.
    pub expected: Expected,
    /// What the scheme signs of this request; empty where it signs nothing.
    pub covered: Vec<Covered>,
    /// What was given in the signature's place, cut, with its shape.
    pub given: Vec<(Box<str>, Shape)>,
    /// What differs.
    pub findings: Vec<Finding>,
}

/// The signature is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Which secret made it, counted from 1; `None` where everybody is believed.
    pub secret: Option<usize>,
    /// How many there are.
    pub of: usize,
}

/// What a scheme expects, never the value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A signature.
    Signature {
        /// Where.
        place: Box<str>,
        /// Made how.
        algorithm: Algorithm,
        /// Written how.
        encoding: Encoding,
        /// Behind what.
        prefix: Box<str>,
    },
    /// A token or password.
    Credential {
        /// Where.
        place: Box<str>,
    },
    /// Something of its own kind.
    Own,
    /// Nothing.
    Nothing,
}

// === impl Question ===

impl Question<'_> {
    /// Asks the guards, and where they refuse, looks for the reason.
    #[must_use]
    pub fn diagnose(&self) -> Diagnosis {
        let verdict = self.verdict();
        let scheme = self.verifier.scheme();
        let mut diagnosis = Diagnosis {
            expected: Expected::of(&scheme.proof),
            covered: Vec::new(),
            given: Vec::new(),
            findings: Vec::new(),
            verdict,
        };
        match &scheme.proof {
            Proof::Signatures(signatures) => self.of_signatures(signatures, &mut diagnosis),
            Proof::Token(_) | Proof::Basic | Proof::Query(_) => {
                if diagnosis.verdict.is_err() {
                    let secrets = &self.verifier.secrets;
                    credential::findings(&scheme.proof, secrets, self.head, &mut diagnosis.findings);
                }
            }
            Proof::Odd(odd) => self.of_odd(*odd, &mut diagnosis),
            Proof::None => diagnosis.findings.push(Finding::NothingChecked),
        }
        diagnosis
    }

    /// What the signature's guards say, the same that the gateway asks.
    fn verdict(&self) -> Result<Verified, Rejection> {
        let mut facts = Facts::default();
        self.verifier.check_head(self.head)?;
        self.verifier.verify(self.head, self.body.unwrap_or_default(), &mut facts)?;
        if let Some(tolerance) = self.tolerance {
            let window = ReplayWindow::new(replay_window::Config { tolerance }, Clock::manual(self.now));
            window.check(self.head, &(), &mut facts)?;
        }
        let secret = facts.secret_index.map(|index| usize::from(index) + 1);
        Ok(Verified { secret, of: self.verifier.secrets.len() })
    }

    fn of_signatures(&self, signatures: &Signatures, diagnosis: &mut Diagnosis) {
        let given = Given::read(signatures, self.verifier.id_header(), self.head, self.body);
        let url = self.verifier.urls.first().map_or("", |url| url);
        diagnosis.covered = covered(signatures, &given, self.head, self.body, url);
        diagnosis.given.clone_from(&given.texts);
        let is_right = match &diagnosis.verdict {
            Ok(_) => true,
            Err(rejection) => rejection.reason.is_of_time(),
        };
        if !is_right {
            diagnosis.findings.extend(given.findings.iter().cloned());
            match self.body {
                None => diagnosis.findings.push(Finding::BodyUnknown),
                Some(body) if !given.signatures.is_empty() => {
                    let mut search = Search::new(signatures, &given, self.budget);
                    let found = search.find(self, body);
                    let (tries, all) = (search.tries, !search.is_exhausted());
                    diagnosis.findings.push(found.map_or(Finding::NothingFits { tries, all }, Finding::Fits));
                }
                Some(_) => {}
            }
        }
        if let (Some(field), Some(text)) = (&signatures.timestamp, given.timestamp.as_deref()) {
            time::findings(text, field.unit, self.now, self.tolerance, &mut diagnosis.findings);
        }
    }

    /// Odd senders: the verifier itself is asked again, with other bodies.
    fn of_odd(&self, odd: Odd, diagnosis: &mut Diagnosis) {
        let (true, Some(body)) = (diagnosis.verdict.is_err(), self.body) else { return };
        if odd.has_certificate() {
            diagnosis.findings.push(Finding::CertificateNeeded);
            return;
        }
        let (mut bytes, mut tries, mut found) = (0, 0, None);
        BodyChange::each(body, |change, changed| {
            bytes += changed.len() as u64;
            tries += 1;
            let mut facts = Facts::default();
            if self.verifier.verify(self.head, changed, &mut facts).is_ok() {
                let secret = facts.secret_index.map(|index| (usize::from(index) + 1, self.verifier.secrets.len()));
                found = Some(Fit { secret, body: Some(change), ..Fit::default() });
            }
            found.is_some() || bytes > self.budget.bytes_max || tries >= self.budget.tries_max
        });
        let all = bytes <= self.budget.bytes_max && tries < self.budget.tries_max;
        diagnosis.findings.push(found.map_or(Finding::NothingFits { tries, all }, Finding::Fits));
    }
}

// === impl Expected ===

impl Expected {
    fn of(proof: &Proof) -> Self {
        match proof {
            Proof::Signatures(signatures) => Self::Signature {
                place: match &signatures.place {
                    Place::Header(name) => name.as_str().into(),
                    Place::NumberedHeaders(name) => format!("{name}1 and following").into(),
                    Place::Body(pointer) => format!("the body's {pointer}").into(),
                },
                algorithm: signatures.algorithm,
                encoding: signatures.encoding,
                prefix: (&*signatures.prefix).into(),
            },
            Proof::Token(token) => Self::Credential { place: token.header.as_str().into() },
            Proof::Basic => Self::Credential { place: "authorization, behind `Basic `".into() },
            Proof::Query(name) => Self::Credential { place: format!("`{name}` in the query").into() },
            Proof::Odd(_) => Self::Own,
            Proof::None => Self::Nothing,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature { place, algorithm, encoding, prefix } => {
                let kind = if algorithm.has_public_key() { "" } else { "hmac-" };
                write!(f, "{kind}{algorithm} in {place}, ")?;
                match (algorithm.output_bytes(), encoding) {
                    ((least, most), _) if least != most => write!(f, "{encoding} of {least} to {most} bytes")?,
                    ((_, bytes), Encoding::Hex) => write!(f, "{} characters, {encoding} of {bytes} bytes", bytes * 2)?,
                    ((_, bytes), Encoding::Base64) => {
                        write!(f, "{} characters, {encoding} of {bytes} bytes", bytes.div_ceil(3) * 4)?;
                    }
                    ((_, bytes), Encoding::Base64Url) => write!(f, "{encoding} of {bytes} bytes")?,
                }
                if prefix.is_empty() { Ok(()) } else { write!(f, ", behind `{prefix}`") }
            }
            Self::Credential { place } => write!(f, "one of the secrets in {place}"),
            Self::Own => f.write_str("a proof of its own kind (`hookward schemes NAME`)"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
