//! Which of the odd senders it is, and what each makes of a request.

use url::Url;

use super::certificates::Certificates;
use super::{adyen, aws_sns, braintree, paypal};
use crate::domain::{Facts, Reason, Rejection, Secret};
use crate::guard::layer::Head;
use crate::guard::signature::verifier::ConfigError;

/// A sender that cannot be said in data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// Adyen's payment webhooks.
    Adyen,
    /// Amazon SNS.
    AwsSns,
    /// Braintree.
    Braintree,
    /// PayPal.
    PayPal,
}

impl Odd {
    /// Whether this can be a secret of the sender.
    ///
    /// # Errors
    /// It cannot.
    pub(in crate::guard::signature) fn check_secret(self, number: usize, secret: &[u8]) -> Result<(), ConfigError> {
        let wanted = match self {
            Self::Adyen if hex::decode(secret).is_err() => "an HMAC key in hexadecimal",
            Self::AwsSns if !secret.starts_with(b"arn:aws") => "the ARN of a topic, arn:aws:sns:…",
            Self::Braintree if !secret.contains(&b':') => "public key and private key with a colon between them",
            _ => return Ok(()),
        };
        Err(ConfigError::SecretForm { number, wanted })
    }

    /// Whether everybody may know what the configuration calls the secret.
    #[must_use]
    pub fn secret_is_public(self) -> bool {
        matches!(self, Self::AwsSns | Self::PayPal)
    }

    /// Whether the signature covers the whole body, or at least the event's id in it.
    #[must_use]
    pub fn covers_id(self) -> bool {
        // A checksum can be met by another body.
        !matches!(self, Self::PayPal)
    }

    /// Whether what checks is a certificate that must be fetched.
    #[must_use]
    pub fn has_certificate(self) -> bool {
        matches!(self, Self::AwsSns | Self::PayPal)
    }

    /// Whether the head has what the signature needs.
    pub(in crate::guard::signature) fn check_head(self, head: Head<'_>) -> Result<(), Rejection> {
        match self {
            Self::PayPal => paypal::Transmission::read(head).map(|_| ()),
            Self::Adyen | Self::AwsSns | Self::Braintree => Ok(()),
        }
    }

    /// Where the certificate is that this request needs; `None` where it needs none.
    ///
    /// # Errors
    /// The request names a certificate of somebody else, or none at all.
    pub fn certificate(self, head: Head<'_>, body: &[u8]) -> Result<Option<Url>, Rejection> {
        match self {
            Self::AwsSns => aws_sns::Message::read(body).map(|message| Some(message.certificate)),
            Self::PayPal => paypal::Transmission::read(head).map(|transmission| Some(transmission.certificate)),
            Self::Adyen | Self::Braintree => Ok(None),
        }
    }

    /// The secret that made the signature.
    pub(in crate::guard::signature) fn verify(
        self,
        secrets: &[Secret],
        certificates: Option<&Certificates>,
        head: Head<'_>,
        body: &[u8],
        facts: &mut Facts,
    ) -> Result<Option<usize>, Rejection> {
        let fetched = |url: &Url| {
            certificates.and_then(|certificates| certificates.get(url)).ok_or_else(|| {
                Rejection::new(Reason::CertificateUnavailable, format!("{url} could not be fetched"))
                    .retry_after(super::certificates::RETRY_AFTER)
            })
        };
        match self {
            Self::Adyen => adyen::verify(secrets, body, facts),
            Self::Braintree => braintree::verify(secrets, body, facts),
            Self::AwsSns => {
                let message = aws_sns::Message::read(body)?;
                let key = fetched(&message.certificate)?;
                Ok(message.verify(secrets, &key))
            }
            Self::PayPal => {
                let transmission = paypal::Transmission::read(head)?;
                let key = fetched(&transmission.certificate)?;
                Ok(transmission.verify(secrets, &key, body))
            }
        }
    }
}
