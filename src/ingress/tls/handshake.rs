//! The handshake, and in which class its failures fall.

use std::io;

use rustls::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::acceptor::Tls;
use crate::ingress::prefixed::Prefixed;

/// An encrypted connection.
pub(in crate::ingress) type Encrypted = TlsStream<Prefixed<TcpStream>>;

/// Why there is no encrypted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::ingress) enum Failure {
    /// HTTP without TLS.
    #[error("plain HTTP on a port that speaks TLS")]
    PlainHttp,
    /// Not complete in time.
    #[error("the handshake did not end within header_timeout")]
    Late,
    /// The client went away.
    #[error("the connection ended within the handshake")]
    Closed,
    /// No TLS, or a broken one.
    #[error("what came is not TLS that can be read")]
    Malformed,
    /// No version, cipher, curve or protocol in common.
    #[error("client and gateway have no version or cipher of TLS in common")]
    Incompatible,
    /// `client_ca` is set, and the client showed nothing.
    #[error("the client showed no certificate")]
    ClientCertificateMissing,
    /// `client_ca` is set, and the client showed one that it did not issue, or that is not valid.
    #[error("the client's certificate is not one that client_ca has issued, or is not valid now")]
    ClientCertificateInvalid,
    /// The client does not like us: our certificate, most likely.
    #[error("the client ended the handshake with an alert: does it know who issued the certificate?")]
    RefusedByClient,
    /// Anything else.
    #[error("the handshake failed")]
    Other,
}

/// Makes an encrypted connection of one whose first bytes are still in front of it.
pub(in crate::ingress) async fn accept(tls: &Tls, stream: Prefixed<TcpStream>) -> Result<Encrypted, Failure> {
    let acceptor = TlsAcceptor::from(tls.config());
    acceptor.accept(stream).await.map_err(|error| Failure::of(&error))
}

// === impl Failure ===

impl Failure {
    /// The word for metrics and logs.
    pub(in crate::ingress) fn code(self) -> &'static str {
        match self {
            Self::PlainHttp => "plain_http",
            Self::Late => "late",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::Incompatible => "incompatible",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::ClientCertificateInvalid => "client_certificate_invalid",
            Self::RefusedByClient => "refused_by_client",
            Self::Other => "other",
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            None => Self::Closed,
            Some(Error::InvalidMessage(_) | Error::PeerMisbehaved(_) | Error::DecryptError) => Self::Malformed,
            Some(Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. }) => Self::Malformed,
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Self::Incompatible,
            Some(Error::NoCertificatesPresented) => Self::ClientCertificateMissing,
            Some(Error::InvalidCertificate(_)) => Self::ClientCertificateInvalid,
            Some(Error::AlertReceived(_)) => Self::RefusedByClient,
            Some(_) => Self::Other,
        }
    }
}
