//! Why a kept request was refused, asked when somebody looks at it: never while its sender waits.
//!
//! A search costs up to a quarter of a second. Done for every refusal it would let strangers spend our time; done when
//! the rejection is read, only those pay who hold a token, one at a time. It also asks today's configuration: after a
//! secret was mended it says so.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::api::Diagnoser;
use crate::config::Checked;
use crate::domain::Reason;
use crate::guard::layer::Head;
use crate::guard::signature::Verifier;
use crate::guard::signature::diagnosis::{Budget, Diagnosis, Other, Question};
use crate::store::RejectionRow;

/// A source as a diagnosis needs it.
struct Checks {
    name: Arc<str>,
    verifier: Arc<Verifier>,
    tolerance: Option<Duration>,
}

/// Asks the sources of a configuration.
pub(super) fn diagnoser(checked: &Checked, verifiers: &[Arc<Verifier>]) -> Diagnoser {
    let sources = checked.sources.iter().zip(verifiers).map(|(source, verifier)| Checks {
        name: Arc::clone(&source.name),
        verifier: Arc::clone(verifier),
        tolerance: source.replay_window.as_ref().map(|window| window.tolerance),
    });
    let sources: Vec<Checks> = sources.collect();
    let one_at_a_time = Mutex::new(());
    Box::new(move |row| {
        if !(row.reason.is_of_signature() || row.reason.is_of_time()) {
            return None;
        }
        let source = sources.iter().find(|source| Some(&*source.name) == row.source.as_deref())?;
        let _turn = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        diagnose(row, source, &sources)
    })
}

fn diagnose(row: &RejectionRow, source: &Checks, sources: &[Checks]) -> Option<Diagnosis> {
    let (method, target) = row.request_line.split_once(' ')?;
    let (method, uri): (Method, Uri) = (method.parse().ok()?, target.parse().ok()?);
    let headers = headers(&row.headers);
    let others = sources.iter().filter(|other| other.name != source.name);
    let others: Vec<_> = others.map(|other| Other { name: &other.name, verifier: &other.verifier }).collect();
    // What is refused by its head is refused before its body is read.
    let by_head = matches!(row.reason, Reason::SignatureMissing | Reason::SignatureMalformed) && row.body.is_empty();
    let question = Question {
        head: Head { method: &method, uri: &uri, headers: &headers },
        body: (!by_head).then_some(&*row.body),
        verifier: &source.verifier,
        tolerance: source.tolerance,
        now: row.at,
        others: &others,
        budget: Budget::default(),
    };
    Some(question.diagnose())
}

/// The lines of the ledger as headers; what is none any more is left out.
pub(super) fn headers(lines: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers
}
