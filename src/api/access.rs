//! Who may ask for what: bearer tokens and their roles; without tokens, loopback only.
//!
//! Refused is whatever the table (`surface`) does not allow explicitly. Tokens are kept and compared as SHA-256, in
//! constant time and all of them, so that neither length nor position shows. Wrong ones are counted and slowed
//! down (`failures`).
//!
//! Without tokens a browser on the same machine is the way in for strangers. Two checks close it: the
//! `Host` must be a loopback name or address (a rebound DNS name is neither), and a request that another
//! site's page sent (`Sec-Fetch-Site`, `Origin`) is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State as Extracted};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::caller::{Caller, Role};
use super::failures::{self, Failures};
use super::idempotency::{self, Keys};
use super::problem::Problem;
use super::state::{Configured, State};
use super::surface::{Found, Operation, Table};
use crate::domain::Secret;
use crate::ingress::Arrival;
use crate::store::Store;

/// Somebody who may ask.
#[derive(Clone)]
pub struct Token {
    name: Box<str>,
    sha256: [u8; 32],
    caller: Caller,
}

/// What stands in front of every handler.
pub(super) struct Gate<S> {
    pub(super) state: State<S>,
    pub(super) table: Arc<Table>,
    pub(super) failures: Failures,
    pub(super) keys: Keys,
}

// === impl Token ===

impl Token {
    /// A token under the name that the log knows it by; the token itself is not kept.
    #[must_use]
    pub fn new(name: &str, token: &Secret, role: Role) -> Self {
        let caller = Caller { role, project: None };
        Self { name: name.into(), sha256: Sha256::digest(token.expose()).into(), caller }
    }

    /// Bound to this project: nothing else is there for it.
    #[must_use]
    pub fn of_project(self, project: Arc<str>) -> Self {
        Self { caller: Caller { project: Some(project), ..self.caller }, ..self }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("caller", &self.caller).finish_non_exhaustive()
    }
}

// === the check ===

/// The middleware in front of everything, what does not exist included.
pub(super) async fn check<S: Store>(
    Extracted(gate): Extracted<Arc<Gate<S>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let found = matched.as_ref().map(|path| gate.table.find(path.as_str(), request.method()));
    match &found {
        Some(Found::Operation(operation)) if operation.is_open() => return next.run(request).await,
        Some(Found::OtherMethods { allow, open: true }) => return wrong_method(allow.clone()),
        _ => {}
    }
    let address = request.extensions().get::<Arrival>().map(|arrival| arrival.peer.ip());
    let caller = match gate.caller(address, request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    match found {
        Some(Found::Operation(operation)) => match operation.permits(&caller) {
            Ok(()) => {
                request.extensions_mut().insert(caller.clone());
                gate.run(operation, &caller, request, next).await
            }
            Err(problem) => problem.into_response(),
        },
        Some(Found::OtherMethods { allow, .. }) => wrong_method(allow),
        // A handler without an operation: nobody has said who may.
        Some(Found::Nothing) => {
            Problem::forbidden("role_not_allowed", "nobody has said who may do this").into_response()
        }
        None => next.run(request).await,
    }
}

fn wrong_method(allow: http::HeaderValue) -> Response {
    let problem =
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method");
    let mut response = problem.into_response();
    response.headers_mut().insert(ALLOW, allow);
    response
}

// === impl Gate ===

impl<S: Store> Gate<S> {
    async fn run(&self, operation: &Operation, caller: &Caller, request: Request, next: Next) -> Response {
        if operation.method == http::Method::POST && !operation.keeps_keys {
            return idempotency::run(self, operation, caller, request, next).await;
        }
        next.run(request).await
    }

    /// Whoever asks, or why that is nobody.
    pub(super) async fn caller(&self, address: Option<IpAddr>, headers: &HeaderMap) -> Result<Caller, Problem> {
        let configured = self.state.configured();
        if configured.tokens.is_empty() {
            without_tokens(self.state.listens_on_loopback, headers)?;
            return Ok(Caller { role: Role::Admin, project: None });
        }
        let has_token = headers.contains_key(AUTHORIZATION);
        if has_token && !self.failures.listens_to(address) {
            return Err(failures::too_many());
        }
        match authenticate(&configured, headers) {
            Err(problem) if has_token => {
                self.state.metrics.gateway().auth_failures.inc();
                tracing::warn!(client = ?address, "a wrong token on the admin port");
                Err(self.failures.answer(address, problem).await)
            }
            found => found,
        }
    }
}

/// Who the token in `Authorization: Bearer` is for.
fn authenticate(configured: &Configured, headers: &HeaderMap) -> Result<Caller, Problem> {
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
    let mut caller = None;
    // All are compared, whichever matches.
    for token in &configured.tokens {
        let same: Choice = given.ct_eq(&token.sha256);
        if bool::from(same) {
            caller = Some(&token.caller);
        }
    }
    caller.cloned().ok_or_else(|| Problem::unauthorized("nobody has this token"))
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
