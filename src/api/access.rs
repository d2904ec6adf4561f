//! Who may ask for what: bearer tokens and their roles; without tokens, loopback only.
//!
//! Refused is whatever is not allowed explicitly. Tokens are kept and compared as SHA-256, in constant
//! time and all of them, so that neither length nor position shows. Wrong ones are counted and slowed
//! down, a bounded number at a time.
//!
//! Without tokens a browser on the same machine is the way in for strangers. Two checks close it: the
//! `Host` must be a loopback name or address (a rebound DNS name is neither), and a request that another
//! site's page sent (`Sec-Fetch-Site`, `Origin`) is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use axum::extract::{Request, State as Extracted};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Method};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::Semaphore;

use super::problem::Problem;
use super::state::{Configured, State};
use crate::domain::Secret;
use crate::store::Store;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads and acts.
    Admin,
    /// Reads.
    Viewer,
    /// Emits events; nothing else.
    Publisher,
}

/// Somebody who may ask.
#[derive(Clone)]
pub struct Token {
    name: Box<str>,
    sha256: [u8; 32],
    role: Role,
}

/// What needs no token.
const OPEN_PATHS: [&str; 4] = ["/livez", "/readyz", "/healthz", "/metrics"];

/// How long a wrong token waits for its answer.
const FAILURE_DELAY: Duration = Duration::from_millis(500);

/// How many wrong tokens may wait at once: beyond, 429. Together: at most 64 guesses a second.
const FAILURES_WAITING_MAX: usize = 32;

static FAILURES_WAITING: Semaphore = Semaphore::const_new(FAILURES_WAITING_MAX);

// === impl Token ===

impl Token {
    /// A token under the name that the log knows it by; the token itself is not kept.
    #[must_use]
    pub fn new(name: &str, token: &Secret, role: Role) -> Self {
        Self { name: name.into(), sha256: Sha256::digest(token.expose()).into(), role }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

// === impl Role ===

impl Role {
    /// Whether the role may use the method: reading is for viewers, everything else for admins.
    #[must_use]
    pub fn may(self, method: &Method) -> bool {
        match self {
            Self::Admin => true,
            Self::Viewer => method == Method::GET || method == Method::HEAD,
            Self::Publisher => false,
        }
    }
}

// === the check ===

/// The middleware in front of everything.
pub(super) async fn check<S: Store>(Extracted(state): Extracted<State<S>>, request: Request, next: Next) -> Response {
    let allowed = match OPEN_PATHS.contains(&request.uri().path()) {
        true => Ok(()),
        false => decide(&state, request.method(), request.headers()),
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) if problem.status() == 401 && request.headers().contains_key(AUTHORIZATION) => {
            state.metrics.gateway().auth_failures.inc();
            tracing::warn!(path = ?request.uri().path(), "a wrong token on the admin port");
            slow_down(problem).await.into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

fn decide<S>(state: &State<S>, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let configured = state.configured();
    if configured.tokens.is_empty() {
        return without_tokens(state.listens_on_loopback, headers);
    }
    let role = authenticate(&configured, headers)?;
    if role.may(method) {
        return Ok(());
    }
    Err(Problem::forbidden("role_not_allowed", "the role of this token does not allow this"))
}

/// The role of the token in `Authorization: Bearer`.
fn authenticate(configured: &Configured, headers: &HeaderMap) -> Result<Role, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::unauthorized("a token is needed: Authorization: Bearer …"));
    };
    let bytes = value.as_bytes();
    let scheme = bytes.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    let (Some(_), Some(given)) = (scheme, bytes.get(7..)) else {
        return Err(Problem::unauthorized("the scheme must be Bearer"));
    };
    let given: [u8; 32] = Sha256::digest(given).into();
    let mut role = None;
    // All are compared, whichever matches.
    for token in &configured.tokens {
        let same: Choice = given.ct_eq(&token.sha256);
        if bool::from(same) {
            role = Some(token.role);
        }
    }
    role.ok_or_else(|| Problem::unauthorized("nobody has this token"))
}

fn without_tokens(listens_on_loopback: bool, headers: &HeaderMap) -> Result<(), Problem> {
    if !listens_on_loopback {
        return Err(Problem::unauthorized("admin.tokens is empty, and this is not a loopback address"));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
        return Err(Problem::forbidden("host_not_allowed", "one Host header is needed"));
    };
    if !is_loopback_host(host) {
        return Err(Problem::forbidden(
            "host_not_allowed",
            "without tokens the Host must be localhost or a loopback address",
        ));
    }
    if is_of_another_site(host, headers) {
        return Err(Problem::forbidden("cross_site", "without tokens no other site's page may ask"));
    }
    Ok(())
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let is_loopback = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST || v6.to_ipv4_mapped().as_ref().is_some_and(Ipv4Addr::is_loopback),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

fn is_of_another_site(host: &str, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("(not text)"));
    let fetched = text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let origin = text(ORIGIN.as_str());
    fetched
        || origin
            .is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host)))
}

async fn slow_down(problem: Problem) -> Problem {
    let Ok(_place) = FAILURES_WAITING.try_acquire() else {
        return Problem::new(http::StatusCode::TOO_MANY_REQUESTS, "too_many_failures", "too many wrong tokens")
            .retry_after(1);
    };
    tokio::time::sleep(FAILURE_DELAY).await;
    problem
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_loopback_hosts_count_as_such() {
        for host in ["localhost", "LOCALHOST:8081", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example:8081", "localhost.evil", "10.0.0.1", "[::2]", "", "[", "::1"]
        {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_known_by_its_headers() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            is_of_another_site("127.0.0.1:8081", &headers)
        };
        assert!(with("sec-fetch-site", "cross-site"));
        assert!(with("sec-fetch-site", "same-site"));
        assert!(with("origin", "http://evil.example"));
        assert!(with("origin", "null"));
        assert!(with("origin", "http://127.0.0.1:9999"));
        assert!(!with("origin", "http://127.0.0.1:8081"));
        assert!(!with("sec-fetch-site", "same-origin"));
        assert!(!with("sec-fetch-site", "none"));
        assert!(!with("accept", "*/*"));
    }
}
