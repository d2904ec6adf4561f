//! A sender as the platform is one: signs events of the scheme `appmint`.

use std::net::SocketAddr;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use http_body_util::Full;
use sha2::{Digest, Sha256};

use super::{Client, Gateway, Reply};

/// The secret of the source in [`super::appmint_to`].
pub(crate) const SECRET: &str = "whsec_of_the_tests";

/// The standard event with this id and type.
pub(crate) fn event(id: &str, event_type: &str) -> Bytes {
    event_of_bytes(id, event_type, 0)
}

/// The same with a filling of so many bytes that are different for every id.
pub(crate) fn event_of_bytes(id: &str, event_type: &str, filling_bytes: usize) -> Bytes {
    let mut filling = String::with_capacity(filling_bytes + 64);
    let mut seed = id.to_owned();
    while filling.len() < filling_bytes {
        seed = hex::encode(Sha256::digest(seed.as_bytes()));
        filling.push_str(&seed);
    }
    filling.truncate(filling_bytes);
    // Odd spacing on purpose: whoever parses and prints it again changes the bytes.
    Bytes::from(format!(
        "{{\"id\" : \"{id}\",\n \"type\":\"{event_type}\", \"created\":\"2026-01-15T10:30:00Z\",\"data\":{{\"filling\":\"{filling}\"}} }}\n"
    ))
}

/// A body of exactly so many bytes, quickly made: its filling is the same for every id.
pub(crate) fn event_filled_to(bytes: usize, id: &str) -> Bytes {
    let text = String::from_utf8(event(id, "payment.succeeded").to_vec()).unwrap();
    let filling = "x".repeat(bytes - text.len());
    Bytes::from(text.replace("\"filling\":\"", &format!("\"filling\":\"{filling}")))
}

/// The hash by which bodies are compared.
pub(crate) fn sha256(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// The value of `X-Appmint-Signature`.
pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// One connection to one source.
#[derive(Debug)]
pub(crate) struct Sender {
    client: Client,
    path: String,
    secret: String,
}

impl Sender {
    /// A sender to the source `appmint` at `/in`.
    pub(crate) fn new(gateway: &Gateway) -> Self {
        Self::to(gateway.ingress(), "/in", SECRET)
    }

    /// A sender to any appmint source.
    pub(crate) fn to(address: SocketAddr, path: &str, secret: &str) -> Self {
        Self { client: Client::new(address), path: path.to_owned(), secret: secret.to_owned() }
    }

    /// The signed request, to be changed by the test before it is sent.
    pub(crate) fn request(&self, body: &Bytes) -> http::request::Builder {
        Request::post(&self.path)
            .header("content-type", "application/json")
            .header("x-appmint-signature", sign(&self.secret, body))
    }

    /// Sends a signed event; fails the test where no answer comes.
    pub(crate) async fn send(&mut self, body: &Bytes) -> Reply {
        self.try_send(body).await.unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Sends a signed event; an error says that no whole answer came.
    pub(crate) async fn try_send(&mut self, body: &Bytes) -> Result<Reply, String> {
        let request = self.request(body).body(Full::new(body.clone())).unwrap();
        self.client.send(request).await
    }

    /// Sends what the test has built; fails the test where no answer comes.
    pub(crate) async fn send_as(&mut self, request: http::request::Builder, body: &Bytes) -> Reply {
        let request = request.body(Full::new(body.clone())).unwrap();
        self.client.send(request).await.unwrap_or_else(|error| panic!("no answer: {error}"))
    }
}
