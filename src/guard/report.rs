//! Guards that only report (`enforce: report`): each is asked, what it would have refused is noted, and the request goes on.
//!
//! What was noted leaves no trace of trust behind: such a request makes nothing a copy of itself, counts as signed by
//! nobody, and is no handshake.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::layer::{Guard, Head, Own};
use crate::domain::{Facts, Refused, Rejection, RejectionId};

/// Who hears what would have been refused, and gives it an id.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Fn(Refused) -> RejectionId + Send + Sync>);

// === impl Reporter ===

impl Reporter {
    /// Tells this function.
    pub fn new(hear: impl Fn(Refused) -> RejectionId + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Asks a guard, or a row of them, and notes each reason once a request; `body` is what there is of it for a ledger.
    pub(super) fn ask<B>(
        &self,
        guard: &impl Guard<B>,
        head: Head<'_>,
        body: &B,
        facts: &mut Facts,
        whole: impl Fn() -> Bytes,
    ) -> Own {
        let own = guard.report(head, body, facts, &mut |rejection, facts| self.note(rejection, head, facts, &whole));
        if !facts.reported.is_empty() {
            (facts.dedup_key, facts.secret_index) = (None, None);
        }
        own
    }

    fn note(&self, rejection: Rejection, head: Head<'_>, facts: &mut Facts, whole: &impl Fn() -> Bytes) {
        let reason = rejection.reason;
        if facts.reported.iter().any(|(_, known)| *known == reason) {
            return;
        }
        let id = self.0(Refused {
            rejection,
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers: head.headers.clone(),
            body: whole(),
            client: facts.client,
        });
        facts.reported.push((id, reason));
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}

/// What a guard by itself says where nothing is enforced.
pub(super) fn one<B, G: Guard<B> + ?Sized>(
    guard: &G,
    head: Head<'_>,
    body: &B,
    facts: &mut Facts,
    note: &mut dyn FnMut(Rejection, &mut Facts),
) -> Own {
    match guard.answer(head, body, facts) {
        // A request that was not believed gets no answer of ours: it may be what proves that we know the secret.
        Ok(own) => own.filter(|_| facts.reported.is_empty()),
        Err(rejection) => {
            note(rejection, facts);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::Request;

    use super::*;
    use crate::domain::{IdMint, Reason, Seq};

    struct Refuses(Reason);

    impl<B> Guard<B> for Refuses {
        fn check(&self, _head: Head<'_>, _body: &B, facts: &mut Facts) -> Result<(), Rejection> {
            facts.dedup_key = Some([1; 16]);
            Err(Rejection::new(self.0, "no"))
        }
    }

    struct Answers;

    impl<B> Guard<B> for Answers {
        fn check(&self, _head: Head<'_>, _body: &B, _facts: &mut Facts) -> Result<(), Rejection> {
            Ok(())
        }

        fn answer(&self, _head: Head<'_>, _body: &B, facts: &mut Facts) -> Result<Own, Rejection> {
            facts.event_type = Some("asked".into());
            Ok(Some(Box::default()))
        }
    }

    #[test]
    fn every_guard_is_asked_each_reason_noted_once_and_nothing_is_believed() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let reporter = Reporter::new({
            let heard = Arc::clone(&heard);
            move |refused| {
                heard.lock().unwrap().push((refused.rejection.reason, refused.body));
                IdMint::new([1; 16]).rejection(Seq(1))
            }
        });
        let guards = (
            vec![Refuses(Reason::AddressNotAllowed), Refuses(Reason::RateLimited)],
            Some(Refuses(Reason::AddressNotAllowed)),
            Arc::new(Answers),
        );
        let (request, mut facts) = (Request::new(()), Facts { secret_index: Some(0), ..Facts::default() });
        let own = reporter.ask(&guards, Head::of(&request), &(), &mut facts, || Bytes::from_static(b"whole"));
        assert!(own.is_none(), "a handshake of somebody who is not believed");
        let whole = Bytes::from_static(b"whole");
        let expected = [(Reason::AddressNotAllowed, whole.clone()), (Reason::RateLimited, whole)];
        assert_eq!(*heard.lock().unwrap(), expected);
        assert_eq!(facts.reported.len(), 2);
        assert_eq!((facts.dedup_key, facts.secret_index, facts.event_type.as_deref()), (None, None, Some("asked")));
    }
}
