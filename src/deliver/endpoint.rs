//! Where a destination's requests go and how they look: the checked settings of this stage.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

use super::policy::Policy;
use super::signing::SigningKey;
use super::webhook::WebhookRequest;

/// One destination as this stage sees it. [`Endpoint::new`] has the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Where the requests go.
    pub url: EndpointUrl,
    /// Which addresses its name may lead to; any, for what the operator wrote.
    pub policy: Policy,
    /// How long one attempt may take, from the look-up of the name to the last byte of the answer.
    pub timeout: Duration,
    /// How much of the answer's body is kept, in bytes; what comes after it is not waited for.
    pub response_bytes_max: usize,
    /// Headers that this destination gets or does not get.
    pub headers: HeaderEdits,
    /// `Authorization`, instead of the sender's own: `Basic …` or `Bearer …`, marked as sensitive.
    pub auth: Option<HeaderValue>,
    /// Key of a Standard Webhooks signature of our own, where one is wanted.
    pub sign: Option<SigningKey>,
    /// What happens to the sender's signature.
    pub signature: SignatureMode,
    /// It is a customer's webhook: its requests look as the platform says, and nothing of the above but URL, time and
    /// bytes counts.
    pub webhook: Option<Arc<WebhookRequest>>,
}

/// `headers` of a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Set on every request; replaces the sender's header of the same name.
    pub add: HeaderMap,
    /// The sender's headers that do not go out.
    pub remove: Vec<HeaderName>,
}

/// What happens to the sender's signature on the way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SignatureMode {
    /// Unchanged while the sender's tolerance accepts it, afterwards renewed with the secret that verified it.
    #[default]
    Auto,
    /// Unchanged, always.
    Keep,
    /// Renewed, always.
    Refresh,
}

/// An absolute `http` or `https` URL, taken apart once.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    url: Url,
    host: Host,
    port: u16,
    host_header: HeaderValue,
    target: Box<str>,
    is_https: bool,
}

/// Why a URL cannot be a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointUrlError {
    /// It does not parse.
    #[error("not a URL: {0}")]
    Malformed(url::ParseError),
    /// Another scheme.
    #[error("the scheme must be http or https, not `{0}`")]
    Scheme(Box<str>),
    /// `user:password@`: it would end up in logs and pages.
    #[error("credentials do not belong into the URL; use `auth`")]
    Credentials,
    /// `#…` is never sent.
    #[error("a fragment (`#…`) is never sent to a server; remove it")]
    Fragment,
    /// Something in it cannot be written into a request.
    #[error("the URL cannot be written into a request: {0}")]
    Unusable(Box<str>),
}

// === impl Endpoint ===

impl Endpoint {
    /// Default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// Default of `response_bytes_max`.
    pub const RESPONSE_BYTES_MAX: usize = 64 * 1024;

    /// A destination with the defaults.
    #[must_use]
    pub fn new(url: EndpointUrl) -> Self {
        Self {
            url,
            policy: Policy::anywhere(),
            timeout: Self::TIMEOUT,
            response_bytes_max: Self::RESPONSE_BYTES_MAX,
            headers: HeaderEdits::default(),
            auth: None,
            sign: None,
            signature: SignatureMode::Auto,
            webhook: None,
        }
    }
}

// === impl EndpointUrl ===

impl EndpointUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`EndpointUrlError`]: not an absolute `http` or `https` URL, with credentials, or with a fragment.
    pub fn parse(text: &str) -> Result<Self, EndpointUrlError> {
        let url = Url::parse(text).map_err(EndpointUrlError::Malformed)?;
        let default_port = match url.scheme() {
            "http" => 80,
            "https" => 443,
            other => return Err(EndpointUrlError::Scheme(other.into())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointUrlError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(EndpointUrlError::Fragment);
        }
        let unusable = |what: &dyn fmt::Display| EndpointUrlError::Unusable(what.to_string().into());
        let host = url.host().ok_or_else(|| unusable(&"it has no host"))?.to_owned();
        let port = url.port().unwrap_or(default_port);
        let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let authority: Authority = authority.parse().map_err(|error| unusable(&error))?;
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|error| unusable(&error))?;
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        target.parse::<PathAndQuery>().map_err(|error| unusable(&error))?;
        let is_https = url.scheme() == "https";
        Ok(Self { url, host, port, host_header, target: target.into(), is_https })
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Whether requests are encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host to connect to.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether a connection for `other` also serves this URL.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        self.port == other.port && self.is_https == other.is_https && self.host == other.host
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The query, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.url.query()
    }

    /// The same with another path behind its own, both as they are: nothing is decoded, merged or removed. A query goes.
    #[must_use]
    pub fn with_path_behind(&self, path: &str) -> Option<Self> {
        let target = format!("{}{path}", self.path().trim_end_matches('/'));
        target.parse::<PathAndQuery>().ok()?;
        let mut url = self.url.clone();
        url.set_path(&target);
        url.set_query(None);
        Some(Self { url, target: target.into(), ..self.clone() })
    }

    /// What `Host` says.
    pub(super) fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// Path and query, as the request line has them.
    pub(super) fn target(&self) -> &str {
        &self.target
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, target: &str) {
        let url = EndpointUrl::parse(text).unwrap();
        assert_eq!((url.host_header().to_str().unwrap(), url.target()), (host, target));
    }

    #[test]
    fn a_url_is_taken_apart_into_host_and_target() {
        check("http://crm-service/webhooks", "crm-service", "/webhooks");
        check("https://crm:8443", "crm:8443", "/");
        check("http://crm:80/a?b=c", "crm", "/a?b=c");
        check("http://[::1]:9/ä b", "[::1]:9", "/%C3%A4%20b");
        check("http://bücher.example/", "xn--bcher-kva.example", "/");
    }

    #[test]
    fn what_cannot_be_a_destination_is_refused() {
        for text in ["crm/webhooks", "ftp://crm/", "http://u:p@crm/", "http://crm/#x", "http://", "/x"] {
            assert!(EndpointUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_may_stand_behind_another() {
        let behind = |url: &str, path: &str| EndpointUrl::parse(url).unwrap().with_path_behind(path).unwrap();
        let url = behind("http://app:3000/base/", "/in/%2e");
        assert_eq!((url.target(), url.host_header().to_str().unwrap()), ("/base/in/%2e", "app:3000"));
        assert_eq!(behind("https://app", "/in").as_str(), "https://app/in");
        assert!(EndpointUrl::parse("http://app").unwrap().with_path_behind("/a b").is_none());
    }

    #[test]
    fn connections_are_shared_within_an_origin_only() {
        let parse = |text| EndpointUrl::parse(text).unwrap();
        assert!(parse("http://a/x").same_origin(&parse("http://a:80/y?z")));
        assert!(!parse("http://a/").same_origin(&parse("https://a:80/")));
        assert!(!parse("http://a/").same_origin(&parse("http://b/")));
    }
}
