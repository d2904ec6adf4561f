//! From HTTP/2 requests to the gateway's tower service, which sees what it would see of HTTP/1.1: a target in
//! origin-form, a `Host`, one `Cookie`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{COOKIE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower_service::Service;

use super::session::Session;
use super::streams::Leftover;
use crate::deadline::within_while;
use crate::domain::{Reason, Refused, Rejection};
use crate::ingress::body::RequestBody;
use crate::ingress::call::Call;
use crate::ingress::client::client_address;
use crate::ingress::drain::Stage;
use crate::ingress::host::check_authority;
use crate::ingress::line::Asked;
use crate::ingress::scanner::REQUEST_LINE_BYTES_MAX;
use crate::ingress::service::{Arrival, Shared, draining, overdue};

/// The service as hyper calls it for each stream of a connection.
pub(super) struct Adapter<S> {
    pub(super) service: RefCell<S>,
    pub(super) session: Arc<Session>,
    pub(super) leftover: Leftover,
}

/// What a field of a header list counts beside its name and value, in bytes (RFC 9113 section 6.5.2).
const FIELD_BYTES: usize = 32;

type Answer<B> = Result<Response<Either<B, Full<Bytes>>>, Infallible>;

/// A request without its body, for the case that the answer is ours.
struct Known {
    asked: Asked,
    client: IpAddr,
    arrival: Arrival,
}

// === impl Adapter ===

impl<S, B> hyper::service::Service<Request<Incoming>> for Adapter<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer<B>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let shared = Arc::clone(&self.session.shared);
        self.session.request_begins();
        let limits = shared.limits.load();
        let rejection = refusal(&shared, limits.headers_bytes_max, &request);
        normalise(&mut request);
        let client = client_address(shared.peer.ip(), request.headers(), &limits.trusted_proxies);
        let arrival = Arrival { peer: shared.peer, scheme: shared.scheme(), began: Instant::now() };
        let version = Some(request.version());
        let asked = Asked { method: request.method().clone(), uri: request.uri().clone(), version };
        let deadline = arrival.began + limits.request_timeout;
        drop(limits);
        if let Some(rejection) = rejection {
            let Asked { method, uri, version } = asked;
            let headers = std::mem::take(request.headers_mut());
            let refused = Refused { rejection, method, uri, headers, body: Bytes::new(), client: Some(client) };
            let response = shared.ledger.refuse(refused, version, arrival);
            drop(request.map(|body| RequestBody::read_to_its_end(body, self.leftover.clone())));
            shared.metrics.responses.count(response.status());
            return Box::pin(std::future::ready(Ok(response.map(|body| Either::Right(Full::new(body))))));
        }
        request.extensions_mut().insert(shared.facts(client, arrival.began));
        request.extensions_mut().insert(arrival);
        let request = request.map(|body| RequestBody::read_to_its_end(body, self.leftover.clone()));
        let call = Call::new(&mut *self.service.borrow_mut(), request);
        Box::pin(answer(call, Known { asked, client, arrival }, deadline, Arc::clone(&self.session)))
    }
}

/// The service's answer, or ours where it has none in its time.
async fn answer<F, B>(call: F, known: Known, deadline: Instant, session: Arc<Session>) -> Answer<B>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    let shared = &session.shared;
    let answered = tokio::select! {
        biased;
        answered = within_while(deadline, || session.reads(), call) => answered.ok(),
        () = shared.drain.is_cut() => None,
    };
    let response = match answered {
        Some(Ok(response)) => response.map(Either::Left),
        Some(Err(never)) => match never {},
        None => {
            // Where the body is late the guard that reads it has said so before.
            let rejection = overdue(true, shared.drain.stage());
            let Known { asked, client, arrival } = known;
            let response = shared.ledger.refuse_head(rejection, asked, client, arrival);
            response.map(|body| Either::Right(Full::new(body)))
        }
    };
    shared.metrics.responses.count(response.status());
    Ok(response)
}

/// What can be said against a request before any service sees it.
fn refusal<B>(shared: &Shared, headers_bytes_max: usize, request: &Request<B>) -> Option<Rejection> {
    let (uri, headers) = (request.uri(), request.headers());
    if header_list_bytes(uri, headers) > headers_bytes_max {
        return Some(Rejection::new(Reason::HeadersTooLarge, "header list above headers_bytes_max"));
    }
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > REQUEST_LINE_BYTES_MAX) {
        return Some(Rejection::new(Reason::UriTooLong, "target above 8 KiB"));
    }
    if let Err(rejection) = check_authority(request.method(), uri, headers) {
        return Some(rejection);
    }
    let misdirected = shared.misdirected(uri.host(), headers);
    misdirected.or_else(|| (shared.drain.stage() == Stage::Cut).then(draining))
}

/// The size of a header list as the protocol counts it, its pseudo-headers included.
fn header_list_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let pseudo = 4 * (FIELD_BYTES + ":authority".len()) + target + authority;
    headers.iter().fold(pseudo, |sum, (name, value)| sum + name.as_str().len() + value.len() + FIELD_BYTES)
}

/// RFC 9113 section 8.3.1: who passes a request on makes a `Host` of the authority; section 8.2.3: and one field of
/// the crumbs of a cookie.
fn normalise<B>(request: &mut Request<B>) {
    let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    *request.uri_mut() = Uri::from(target);
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    if let Some(host) = authority {
        headers.insert(HOST, host);
    }
    let mut crumbs = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(_)) = (crumbs.next(), crumbs.next()) {
        let mut cookie = first.as_bytes().to_vec();
        for crumb in headers.get_all(COOKIE).iter().skip(1) {
            cookie.extend_from_slice(b"; ");
            cookie.extend_from_slice(crumb.as_bytes());
        }
        if let Ok(cookie) = HeaderValue::from_bytes(&cookie) {
            headers.insert(COOKIE, cookie);
        }
    }
}
