//! The two questions that a signature asks: of the head, before the body is read, and of the whole.

use std::sync::Arc;

use super::verifier::Verifier;
use crate::domain::{Facts, Rejection};
use crate::guard::layer::{Guard, GuardLayer, Head};

/// The question to the head as a tower layer.
pub type SignatureHeadLayer = GuardLayer<SignatureHead>;

/// The question to head and body as a tower layer.
pub type SignatureLayer = GuardLayer<Signature>;

/// Whether the head has what the signature needs: 401 before the body is read.
#[derive(Clone, Debug)]
pub struct SignatureHead(pub Arc<Verifier>);

/// Whether one of the secrets made one of the signatures.
#[derive(Clone, Debug)]
pub struct Signature(pub Arc<Verifier>);

impl<B> Guard<B> for SignatureHead {
    fn check(&self, head: Head<'_>, _body: &B, _facts: &mut Facts) -> Result<(), Rejection> {
        self.0.check_head(head)
    }
}

impl<B: AsRef<[u8]>> Guard<B> for Signature {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        self.0.verify(head, body.as_ref(), facts)
    }
}
