//! The client against servers that encrypt, with certificates that prove something and with others (F34).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::client_tests::{Peer, Sink, TIMEOUT, check, client, deliver, endpoint};
use super::{Client, KeepSignatures};
use crate::domain::{Clock, OutcomeClass};

/// A certificate for `localhost`, from an authority of the test's own; and a client that believes it.
fn tls(name: &str) -> (TlsAcceptor, Client) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let believing = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::with_tls(Clock::machine(), Arc::new(KeepSignatures), Arc::new(believing));
    (TlsAcceptor::from(Arc::new(server)), client)
}

async fn tls_sink(acceptor: TlsAcceptor) -> Sink {
    Sink::start(move |peer| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(peer.stream).await else { return };
            let mut peer = Peer { stream, requests: peer.requests };
            while peer.request().await.is_some() {
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn encrypted_connections_are_made_and_reused() {
    let (acceptor, client) = tls("localhost");
    let sink = tls_sink(acceptor).await;
    let mut endpoint = endpoint(&format!("https://localhost:{}/", sink.address.port()));
    endpoint.timeout = Duration::from_secs(5);
    let mut connection = None;
    for _ in 0..3 {
        let attempt = deliver(&client, &endpoint, &mut connection, &[b'x'; 50_000]).await;
        assert_eq!((attempt.outcome, attempt.status), (OutcomeClass::Succeeded, Some(200)), "{attempt:?}");
    }
    assert_eq!(sink.counts().1, 3);
    assert_eq!(sink.counts().0, 1);
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused_and_say_why() {
    let (acceptor, believing) = tls("elsewhere.example");
    let sink = tls_sink(acceptor).await;
    let mut url = endpoint(&format!("https://localhost:{}/", sink.address.port()));
    url.timeout = Duration::from_secs(5);
    let wrong_host = deliver(&believing, &url, &mut None, b"{}").await;
    assert_eq!(wrong_host.outcome, OutcomeClass::Tls, "{wrong_host:?}");
    assert!(wrong_host.error.unwrap().contains("elsewhere.example"));
    let unknown_authority = deliver(&client(), &url, &mut None, b"{}").await;
    assert_eq!(unknown_authority.outcome, OutcomeClass::Tls, "{unknown_authority:?}");
    assert!(unknown_authority.error.unwrap().contains("UnknownIssuer"));
    assert_eq!(sink.counts().1, 0, "no request went out");
}

#[tokio::test]
async fn a_handshake_that_stalls_or_is_none_is_bounded() {
    let silent = Sink::start(|peer| async move {
        std::future::pending::<()>().await;
        drop(peer);
    })
    .await;
    let url = |sink: &Sink| endpoint(&format!("https://{}/", sink.address));
    check(&deliver(&client(), &url(&silent), &mut None, b"{}").await, OutcomeClass::Timeout, None);
    let plain = Sink::answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let started = Instant::now();
    let attempt = deliver(&client(), &url(&plain), &mut None, b"{}").await;
    assert!(matches!(attempt.outcome, OutcomeClass::Tls | OutcomeClass::Timeout), "{attempt:?}");
    assert!(started.elapsed() < TIMEOUT * 3);
}
