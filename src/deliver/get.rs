//! One small request outside of any delivery, by the same connector: what a signature or an address list needs, and
//! what the command line sends.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use tokio::time::Instant;
use url::Url;

use super::EndpointUrl;
use super::connection::{Connection, Exchanged, Outgoing, Unanswered};
use super::connector::Connector;
use super::policy::Policy;

/// Gets small things; believes the machine's certificates, or Mozilla's where the machine has none.
#[derive(Default)]
pub struct Getter {
    connector: Connector,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Got {
    /// The final status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
}

// === impl Getter ===

impl Getter {
    /// The body of a 200, of at most `bytes_max` bytes, within `timeout`; nothing is followed.
    ///
    /// # Errors
    /// For people: what went wrong.
    pub async fn get(&self, url: &Url, bytes_max: usize, timeout: Duration) -> Result<Bytes, String> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::GET;
        let got = self.call(url, &request, bytes_max, timeout).await?;
        if got.status == 200 { Ok(got.body) } else { Err(format!("answered with {}", got.status)) }
    }

    /// The answer to a request with this method, these headers and this body, sent to `url`; its body is whole and of
    /// at most `bytes_max` bytes. Nothing is followed, and the request goes out once.
    ///
    /// # Errors
    /// For people: what went wrong.
    pub async fn call(
        &self,
        url: &Url,
        request: &Request<Bytes>,
        bytes_max: usize,
        timeout: Duration,
    ) -> Result<Got, String> {
        let deadline = Instant::now() + timeout;
        let endpoint = EndpointUrl::parse(url.as_str()).map_err(|error| error.to_string())?;
        let head = head(url, request);
        let outgoing = Outgoing { head: &head, body: request.body(), is_head: request.method() == Method::HEAD };
        // What is got is the operator's: names in the configuration, or what the command line was given.
        let policy = Policy::anywhere();
        let connecting = self.connector.connect(&endpoint, &policy, deadline).await;
        let opened = connecting.map_err(|failure| failure.message.to_string())?;
        let mut connection = Connection::over(opened, &endpoint, &policy, deadline);
        match connection.exchange(outgoing, bytes_max.saturating_add(1), deadline).await {
            Ok(Exchanged { answer, .. }) if answer.body.len() > bytes_max => {
                Err(format!("larger than {bytes_max} bytes"))
            }
            Ok(Exchanged { cut: Some(failure), .. }) => Err(failure.message.to_string()),
            Ok(Exchanged { answer, cut: None }) => {
                Ok(Got { status: answer.status, headers: answer.headers.to_map(), body: answer.body })
            }
            Err(Unanswered::Failed(failure)) => Err(failure.message.to_string()),
            Err(Unanswered::NotSent) => Err("the connection was closed".to_owned()),
        }
    }
}

/// The request's head. A URL has neither spaces nor line breaks in any of its parts, and neither has a header's value:
/// nothing can end a line here.
fn head(url: &Url, request: &Request<Bytes>) -> Vec<u8> {
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut head =
        format!("{} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", request.method()).into_bytes();
    if !request.headers().contains_key(http::header::ACCEPT) {
        head.extend_from_slice(b"Accept: */*\r\n");
    }
    if !request.body().is_empty() || request.method() == Method::POST {
        head.extend_from_slice(format!("Content-Length: {}\r\n", request.body().len()).as_bytes());
    }
    let ours = [http::header::HOST, http::header::CONNECTION, http::header::CONTENT_LENGTH];
    for (name, value) in request.headers().iter().filter(|(name, _)| !ours.contains(name)) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of a GET from a server that says this, and then nothing.
    async fn check(answer: &'static [u8], expected: Result<&[u8], &str>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url: Url = format!("http://{}/a?b=c", listener.local_addr().expect("bound")).parse().expect("a URL");
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            let bytes = stream.read(&mut request).await.expect("a request");
            stream.write_all(answer).await.expect("written");
            (stream, String::from_utf8_lossy(&request[..bytes]).into_owned())
        };
        let getter = Getter::default();
        let (got, (_open, request)) = tokio::join!(getter.get(&url, 16, Duration::from_millis(500)), server);
        assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
        match (&got, expected) {
            (Ok(body), Ok(expected)) => assert_eq!(&**body, expected),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            _ => panic!("{got:?}, not {expected:?}"),
        }
    }

    #[tokio::test]
    async fn only_a_whole_200_within_its_bounds_counts() {
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Ok(b"ok")).await;
        check(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", Err("302")).await;
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n0123456789abcdefg", Err("larger than 16")).await;
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok", Err("")).await;
        check(b"nonsense", Err("")).await;
    }
}
