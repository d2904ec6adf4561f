//! `ingress.tls`: certificates that fit their keys, and what is about to go wrong with them.

use std::sync::Arc;
use std::time::Duration;

use crate::config::document::problem::Problems;
use crate::config::document::spanned::At;
use crate::config::document::tree::NodeId;
use crate::config::written::{self, Pem};
use crate::domain::{Clock, Timestamp};
use crate::ingress::Tls;
use crate::ingress::tls::{Identity, IdentityError};

/// A certificate that ends within this time is worth a warning: renewal has not worked, or nobody does it.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn tls(written: Option<&At<written::Tls>>, problems: &mut Problems<'_>) -> Option<Arc<Tls>> {
    let At { value: tls, at } = written?;
    let mut pairs = Vec::new();
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => pairs.push((cert, key)),
        (Some(_), None) => {
            problems.wrong_key(*at, "key", "a cert without its key", "write the path of its private key")
        }
        (None, Some(_)) => {
            problems.wrong_key(*at, "cert", "a key without its cert", "write the path of the certificate")
        }
        (None, None) if tls.certificates.as_ref().is_none_or(Vec::is_empty) => {
            problems.wrong(*at, "no certificate", "write cert and key, or certificates with a cert and key each");
        }
        (None, None) => {}
    }
    pairs.extend(tls.certificates.iter().flatten().map(|one| (&one.value.cert, &one.value.key)));
    let expected = pairs.len();
    let identities: Vec<_> = pairs.into_iter().filter_map(|(cert, key)| identity(cert, key, problems)).collect();
    if identities.is_empty() || identities.len() < expected {
        return None;
    }
    let client_ca = tls.client_ca.as_ref();
    match Tls::new(identities, client_ca.map(|pem| pem.value.0.as_str())) {
        Ok(tls) => Some(Arc::new(tls)),
        Err(error) => {
            let place = client_ca.map_or(*at, |pem| pem.at);
            problems.wrong(place, format!("{}: {error}", what("client_ca", place, problems)), CERTIFICATE_HINT);
            None
        }
    }
}

const CERTIFICATE_HINT: &str = "certificates in PEM, the own one first and then those that issued it";

const KEY_HINT: &str = "write the private key that the certificate was made with, unencrypted, in PEM";

fn identity(cert: &At<Pem>, key: &At<Pem>, problems: &mut Problems<'_>) -> Option<Identity> {
    if !problems.tree().is_referred(key.at) {
        problems.warn(
            key.at,
            "the private key stands in the file itself",
            "fine for trying things out; else write the path of its file",
        );
    }
    let identity = match Identity::from_pem(&cert.value.0, &key.value.0) {
        Ok(identity) => identity,
        Err(error) => {
            let (name, at, hint) = match error {
                IdentityError::NoCertificate | IdentityError::BadCertificate(_) => ("cert", cert.at, CERTIFICATE_HINT),
                IdentityError::NoKey | IdentityError::BadKey(_) | IdentityError::Mismatch => ("key", key.at, KEY_HINT),
            };
            problems.wrong(at, format!("{}: {error}", what(name, at, problems)), hint);
            return None;
        }
    };
    let (now, hint) = (Clock::machine().wall(), "clients will refuse it: put a new one in its place");
    let name = what("cert", cert.at, problems);
    let ends_soon = Timestamp(now.0.saturating_add(u64::try_from(ENDS_SOON.as_millis()).unwrap_or(u64::MAX)));
    if identity.not_after() < now {
        problems.warn(cert.at, format!("{name}: expired on {}", identity.not_after()), hint);
    } else if identity.not_before() > now {
        problems.warn(cert.at, format!("{name}: not valid before {}", identity.not_before()), hint);
    } else if identity.not_after() < ends_soon {
        problems.warn(cert.at, format!("{name}: expires on {}", identity.not_after()), "is it renewed by itself?");
    }
    Some(identity)
}

/// The file that is meant; the key where the text stands in the configuration.
fn what(key: &str, at: NodeId, problems: &Problems<'_>) -> String {
    problems.tree().file_of(at).map_or_else(|| key.to_owned(), |file| file.display().to_string())
}
