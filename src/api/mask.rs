//! What no output shows: credentials in headers, queries and addresses.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use url::Url;

/// What stands where something was masked.
pub const MASKED: &str = "[masked]";

/// Headers that carry credentials whoever sends them.
const ALWAYS: [HeaderName; 4] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE];

/// A parameter of a query whose name holds one of these is taken for a credential.
const SUSPICIOUS: [&str; 8] = ["token", "key", "secret", "sig", "pass", "auth", "code", "cred"];

/// Which headers are masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    headers: Vec<HeaderName>,
}

// === impl Masks ===

impl Masks {
    /// Masks these headers (the token headers of sources, whatever `auth` adds) besides the ones that always are.
    #[must_use]
    pub fn new(headers: impl IntoIterator<Item = HeaderName>) -> Self {
        Self { headers: headers.into_iter().collect() }
    }

    /// The header's value as it may be shown; bytes that are not UTF-8 become replacement characters.
    #[must_use]
    pub fn header(&self, name: &str, value: &[u8]) -> String {
        let hidden = ALWAYS.iter().chain(&self.headers).any(|hidden| hidden.as_str().eq_ignore_ascii_case(name));
        if hidden { MASKED.to_owned() } else { String::from_utf8_lossy(value).into_owned() }
    }

    /// The query without the values of parameters that look like credentials; otherwise as it was sent.
    #[must_use]
    pub fn query(&self, query: &str) -> String {
        let shown = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_suspicious(name) => format!("{name}={MASKED}"),
            _ => pair.to_owned(),
        });
        shown.collect::<Vec<_>>().join("&")
    }

    /// Method and target of a request, its query masked.
    #[must_use]
    pub fn request_line(&self, line: &str) -> String {
        match line.split_once('?') {
            Some((target, query)) => format!("{target}?{}", self.query(query)),
            None => line.to_owned(),
        }
    }

    /// The address without user, password and the values of its query.
    #[must_use]
    pub fn url(&self, text: &str) -> String {
        let Ok(mut url) = Url::parse(text) else { return MASKED.to_owned() };
        let has_user = !url.username().is_empty() || url.password().is_some();
        // Both fail only for addresses without a host, which cannot carry either.
        if has_user && (url.set_username("masked").is_err() || url.set_password(None).is_err()) {
            return MASKED.to_owned();
        }
        if url.query().is_some() {
            let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
            url.query_pairs_mut().clear().extend_pairs(names.iter().map(|name| (name, "masked")));
        }
        url.into()
    }
}

fn is_suspicious(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // A name that is escaped could be any name.
    name.contains('%') || SUSPICIOUS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_show() {
        let masks = Masks::new([HeaderName::from_static("x-api-token")]);
        assert_eq!(masks.header("Authorization", b"Bearer abc"), MASKED);
        assert_eq!(masks.header("X-Api-Token", b"abc"), MASKED);
        assert_eq!(masks.header("x-other", b"abc"), "abc");
        assert_eq!(masks.url("http://user:pass@crm/a/b?key=abc&x=1"), "http://masked@crm/a/b?key=masked&x=masked");
        assert_eq!(
            masks.query("a=1&hub.verify_token=abc&X-Amz-Signature=abc"),
            "a=1&hub.verify_token=[masked]&X-Amz-Signature=[masked]"
        );
        assert_eq!(masks.query("t%6Fken=abc&&b"), "t%6Fken=[masked]&&b");
        assert_eq!(masks.request_line("POST /in?api_key=abc"), "POST /in?api_key=[masked]");
        assert_eq!(masks.url("http://crm/hook"), "http://crm/hook");
        assert_eq!(masks.url("not a url with abc"), MASKED);
    }
}
