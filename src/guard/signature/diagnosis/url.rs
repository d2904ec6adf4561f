//! What the sender may have called us, where the URL is signed and the one that is configured does not fit.

use std::fmt;

use http::HeaderName;
use http::header::HOST;
use url::Url;

use crate::guard::layer::Head;

/// A URL that was signed, and is not the one that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedUrl {
    /// Without its query.
    pub url: Box<str>,
    /// Whether the request's query was signed with it.
    pub with_query: bool,
}

/// The most URLs that are tried.
const URLS_MAX: usize = 96;

// === impl SignedUrl ===

impl SignedUrl {
    /// The URLs that are tried, the likely ones first: another scheme, another host, with or without a port, a
    /// slash more or less, the path that was asked for, with or without the query.
    pub(super) fn all(configured: &str, head: Head<'_>) -> Vec<Self> {
        let header = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let host = header(HOST).or_else(|| head.uri.authority().map(|authority| authority.as_str()));
        let forwarded = header(HeaderName::from_static("x-forwarded-host"));
        let parsed = Url::parse(configured).ok();
        let configured_host = parsed.as_ref().and_then(Url::host_str);
        let with_port = parsed.as_ref().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port()?)));
        let usual_ports = configured_host.map(|host| [format!("{host}:443"), format!("{host}:80")]);
        let mut hosts: Vec<&str> = Vec::new();
        hosts.extend([with_port.as_deref(), configured_host, host, forwarded].into_iter().flatten());
        hosts.extend(usual_ports.iter().flatten().map(String::as_str));
        let path = parsed.as_ref().map_or("/", Url::path);
        let (bare, slashed) = (path.trim_end_matches('/'), format!("{}/", path.trim_end_matches('/')));
        let paths = [path, bare, &slashed, head.uri.path()];
        let has_query = head.uri.query().is_some();
        let mut all: Vec<Self> = Vec::new();
        for with_query in [true, false] {
            if !with_query && !has_query {
                break;
            }
            for host in &hosts {
                for path in paths {
                    for scheme in ["https", "http"] {
                        let url = Self { url: format!("{scheme}://{host}{path}").into(), with_query };
                        let is_configured = *url.url == *configured && with_query;
                        if !is_configured && !all.contains(&url) && all.len() < URLS_MAX {
                            all.push(url);
                        }
                    }
                }
            }
        }
        all
    }
}

impl fmt::Display for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.url, if self.with_query { "" } else { " without the query" })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn every_way_to_call_us_is_tried_but_the_configured_one() {
        let request = Request::post("/in?a=b").header("host", "inside:8080").header("x-forwarded-host", "out.example");
        let request = request.body(()).expect("a request");
        let all = SignedUrl::all("https://hooks.example:8443/in", Head::of(&request));
        let has = |url: &str, with_query| all.contains(&SignedUrl { url: url.into(), with_query });
        assert!(!has("https://hooks.example:8443/in", true));
        for url in ["http://hooks.example:8443/in", "https://hooks.example/in", "https://hooks.example:8443/in/"] {
            assert!(has(url, true), "{url}");
        }
        assert!(has("http://inside:8080/in", true) && has("https://out.example/in", true));
        assert!(has("https://hooks.example:8443/in", false));
        assert!(all.len() <= URLS_MAX);
    }
}
